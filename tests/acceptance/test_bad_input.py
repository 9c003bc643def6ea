"""Bad input and missing servers: the exit code, every problem, a hint, and nothing changes."""

import json
import os
import time
from collections.abc import Iterator

import pytest

GOOD = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: %s}
spec:
  params: {type: object, required: [n], properties: {n: {type: integer}}}
  tasks: [{name: one, command: {argv: ["true"]}}]
"""
SUBSCRIPTION = """
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: %s}
spec: {activity: %s, params: {n: %s}}
"""


def live_objects(shell) -> str:
    """Return all live objects as YAML."""
    return shell("export").stdout


def test_one_invalid_document_among_fifty_changes_nothing(shell):
    documents = [GOOD % f"fifty-{number}" for number in range(50)]
    documents[31] = documents[31].replace("argv", "arggv")
    (shell.folder / "all.yaml").write_text("---".join(documents))
    before = live_objects(shell)
    done = shell("apply", "-f", "all.yaml", code=3)
    assert "arggv" in done.stderr
    assert live_objects(shell) == before


BROKEN = {
    "invalid YAML": ("a: [1, 2", "not valid YAML"),
    "unknown field": (GOOD.replace("tasks:", "tusks:") % "x", "tusks"),
    "wrong type": (
        GOOD.replace("tasks: [{name: one", "timeout: 7\n  tasks: [{name: one") % "x",
        "timeout",
    ),
    "unknown kind": (GOOD.replace("ActivityDefinition", "Aktivity") % "x", "unknown kind"),
    "bad name": (GOOD % "Not-A-Name", "metadata.name"),
    "unknown activity": (SUBSCRIPTION % ("x", "nowhere", 1), "nowhere"),
    "params that do not fit": (
        GOOD % "fits-not" + "---" + SUBSCRIPTION % ("x", "fits-not", "one"),
        "spec.params.n",
    ),
    "unknown name in CEL": (GOOD.replace('"true"', '"${ parms.n }"') % "x", "parms"),
    "unknown task kind": (GOOD.replace("command", "comand") % "x", "did you mean 'command'"),
    "bad cron": (
        GOOD.replace("tasks:", 'triggers: [{name: t, cron: {schedule: "61 * * * *"}}]\n  tasks:')
        % "x",
        "schedule",
    ),
    "a boolean by accident": (GOOD.replace("[n]", "[no]") % "x", "no"),
    "two of one name": (GOOD % "twice" + "---" + GOOD % "twice", "twice"),
}


@pytest.fixture(scope="class")
def nothing_changes(daemon) -> Iterator[None]:
    """Check after the tests of the class that the live objects are the same as before."""
    before = live_objects(daemon)
    yield
    assert live_objects(daemon) == before


@pytest.mark.usefixtures("nothing_changes")
class TestBrokenManifest:
    @pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.replace(" ", "-"))
    def test_it_is_refused_with_file_and_line(self, shell, case):
        text, message = BROKEN[case]
        (shell.folder / "all.yaml").write_text(text)
        done = shell("apply", "-f", "all.yaml", code=3)
        assert "error: all.yaml:" in done.stderr, done.stderr
        assert message in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def test_every_problem_of_every_file_is_listed(shell):
    (shell.folder / "a.yaml").write_text(GOOD.replace("tasks:", "tusks:") % "a")
    (shell.folder / "b.yaml").write_text(GOOD.replace("argv", "arggv") % "b")
    done = shell("apply", "-f", ".", code=3)
    assert "a.yaml:7:3: spec.tusks" in done.stderr, done.stderr
    assert "b.yaml:" in done.stderr
    error = json.loads(shell("apply", "-f", ".", "-o", "json", code=3).stderr)
    assert error["code"] == "invalid_manifest"
    assert {problem["file"] for problem in error["problems"]} >= {"a.yaml", "b.yaml"}


def test_an_expression_in_a_key_and_misleading_yaml_are_refused_at_their_line(stranger):
    text = """apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: keys, labels: {?a: b}}
spec:
  tasks:
    - name: call
      http:
        url: https://x.example/
        json:
          "${ run.id }": 1
          emoji: "\\ud83d\\ude00"
