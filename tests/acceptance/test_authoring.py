"""Commands for authors, which need no server: `validate`, `schema`, `explain`, `init`, `config`."""

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]

DEFINITION = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: orders}
spec:
  params: {type: object, required: [limit], properties: {limit: {type: integer}}}
  tasks:
    - name: score
      command: {argv: [echo, "${ params.limit }"]}
    - name: review
      needs: [score]
      when: tasks.score.output.json.risk > 0.5
      command: {argv: ["true"]}
"""
SUBSCRIPTION = """
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: %s}
spec: {activity: %s, params: {limit: %s}}
"""


def write(stranger, name: str, text: str) -> None:
    path = stranger.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_each_valid_manifest_is_listed_on_a_line(stranger):
    write(stranger, "definitions/a.yaml", DEFINITION)
    write(stranger, "definitions/deep/b.yaml", SUBSCRIPTION % ("eu", "orders", 5))
    done = stranger("validate", "-R")
    assert done.stdout.splitlines() == ["activitydefinition/orders valid", "subscription/eu valid"]
    assert done.stderr == "2 objects in 2 files valid\n"


def test_manifests_come_from_standard_input_and_several_paths(stranger):
    write(stranger, "a.yaml", DEFINITION)
    done = stranger("validate", "-f", "a.yaml", "-f", "-", stdin=SUBSCRIPTION % ("eu", "orders", 5))
    assert "subscription/eu valid" in done.stdout


def test_a_subscription_without_its_definition_is_valid_with_a_note(stranger):
    write(stranger, "a.yaml", SUBSCRIPTION % ("eu", "elsewhere", 5))
    done = stranger("validate", "-f", "a.yaml")
    assert done.stdout == "subscription/eu valid\n"
    assert "note: subscription/eu: ActivityDefinition 'elsewhere' is not among these" in done.stderr
    (checked,) = stranger.json("validate", "-f", "a.yaml")["objects"]
    assert checked["valid"] is True
    assert "not among these files" in checked["note"]


def test_a_misspelt_param_is_an_error_with_its_column(stranger):
    write(stranger, "a.yaml", DEFINITION.replace("params.limit", "params.limt"))
    done = stranger("validate", "-f", "a.yaml", code=3)
    column = '      command: {argv: [echo, "${ params.limt }"]}'.index("limt") + 1
    place = f"error: a.yaml:9:{column}: spec.tasks[0].command.argv[1]: "
    assert f"{place}`params` has no `limt`; did you mean `limit`?" in done.stderr
    assert done.stdout == ""


def test_all_problems_of_all_files_are_reported_at_once(stranger):
    write(stranger, "a.yaml", DEFINITION.replace("needs: [score]", "needs: []"))
    write(stranger, "b.yaml", DEFINITION.replace("orders", "other"))
    write(stranger, "c.yaml", SUBSCRIPTION % ("us", "other", "many"))
    write(stranger, "d.yaml", SUBSCRIPTION % ("eu", "orders", "x"))
    write(stranger, "e.yaml", "kind: [")
    done = stranger("validate", "-f", ".", "-o", "json", code=3)
    found = json.loads(done.stdout)
    assert (found["apiVersion"], found["kind"]) == ("activityctl/v1", "ValidateResult")
    assert [
        (checked["name"], checked["file"], checked["valid"]) for checked in found["objects"]
    ] == [
        ("orders", "a.yaml", False),
        ("other", "b.yaml", True),
        ("us", "c.yaml", False),
        ("eu", "d.yaml", False),
    ]
    assert [(problem["file"], problem["path"]) for problem in found["problems"]] == [
        ("a.yaml", "spec.tasks[1].when"),
        ("c.yaml", "spec.params.limit"),
        ("d.yaml", "spec.params.limit"),
        ("e.yaml", ""),
    ]
    assert "add score to needs" in found["problems"][0]["message"]
    error = json.loads(done.stderr)
    assert (error["code"], len(error["problems"])) == ("invalid_manifest", 4)


def test_an_unknown_field_does_not_hide_other_problems_of_the_document(stranger):
    text = DEFINITION.replace("  tasks:", "  paused: on\n  timeout: 7\n  tusks: []\n  tasks:")
    write(stranger, "a.yaml", text)
    write(stranger, "b.yaml", SUBSCRIPTION % ("eu", "orders", "yes"))
    found = json.loads(stranger("validate", "-f", ".", "-o", "json", code=3).stdout)
    assert [(problem["file"], problem["path"]) for problem in found["problems"]] == [
        ("a.yaml", "spec.paused"),
        ("a.yaml", "spec.timeout"),
        ("a.yaml", "spec.tusks"),
        ("b.yaml", "spec.params.limit"),
    ]
    assert [problem["message"].split()[0] for problem in found["problems"]] == [
        "on",
        "a",
        "unknown",
        "yes",
    ]


def test_a_subscription_is_not_checked_against_an_invalid_schema(stranger):
    write(stranger, "a.yaml", DEFINITION.replace("type: integer", "type: intger"))
    write(stranger, "b.yaml", SUBSCRIPTION % ("eu", "orders", "x"))
    found = json.loads(stranger("validate", "-f", ".", "-o", "json", code=3).stdout)
    assert {problem["file"] for problem in found["problems"]} == {"a.yaml"}
    assert "in these files has problems" in found["objects"][1]["note"]


def test_the_json_of_valid_manifests(stranger):
    write(stranger, "a.yaml", DEFINITION)
    assert stranger.json("validate", "-f", "a.yaml") == {
        "apiVersion": "activityctl/v1",
        "kind": "ValidateResult",
        "objects": [
            {
                "kind": "ActivityDefinition",
                "name": "orders",
                "file": "a.yaml",
                "line": 4,
                "valid": True,
                "note": None,
            }
        ],
        "secrets": [],
        "problems": [],
    }


def test_validate_needs_only_the_files(stranger):
    """It ignores a broken config file, and needs no server and no home."""
    write(stranger, "a.yaml", DEFINITION)
    write(stranger, "config.toml", "broken = ")
    environment = {**stranger.environment, "ACTIVITYCTL_CONFIG": "config.toml"}
    command = [str(Path(sys.executable).parent / "activityctl"), "validate", "-f", "a.yaml"]
    done = subprocess.run(
        command, env=environment, cwd=stranger.folder, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not stranger.home.exists()


def test_the_pre_commit_hook_names_a_command_that_works(stranger):
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert hook["id"] == "activityctl-validate"
    program, *arguments = hook["entry"].split()
    assert program == "activityctl"
    write(stranger, "definitions/a.yaml", DEFINITION)
    stranger(*arguments)
    write(stranger, "definitions/b.yaml", "kind: nothing\n")
    stranger(*arguments, code=3)


def test_a_thousand_documents_take_seconds(stranger):
    for number in range(500):
        text = DEFINITION.replace("orders", f"orders-{number}")
        text = text.replace("risk > 0.5", f"risk > 0.{number}")
        pair = SUBSCRIPTION % (f"sub-{number}", f"orders-{number}", number)
        write(stranger, f"all/{number}.yaml", f"{text}---{pair}")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = stranger("validate", "-f", "all")
    assert done.stderr == "1,000 objects in 500 files valid\n"
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert spent < 10  # CPU time, which other processes do not change; about 1.2 s


def test_the_schema_checks_the_samples(stranger):
    schema = json.loads(stranger("schema").stdout)
    validator = Draft202012Validator(schema)
    for path in (ROOT / "definitions").rglob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text("utf-8")):
            assert validator.is_valid(document), path
    only = json.loads(stranger("schema", "sub").stdout)
    assert only["title"] == "activityctl Subscription"
    assert "did you mean" in stranger("schema", "subscribtion", code=4).stderr


def test_a_field_is_explained(stranger):
    shown = stranger("explain", "definition.spec.triggers.cron.schedule").stdout
    assert "TYPE:     string" in shown
    assert "REQUIRED: yes" in shown
    assert "Five fields" in shown
    assert "schedule: 0 2 * * 1-5" in shown
    assert (
        'DEFAULT:  "10m"'
        in stranger("explain", "definition.spec.tasks.timeout.startToClose").stdout
    )
    assert stranger.json("explain", "def.spec.tasks.retry.maxAttempts")["default"] is None
    kinds = stranger("explain").stdout
    assert "ActivityDefinition" in kinds
    assert "Subscription" in kinds
    done = stranger("explain", "definition.spec.trigers", code=4)
    assert "hint: activityctl explain definition.spec.triggers" in done.stderr


def test_a_new_folder_is_complete(stranger):
    done = stranger("init", "work")
    folder = stranger.folder / "work"
    assert "next: cd work && activityctl up -d -f definitions/" in done.stderr
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(done.stdout.split()) == {f"work/{name}" for name in written}
    assert written == {
        ".activityctl/build-requirements.txt",
        ".activityctl/install.sh",
        ".activityctl/requirements.txt",
        ".github/workflows/activityctl.yml",
        ".gitignore",
        "README.md",
        "activityctl.schema.json",
        "definitions/hello.yaml",
    }
    assert "subscription/hello-world valid" in stranger("validate", "-f", "work/definitions").stdout
    schema = json.loads((folder / "activityctl.schema.json").read_text("utf-8"))
    sample = (folder / "definitions/hello.yaml").read_text("utf-8")
    for document in yaml.safe_load_all(sample):
        assert Draft202012Validator(schema).is_valid(document)
    modeline = sample.splitlines()[0].partition("$schema=")[2]
    assert (folder / "definitions" / modeline).resolve() == folder / "activityctl.schema.json"


def test_the_sample_runs(shell):
    shell("init", "--ci", "none")
    shell("apply", "-f", "definitions")
    run = shell.json("trigger", "hello-world")
    assert run["status"] == "succeeded"
    shell("delete", "subscription", "hello-world", "--yes")


@pytest.mark.parametrize(
    ("ci", "path"),
    [("github", ".github/workflows/activityctl.yml"), ("gitlab", ".gitlab-ci.yml"), ("none", None)],
)
def test_the_workflow_validates_plans_and_applies(stranger, ci, path):
    stranger("init", "--ci", ci)
    found = {name for name in (".github", ".gitlab-ci.yml") if (stranger.folder / name).exists()}
    assert found == ({path.split("/")[0]} if path else set())
    if path is None:
        return
    text = (stranger.folder / path).read_text("utf-8")
    jobs = yaml.safe_load(text)
    names = set(jobs["jobs"] if ci == "github" else jobs)
    assert {"validate", "plan", "apply"} <= names
    found_lines = re.findall(
        r"^[^#\n]*activityctl ((?:validate|plan|apply) -.*)", text, re.MULTILINE
    )
    commands = [line.split() for line in found_lines]
    helped = {name: stranger(name, "--help").stdout for name, *_ in commands}
    assert set(helped) == {"validate", "plan", "apply"}
    for name, *options in commands:
        for option in options:
            assert not option.startswith("-") or option in helped[name], (name, option)


def test_existing_files_are_not_overwritten(stranger):
    write(stranger, "README.md", "mine")
    done = stranger("init", code=5)
    assert "README.md" in done.stderr
    assert "--force" in done.stderr
    assert [path.name for path in stranger.folder.iterdir()] == ["README.md"]
    stranger("init", "--force")
    assert (stranger.folder / "README.md").read_text("utf-8") != "mine"
    unknown = stranger("init", "x", "--ci", "jenkins", code=2).stderr
    assert "use github, gitlab, github-http, gitlab-http, none" in unknown


@pytest.fixture
def configured(stranger, monkeypatch):
    """A home without a daemon, with a config file in the folder of the test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(stranger.folder / "xdg"))
    return stranger


