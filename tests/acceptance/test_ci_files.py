"""The CI workflows that `init` creates keep the database's secret from what they install."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.ci_runner import FILES, jobs_of

FORK_OF_GITHUB = "github.event.pull_request.head.repo.full_name == github.repository"
FORK_OF_GITLAB = "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID"
SECRETS = ("PLAN_DATABASE_URL", "APPLY_DATABASE_URL")
INSTALLS = re.compile(r"\bpip\b|\buv\b|install")


@pytest.fixture(params=["github", "gitlab", "github-http", "gitlab-http"])
def created(request: pytest.FixtureRequest, stranger: Any) -> tuple[str, Path]:
    """The service, and a folder with its workflow."""
    stranger("init", "--ci", request.param)
    return request.param.removesuffix("-http"), stranger.folder


@pytest.fixture
def github(stranger: Any) -> dict[Any, Any]:
    stranger("init", "--ci", "github")
    return yaml.safe_load((stranger.folder / FILES["github"]).read_text("utf-8"))


@pytest.fixture
def gitlab(stranger: Any) -> dict[str, Any]:
    stranger("init", "--ci", "gitlab")
    return jobs_of(stranger.folder, "gitlab")


def has_secret(value: object) -> bool:
    text = json.dumps(value)
    return "secrets." in text or any(name in text for name in SECRETS)


def test_the_workflow_pins_the_version_of_the_running_program(created, stranger):
    service, folder = created
    workflow = yaml.safe_load((folder / FILES[service]).read_text("utf-8"))
    variables = workflow["env" if service == "github" else "variables"]
    assert variables["ACTIVITYCTL_VERSION"] == stranger.json("version")["version"]


def test_nothing_is_installed_by_a_name_that_a_stranger_could_register(created):
    service, folder = created
    script = (folder / ".activityctl" / "install.sh").read_text("utf-8")
    for text in (script, (folder / FILES[service]).read_text("utf-8")):
        assert not re.search(r"install[^\n|]* ['\"]?activityctl(\[|==|['\"]?$)", text, re.MULTILINE)
    commands = re.findall(r"^ *(?:PYTHONPATH=\S+ )?pip (.+(?:\\\n.+)*)", script, re.MULTILINE)
    installs = [command for command in commands if command.startswith("install ")]
    assert len(installs) == 2
    for command in installs:
        assert "--require-hashes" in command
        assert "--only-binary :all:" in command
    (build,) = set(commands) - set(installs)
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(build.split())


def test_every_library_has_a_version_and_hashes(created):
    _, folder = created
    for name in ("requirements.txt", "build-requirements.txt"):
        text = (folder / ".activityctl" / name).read_text("utf-8").replace("\\\n", "")
        entries = [line for line in text.splitlines() if not line.startswith("#")]
        assert entries
        for entry in entries:
            assert re.match(r"[a-z0-9-]+==[\w.]+ .*--hash=sha256:[0-9a-f]{64}", entry), entry


def test_github_gives_the_secret_to_one_step_that_installs_nothing(github):
    assert not has_secret(github["env"])
    with_secret = []
    for name, job in github["jobs"].items():
        assert not has_secret({key: value for key, value in job.items() if key != "steps"})
        for step in job["steps"]:
            if has_secret(step):
                with_secret.append(name)
                assert not INSTALLS.search(step["run"])
                assert "uses" not in step
                assert job["environment"] == f"activityctl-{name}"
    assert with_secret == ["plan", "apply"]


def test_github_pins_each_action_by_its_commit(github, stranger):
    text = (stranger.folder / FILES["github"]).read_text("utf-8")
    used = re.findall(r"uses: *(.+)", text)
    assert len(used) == sum(
        "uses" in step for job in github["jobs"].values() for step in job["steps"]
    )
    for line in used:
        assert re.fullmatch(r"actions/checkout@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    for job in github["jobs"].values():
        for step in job["steps"]:
            assert "uses" not in step or step["with"]["persist-credentials"] is False


def test_github_jobs_have_the_least_permissions(github):
    assert github["permissions"] == {}
    assert {name: job["permissions"] for name, job in github["jobs"].items()} == {
        "validate": {"contents": "read"},
        "plan": {"contents": "read"},
        "comment": {"pull-requests": "write"},
        "apply": {"contents": "read"},
    }
    assert not any(map(has_secret, github["jobs"]["comment"]["steps"]))


def test_by_http_only_the_jobs_that_need_a_token_get_one(stranger):
    stranger("init", "--ci", "github-http")
    workflow = yaml.safe_load((stranger.folder / FILES["github"]).read_text("utf-8"))
    assert not has_secret(workflow)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert ("id-token" in job["permissions"]) == (name in {"plan", "apply"})
        for step in job["steps"] if "id-token" in job["permissions"] else ():
            run = step.get("run", "")
            if "install.sh" in run:
                assert run.startswith("env -u ACTIONS_ID_TOKEN_REQUEST_TOKEN ")
    assert FORK_OF_GITHUB in workflow["jobs"]["plan"]["if"]
    readme = (stranger.folder / "README.md").read_text("utf-8")
    assert "ACTIVITYCTL_AUDIENCE" in readme
    assert "_DATABASE_URL" not in readme
    stranger("init", "--ci", "gitlab-http", "--force")
    jobs = jobs_of(stranger.folder, "gitlab")
    assert not has_secret(jobs)
    assert {name for name, job in jobs.items() if "id_tokens" in job} == {"plan", "apply"}
    assert FORK_OF_GITLAB in jobs["plan"]["rules"][0]["if"]
    assert '$CI_COMMIT_REF_PROTECTED == "true"' in jobs["apply"]["rules"][0]["if"]


def test_github_gives_no_secret_to_forks(github):
    triggers = github[True]  # YAML 1.1 reads the key `on` as a boolean
    assert set(triggers) == {"pull_request", "push"}
    assert FORK_OF_GITHUB in github["jobs"]["plan"]["if"]
    assert github["jobs"]["comment"]["needs"] == "plan"
    assert "github.event_name == 'push'" in github["jobs"]["apply"]["if"]


def test_gitlab_installs_in_a_job_without_an_environment(gitlab):
    for name, job in gitlab.items():
        installs = any(INSTALLS.search(line) for line in job["script"])
        assert installs == (name == "install")
        assert has_secret(job) == ("environment" in job) == (name in {"plan", "apply"})
    assert gitlab["plan"]["environment"]["name"] == "activityctl-plan"
    assert gitlab["apply"]["environment"]["name"] == "activityctl-apply"
    assert "PLAN_DATABASE_URL" not in json.dumps(gitlab["apply"])
    assert "APPLY_DATABASE_URL" not in json.dumps(gitlab["plan"])


def test_gitlab_gives_no_secret_to_forks_and_applies_a_protected_branch(gitlab, stranger):
    (plan,) = gitlab["plan"]["rules"]
    assert FORK_OF_GITLAB in plan["if"]
    (apply,) = gitlab["apply"]["rules"]
    assert '$CI_COMMIT_REF_PROTECTED == "true"' in apply["if"]
    readme = " ".join((stranger.folder / "README.md").read_text("utf-8").split())
    assert "Protect the variable of `activityctl-apply`" in readme


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ACTIVITYCTL_APPLY_DATABASE_URL": "postgresql://db/x"}, "while packages are installed"),
        ({}, "does not say where activityctl comes from"),
        ({"ACTIVITYCTL_WHEEL": "activityctl-0.1.0-py3-none-any.whl"}, "WHEEL_SHA256 is not set"),
        ({"ACTIVITYCTL_WHEEL": "activityctl", "ACTIVITYCTL_WHEEL_SHA256": "0" * 64}, ".whl"),
        ({"ACTIVITYCTL_SOURCE": "git+https://git.example/a@main"}, "full commit hash"),
        ({"ACTIVITYCTL_SOURCE": "git+https://git.example/a"}, "full commit hash"),
    ],
)
def test_the_installation_refuses_what_is_not_pinned(stranger, variables, message):
    stranger("init", "--ci", "gitlab")
    done = subprocess.run(
        ["sh", ".activityctl/install.sh", "packages"],
        env={"PATH": os.environ["PATH"], "ACTIVITYCTL_VERSION": "0.1.0", **variables},
        cwd=stranger.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "hint: " in done.stderr
    assert not (stranger.folder / "packages").exists()


def test_the_installation_refuses_a_wheel_with_another_hash(stranger):
    stranger("init", "--ci", "gitlab")
    wheel = stranger.folder / "activityctl-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"PK: somebody else's wheel")
    done = subprocess.run(
        ["sh", ".activityctl/install.sh", "packages"],
        env={
            "PATH": os.environ["PATH"],
            "ACTIVITYCTL_VERSION": "0.1.0",
            "ACTIVITYCTL_WHEEL": wheel.name,
            "ACTIVITYCTL_WHEEL_SHA256": "0" * 64,
        },
        cwd=stranger.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert not (stranger.folder / "packages").exists()