"""
    result = stranger("validate", "-f", "-", stdin=text, code=3)
    assert "<stdin>:3:34: metadata.labels.a: a text that begins with ? must be" in result.stderr
    text = text.replace("?a", "a")
    result = stranger("validate", "-f", "-", stdin=text, code=3)
    assert "<stdin>:10:11: spec.tasks[0].http.json" in result.stderr
    assert "a key cannot contain ${ … }" in result.stderr


def test_a_definition_that_breaks_a_live_subscription_is_refused(shell):
    (shell.folder / "a.yaml").write_text(GOOD % "used" + "---" + SUBSCRIPTION % ("user", "used", 1))
    shell("apply", "-f", "a.yaml")
    (shell.folder / "b.yaml").write_text(GOOD.replace("type: integer", "type: string") % "used")
    done = shell("apply", "-f", "b.yaml", code=3)
    assert "breaks subscription 'user'" in done.stderr


@pytest.mark.parametrize("path", ["absent.yaml", "fifo", "empty", "loop", "/dev/null"])
def test_a_path_that_is_no_regular_file_is_refused_at_once(shell, path):
    os.mkfifo(shell.folder / "fifo")
    (shell.folder / "empty").mkdir()
    (shell.folder / "loop").symlink_to("loop")
    start = time.monotonic()
    done = shell("apply", "-f", path, code=3)
    assert path in done.stderr
    assert time.monotonic() - start < 60


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "runs"),
        ("logs", "x"),
        ("trigger", "x"),
        ("apply", "-f", "good.yaml"),
        ("status",),
    ],
    ids=" ".join,
)
def test_without_a_daemon_the_hint_is_how_to_start_it(stranger, arguments):
    (stranger.folder / "good.yaml").write_text(GOOD % "good")
    start = time.monotonic()
    done = stranger(*arguments, code=7)
    assert time.monotonic() - start < 60
    assert "hint: activityctl up -d\n" in done.stderr


def test_without_a_daemon_the_doctor_gives_the_hint_once(stranger):
    assert stranger("doctor", code=1).stderr.count("activityctl up -d") == 1


def test_an_unknown_profile_is_reported_and_shows_no_password(stranger):
    (stranger.folder / "config.toml").write_text(
        'default = "dead"\n[profiles.dead]\n'
        'database_url = "postgresql://u:geheim@127.0.0.1:1/none"\n'
        'temporal_address = "127.0.0.1:1"\n'
    )
    done = stranger("--profile", "dead", "get", "runs", code=4)
    assert "geheim" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("get", "nonsense"), 2),
        (("get", "runs", "-o", "xml"), 2),
        (("nonsense",), 2),
        (("get", "runs", "--since", "yesterday"), 2),
        (("describe", "run", "ffffffff"), 4),
        (("logs", "nobody"), 4),
        (("trigger", "nobody"), 4),
        (("get", "events", "-l", "a=b"), 2),
        (("metrics", "nonsense"), 2),
        (("get", "runs", "--status", "finished"), 2),
    ],
)
def test_each_error_has_its_exit_code(shell, arguments, code):
    done = shell(*arguments, code=code)
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_a_bad_payload_names_its_option(shell):
    done = shell("trigger", "nobody", "--payload", "{", code=3)
    assert "--payload:1:2: not valid JSON" in done.stderr
    assert """hint: write '{"key": 1}'""" in shell("trigger", "x", "--payload", "1", code=3).stderr


def test_a_failing_task_is_visible_in_get_and_logs(shell):
    manifest = GOOD % "fails"
    manifest = manifest.replace(
        'tasks: [{name: one, command: {argv: ["true"]}}]',
        "tasks:\n    - name: one\n      command: {shell: 'echo broken >&2; exit 3'}\n"
        "      retry: {maxAttempts: 2, initialInterval: 100ms}",
    )
    (shell.folder / "a.yaml").write_text(manifest + "---" + SUBSCRIPTION % ("failing", "fails", 1))
    shell("apply", "-f", "a.yaml")
    done = shell("trigger", "failing", code=1)
    assert "failed" in done.stdout
    run = shell.json("get", "runs", "-s", "failing")["items"][0]
    assert run["status"] == "failed"
    assert "exit" in run["reason"]
    assert "broken" in run["reason"]
    task = shell.json("get", "tasks", "--run", run["id"])["items"][0]
    assert (task["status"], task["attempts"]) == ("failed", 2)
    log = shell("logs", "failing").stdout
    assert "attempt 1 failed" in log
    assert "run failed" in log
    letters = shell.json("get", "dl", "failing")["items"]
    assert [letter["run"] for letter in letters] == [run["id"]]


def test_control_characters_of_a_task_are_made_visible(shell):
    manifest = GOOD.replace('["true"]', r'[sh, -c, "printf \"\\033[31mred\\007\" >&2; exit 1"]')
    (shell.folder / "a.yaml").write_text(
        manifest % "rude" + "---" + SUBSCRIPTION % ("rude", "rude", 1)
    )
    shell("apply", "-f", "a.yaml")
    done = shell("trigger", "rude", code=1)
    assert "\x1b[31m" not in done.stdout + shell("logs", "rude").stdout
    assert r"\x1b[31mred\x07" in shell("logs", "rude").stdout