def settings_of(shell, *flags: str) -> dict[str, tuple[object, str]]:
    settings = shell.json(*flags, "config", "show")["settings"]
    return {row["name"]: (row["value"], row["source"]) for row in settings}


def test_profiles_are_added_used_shown_and_removed(configured):
    add = ("config", "add", "prod", "--database-url", "-", "--temporal-address", "t:7233")
    done = configured(*add, stdin="postgresql://u:hunter2@db/x\n")
    assert done.stdout == "profile/prod saved\n"
    assert "next: activityctl config use prod" in done.stderr
    configured("config", "use", "prod")
    stage = ("--database-url", "postgresql://s/x", "--temporal-address", "s:7233")
    configured("config", "add", "stage", *stage, "--max-tasks", "3")
    settings = settings_of(configured)
    assert settings["database_url"] == ("postgresql://u:***@db/x", "profile prod")
    assert settings["temporal_address"] == ("t:7233", "profile prod")
    assert settings["max_tasks"] == (50, "default")
    assert settings["home"] == (str(configured.home), "environment ACTIVITYCTL_HOME")
    assert settings_of(configured, "--profile", "stage")["max_tasks"] == (3, "profile stage")
    configured("config", "use", "stage")
    listed = configured.json("config", "list")["items"]
    defaults = {profile["name"]: profile["isDefault"] for profile in listed}
    assert defaults == {"prod": False, "stage": True}
    shown = configured("config", "show")
    assert "s:7233" in shown.stdout
    assert "config.toml" in shown.stderr
    everything = shown.stdout + shown.stderr + configured("config", "list").stdout
    assert "hunter2" not in everything
    assert "without a default profile" in configured("config", "remove", "stage").stdout
    (path,) = (configured.folder / "xdg").rglob("config.toml")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "hunter2" in path.read_text("utf-8")


def test_invalid_profiles_are_refused(configured):
    configured("config", "add", "prod", "--database-url", "postgresql://db/x")
    for code, arguments in (
        (5, ("add", "prod", "--max-tasks", "1")),
        (2, ("add", "empty")),
        (2, ("add", "x", "--allowed-networks", "here")),
        (4, ("use", "nope")),
    ):
        done = configured("config", *arguments, code=code)
        assert "hint:" in done.stderr, arguments
    listed = configured.json("config", "list")["items"]
    assert [profile["name"] for profile in listed] == ["prod"]
