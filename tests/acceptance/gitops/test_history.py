"""`history`, `rollback` and `delete`, as a team and its CI use them."""

import subprocess

import pytest

from support.gitops import Repository, in_temporal, runs, with_environment

pytestmark = pytest.mark.slow
COMMIT = "c0ffee0123456789c0ffee0123456789c0ffee01"


def test_history_shows_the_actor_and_the_commit_of_the_ci(repository: Repository):
    apply = ("apply", "-f", "definitions", "--applyset", repository.tag)
    with_environment(repository, *apply, GITHUB_SHA=COMMIT, GITHUB_ACTOR="octocat")
    repository.subscribe(params={"n": 2})
    gitlab = {"CI_COMMIT_SHA": "1" * 40, "GITLAB_USER_LOGIN": "tanuki"}
    with_environment(repository, *apply, **gitlab)
    newest, oldest = repository.history()
    assert (oldest["actor"], oldest["sourceCommit"]) == ("octocat", COMMIT)
    assert (newest["actor"], newest["sourceCommit"]) == ("tanuki", "1" * 40)
    assert newest["fields"] == [{"path": "spec.params.n", "old": 1, "new": 2}]
    assert (newest["applyset"], newest["action"]) == (repository.tag, "configured")
    text = repository("history", "sub", repository.name("sub")).stdout
    assert "octocat" in text
    assert COMMIT[:12] in text
    assert "spec.params.n" in text
    repository("history", "sub", "nothing-of-this-name", code=4)
    repository("history", "runs", repository.name("sub"), code=2)


def test_history_shows_the_commit_of_a_git_folder(repository: Repository):
    me = ("-c", "user.name=me", "-c", "user.email=me@example.com")
    for words in (("init", "-q"), ("add", "."), (*me, "commit", "-qm", "first")):
        subprocess.run(["git", *words], cwd=repository.shell.folder, check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=repository.shell.folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    unset = {"GITHUB_SHA": "", "CI_COMMIT_SHA": "", "GITHUB_ACTOR": "", "GITLAB_USER_LOGIN": ""}
    with_environment(repository, "apply", "-f", "definitions", **unset)
    (entry,) = repository.history()
    assert entry["sourceCommit"] == head
    assert "@" in entry["actor"]
    repository.subscribe(params={"n": 2})
    with_environment(repository, "apply", "-f", "definitions", **unset)
    assert repository.history()[0]["sourceCommit"] == f"{head}-dirty"
    shown = repository("history", "sub", repository.name("sub")).stdout
    assert f" {head[:12]}-dirty " in shown


def test_a_rollback_restores_an_earlier_version(applied: Repository):
    for n in (2, 3):
        applied.subscribe(params={"n": n})
        applied("apply", "-f", "definitions")
    applied("rollback", "sub", applied.name("sub"))
    assert applied.live()["params"] == {"n": 2}
    applied("rollback", "sub", applied.name("sub"), "--to", "1")
    assert applied.live()["params"] == {"n": 1}
    assert [(change["number"], change["command"]) for change in applied.history()] == [
        (5, "rollback"),
        (4, "rollback"),
        (3, "apply"),
        (2, "apply"),
        (1, "apply"),
    ]
    applied("rollback", "sub", applied.name("sub"), "--to", "9", code=4)
    applied("rollback", "def", applied.name("report"), code=5)


def test_a_definition_gets_its_old_revision_back(applied: Repository):
    name = applied.name("report")
    applied.define(tasks=[{"name": "one", "command": {"argv": ["echo", "changed"]}}])
    applied("apply", "-f", "definitions")
    applied("rollback", "def", name)
    newest, middle, oldest = applied.history("report", "def")
    assert newest["revision"] == oldest["revision"] != middle["revision"]
    revisions = applied.shell.json("get", "revisions", name)["items"]
    assert len(revisions) == 2


async def test_a_restored_subscription_has_its_runs_and_logs(applied: Repository):
    name = applied.name("sub")
    old = applied.live()["id"]
    applied("trigger", name)
    assert f"subscription/{name} deleted" in applied("delete", "sub", name, "--yes").stdout
    assert applied.live() is None
    applied("delete", "sub", name, code=4)
    assert len(runs(applied, "succeeded")) == 1
    assert "created" in applied("rollback", "sub", name).stdout
    assert applied.live()["id"] == old
    assert len(runs(applied, "succeeded")) == 1
    assert "run succeeded" in applied("logs", name).stdout
    assert await in_temporal(applied, "sub")
    applied("trigger", name)
    assert len(runs(applied, "succeeded")) == 2


def test_a_definition_in_use_is_not_deleted(applied: Repository):
    done = applied("delete", "def", applied.name("report"), code=5)
    assert f'subscription "{applied.name("sub")}" uses it' in done.stderr
    assert applied.names() == {"report", "sub"}
    applied("delete", "sub", applied.name("sub"), "--yes")
    applied("delete", "def", applied.name("report"), "--yes")
    assert applied.names() == set()
    assert [change["action"] for change in applied.history("report", "def")] == [
        "deleted",
        "created",
    ]


def test_an_apply_does_not_end_a_pause(applied: Repository):
    applied("pause", applied.name("sub"))
    applied.define(timeout="2h")
    applied.subscribe(params={"n": 2})
    applied("apply", "-f", "definitions")
    assert applied.live()["status"] == "paused"
