"""How a command ends after a usage error, a closed pipe or Ctrl-C."""

import json
import select
import signal
import subprocess
import time

import pytest

MANIFESTS = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: %(name)s}
spec:
  triggers:
    - {name: yearly, cron: {schedule: "0 3 1 1 *"}}
    - {name: paid, event: {type: %(name)s.paid}}
  tasks: [{name: one, command: {argv: [sleep, "%(seconds)s"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: %(name)s}
spec: {activity: %(name)s}
"""


PAST = "2024-01-01T00:00:00Z"
"""Since then the trigger was due several times, and no test meets the next one."""


def manifests(name: str, seconds: int = 0) -> str:
    return MANIFESTS % {"name": name, "seconds": seconds}


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("get runs --bogus", "no such option: --bogus", "activityctl get --help"),
        ("get runs --limt 3", "no such option: --limt; did you mean --limit?", "get --help"),
        ("get", "argument KIND is missing", "activityctl get --help"),
        ("get runs --limit many", "--limit: should be a valid integer", "activityctl get --help"),
        ("emit --strict=1", "option '--strict' does not take a value", "activityctl emit --help"),
        ("aply", "no such command 'aply'; did you mean 'apply' or 'replay'?", "activityctl --help"),
        ("config shw", "no such command 'shw'; did you mean 'show'?", "activityctl config --help"),
        (
            "next x --since +2h --until +1h",
            "--until +1h is before --since +2h",
            "activityctl next --help",
        ),
        ("apply -f . --dry-run bogus", "--dry-run takes client or server, not 'bogus'", "apply"),
    ],
)
def test_a_usage_error_is_one_line_and_a_hint(stranger, words, message, hint):
    (stranger.folder / "a.yaml").write_text(manifests("ending"))
    error, advice = stranger(*words.split(), code=2).stderr.splitlines()
    assert error == f"error: {message}"
    assert advice.startswith("hint: activityctl")
    assert advice.endswith((hint, "--help"))


@pytest.mark.parametrize("json_option", ["-o json", "-ojson", "--output=json", "-o jsonl"])
def test_a_usage_error_is_an_object_where_json_is_wanted(stranger, json_option):
    done = stranger("get", "runs", *json_option.split(), "--bogus", code=2)
    error = json.loads(done.stderr)
    assert (error["code"], error["message"]) == ("usage", "no such option: --bogus")
    assert error["hint"] == "activityctl get --help"
    assert not done.stdout


def test_json_in_the_value_of_another_option_does_not_select_json(stranger):
    done = stranger("trigger", "x", "--payload", "-o json", "--bogus", code=2)
    assert done.stderr.startswith("error: ")


def test_a_group_without_a_command_shows_its_help_on_stderr(stranger):
    done = stranger("config", code=2)
    assert not done.stdout
    assert done.stderr.startswith("Show the settings")
    assert "\x1b" not in done.stderr


def unread(shell, *arguments: str) -> int:
    """Run the command into a pipe that is closed after one line; return the exit code."""
    environment = dict(shell.environment)
    environment.pop(
        "PYTHONUNBUFFERED", None
    )  # with it, Python drops output that the pipe does not take
    with subprocess.Popen(
        shell.command(*arguments),
        env=environment,
        cwd=shell.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    return process.returncode


@pytest.mark.parametrize("shape", ["text", "json"])
def test_a_closed_pipe_ends_the_command_by_sigpipe(stranger, shape):
    many = "---".join(manifests(f"ending-{number}") for number in range(1_000))
    (stranger.folder / "all.yaml").write_text(many)
    assert unread(stranger, "validate", "-f", "all.yaml", "-o", shape) == -signal.SIGPIPE


def test_a_closed_pipe_does_not_change_the_exit_code_of_a_plan(shell):
    many = "---".join(manifests(f"unread-{number}") for number in range(400))
    (shell.folder / "all.yaml").write_text(many)
    assert shell("plan", "-f", "all.yaml", "--detailed-exitcode", code=2).stdout
    ended = unread(shell, "plan", "-f", "all.yaml", "--detailed-exitcode")
    assert ended == -signal.SIGPIPE


def interrupted(shell, *arguments: str, when) -> tuple[str, str]:
    """Run the command, send Ctrl-C once `when` is true of it, and return stdout and stderr."""
    process = subprocess.Popen(
        shell.command(*arguments),
        env=shell.environment,
        cwd=shell.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 90
    while not when(process) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, f"{out}\n{err}"
    return out, err


def has_run(shell, name: str) -> bool:
    return bool(shell.json("get", "runs", "-s", name)["items"])


@pytest.fixture
def slow(shell) -> str:
    """A subscription whose run takes a minute."""
    (shell.folder / "slow.yaml").write_text(manifests("ending-slow", 60))
    shell("apply", "-f", "slow.yaml")
    yield "ending-slow"
    for run in shell.json("get", "runs", "-s", "ending-slow", "--status", "running")["items"]:
        shell("cancel", run["id"], "--no-wait", code=None)
    shell("delete", "sub", "ending-slow", "--yes")


def test_ctrl_c_reports_that_a_trigger_and_a_backfill_are_recorded(shell, slow):
    _, err = interrupted(shell, "trigger", slow, when=lambda _: has_run(shell, slow))
    (run,) = [run["id"] for run in shell.json("get", "runs", "-s", slow)["items"]]
    assert err.splitlines() == [
        f"interrupted: run/{run} is recorded; the worker continues with it",
        f"hint: activityctl wait {run}",
    ]
    before = len(shell.json("get", "runs", "-s", slow)["items"])
    _, err = interrupted(
        shell,
        *("backfill", slow, "--trigger", "yearly", "--since", PAST),
        when=lambda _: len(shell.json("get", "runs", "-s", slow)["items"]) > before,
    )
    assert "interrupted: the backfill is recorded and the worker continues with it" in err
    assert f"hint: activityctl backfill {slow} --cancel" in err
    shell("backfill", slow, "--cancel")


def test_ctrl_c_reports_how_many_events_are_stored(shell):
    process = subprocess.Popen(
        shell.command("emit", "-", "-o", "json"),
        env=shell.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    for number in range(3):
        event = {"specversion": "1.0", "id": str(number), "source": "/e", "type": "ending.seen"}
        process.stdin.write(json.dumps(event) + "\n")
    process.stdin.flush()
    out = ""
    while out.count('"outcome"') < 3:  # it tells of an event once it is stored
        part = process.stdout.read(1)
        assert part, out
        out += part
    process.send_signal(signal.SIGINT)
    out += process.stdout.read()
    err = process.stderr.read()
    assert process.wait(60) == 130
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    assert len(json.loads(out)["items"]) == 3
    error = json.loads(err.splitlines()[-1])
    assert (error["code"], error["message"]) == ("interrupted", "3 events are stored")
    assert error["hint"] == "run the command again for the rest (no event is stored twice)"


def test_ctrl_c_at_the_question_reports_that_nothing_was_changed(shell, slow):
    pty = pytest.importorskip("pty")
    import os

    leader, follower = pty.openpty()
    try:
        process = subprocess.Popen(
            shell.command("delete", "sub", slow),
            env=shell.environment,
            stdin=follower,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        seen = ""
        while "[y/N]: " not in seen:
            seen += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        os.close(leader)
        os.close(follower)
    assert process.returncode == 130
    assert "interrupted: nothing was changed" in err
    assert slow in shell("get", "sub").stdout


def test_ctrl_c_ends_a_followed_log_without_a_message(shell, slow):
    def has_followed(process: subprocess.Popen[str]) -> bool:
        """Write entries, and return whether the command has shown one that came after its start."""
        shell("pause", slow)
        shell("resume", slow)
        return bool(select.select([process.stdout], [], [], 0)[0])

    out, err = interrupted(shell, "logs", slow, "--follow", "--tail", "0", when=has_followed)
    assert "subscription paused" in out
    assert err == ""


def test_no_blank_line_comes_before_a_message(shell):
    (shell.folder / "a.yaml").write_text(manifests("ending-plain"))
    assert shell("apply", "-f", "a.yaml").stderr == "2 created\n"
    assert shell("plan", "-f", "a.yaml", "--since", "1h").stderr == ""
    since = ("--since", "1h", "--subscription", "ending-plain")
    assert not shell("replay", "events", *since).stderr.startswith("\n")
    assert (
        not shell("backfill", "ending-plain", "--trigger", "yearly", "--since", PAST)
        .stderr[:1]
        .isspace()
    )
    assert not shell("delete", "sub", "ending-plain", "--yes").stderr.startswith("\n")


def test_an_error_on_an_event_of_options_names_no_file(shell):
    event = ("emit", "--type", "ending.options", "--id", "o-1")
    shell(*event)
    done = shell(*event, "--data", "1", "-o", "json", code=5)
    error = json.loads(done.stderr.splitlines()[-1])
    assert (error["code"], error["file"], error["line"]) == ("conflict", None, None)
    assert "\nerror: an event with id o-1 " in "\n" + shell(*event, "--data", "1", code=5).stderr
