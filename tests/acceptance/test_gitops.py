"""plan, diff, apply, prune, history, rollback and delete, as a team and its CI type them."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activityctl.domain import ids

pytestmark = pytest.mark.slow

COMMAND = Path(sys.executable).parent / "activityctl"
COMMIT = "c0ffee0123456789c0ffee0123456789c0ffee01"
_NUMBERS = itertools.count()


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.2)
    return found


@dataclass(frozen=True)
class Repository:
    """A team's folder of files on the shared daemon; its names are nobody else's."""

    shell: Any
    tag: str

    @property
    def files(self) -> Path:
        return self.shell.folder / "definitions"

    def name(self, word: str) -> str:
        return f"{self.tag}-{word}"

    def define(self, word: str = "report", **spec: Any) -> None:
        body = {
            "params": {"type": "object", "properties": {"n": {"type": "integer"}}},
            "triggers": [{"name": "yearly", "cron": {"schedule": "0 3 1 1 *"}}],
            "tasks": [{"name": "one", "command": {"argv": ["echo", "${ params.n }"]}}],
            **spec,
        }
        self.write(word, "ActivityDefinition", body)

    def subscribe(self, word: str = "sub", activity: str = "report", **spec: Any) -> None:
        body = {"activity": self.name(activity), "params": {"n": 1}, **spec}
        self.write(word, "Subscription", body)

    def write(self, word: str, kind: str, spec: Any) -> None:
        metadata = {"name": self.name(word)}
        document = {"apiVersion": "activityctl/v1", "kind": kind, "metadata": metadata}
        self.files.mkdir(exist_ok=True)
        text = yaml.safe_dump({**document, "spec": spec}, sort_keys=False)
        (self.files / f"{word}.yaml").write_text(text)

    def remove(self, word: str) -> None:
        (self.files / f"{word}.yaml").unlink()

    def __call__(self, *arguments: str, code: int = 0, **options: Any) -> Any:
        return self.shell(*arguments, code=code, **options)

    def actions(self, *arguments: str, code: int = 0) -> dict[str, str]:
        view = self.shell.json("apply", "-f", "definitions", *arguments, code=code)
        return {one["name"].removeprefix(f"{self.tag}-"): one["action"] for one in view["changes"]}

    def live(self, word: str = "sub") -> Any:
        items = self.shell.json("get", "sub", "--limit", "10000")["items"]
        return next((one for one in items if one["name"] == self.name(word)), None)

    def names(self) -> set[str]:
        """Every live object of this team."""
        found: set[str] = set()
        for kind in ("def", "sub"):
            items = self.shell.json("get", kind, "--limit", "10000")["items"]
            found |= {one["name"] for one in items}
        mine = f"{self.tag}-"
        return {name.removeprefix(mine) for name in found if name.startswith(mine)}

    def history(self, word: str = "sub", kind: str = "sub") -> Any:
        return self.shell.json("history", kind, self.name(word))["items"]


@pytest.fixture
def repository(shell: Any) -> Repository:
    found = Repository(shell, f"g{next(_NUMBERS)}x")
    found.define()
    found.subscribe()
    return found


@pytest.fixture
def applied(repository: Repository) -> Repository:
    repository("apply", "-f", "definitions")
    return repository


def with_environment(repository: Repository, *arguments: str, **variables: str) -> None:
    done = subprocess.run(
        [str(COMMAND), *arguments],
        env={**repository.shell.environment, **variables},
        cwd=repository.shell.folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def in_temporal(repository: Repository, word: str) -> bool:
    """Whether Temporal holds the yearly schedule of that subscription."""
    parts = repository.shell.json("status")["components"]
    (address,) = (part["address"] for part in parts if part["name"] == "temporal")
    client = await Client.connect(address.removeprefix("http://"))
    owner = ids.subscription_id(repository.name(word))
    try:
        await client.get_schedule_handle(ids.schedule_id(owner, "yearly")).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


# ---- plan ----------------------------------------------------------------------------


def test_a_plan_tells_what_will_change_and_changes_nothing(repository: Repository):
    done = repository("plan", "-f", "definitions")
    assert f"+ activitydefinition/{repository.name('report')} created" in done.stdout
    assert f"+ subscription/{repository.name('sub')} created" in done.stdout
    assert f"+ schedule {repository.name('sub')}/yearly" in done.stdout
    assert "next after:  " in done.stdout
    assert "-01-01 03:00:00Z" in done.stdout
    assert done.stdout.rstrip().endswith(
        "Plan: 2 to create, 0 to configure, 0 to delete, 0 unchanged."
    )
    assert repository.names() == set()


def test_a_plan_shows_each_field_with_old_and_new(applied: Repository):
    applied.define(timeout="2h", triggers=[{"name": "yearly", "cron": {"schedule": "0 4 1 1 *"}}])
    applied.subscribe(params={"n": 2})
    done = applied("plan", "-f", "definitions")
    assert "spec.params.n: 1 -> 2" in done.stdout
    assert 'spec.timeout: (none) -> "2h"' in done.stdout
    assert 'spec.triggers[yearly].cron.schedule: "0 3 1 1 *" -> "0 4 1 1 *"' in done.stdout
    assert "next before: " in done.stdout
    assert "-01-01 04:00:00Z" in done.stdout
    view = applied.shell.json("plan", "-f", "definitions")
    assert view["summary"] == {"created": 0, "configured": 2, "unchanged": 0, "deleted": 0}
    (schedule,) = view["schedules"]
    assert [len(schedule["nextBefore"]), len(schedule["nextAfter"])] == [3, 3]
    assert applied.live()["params"] == {"n": 1}


def test_a_plan_as_markdown_is_one_comment(applied: Repository):
    applied.subscribe(params={"n": 2})
    text = applied("plan", "-f", "definitions", "-o", "markdown").stdout
    assert text.startswith("### activityctl plan\n\nPlan: 0 to create, 1 to configure")
    assert f"```diff\n! subscription/{applied.name('sub')} configured\n" in text
    assert "\x1b" not in text


def test_a_plans_exit_code_tells_whether_something_changes(applied: Repository):
    plan = ("plan", "-f", "definitions", "--detailed-exitcode")
    assert "No changes: 2 objects are as wanted." in applied(*plan, code=0).stdout
    applied.subscribe(params={"n": 2})
    applied(*plan, code=2)
    applied("plan", "-f", "definitions", code=0)
    applied.subscribe(params={"n": "two"})
    assert "sub.yaml" in applied(*plan, code=3).stderr
    applied("plan", "-f", "nowhere", "--detailed-exitcode", code=3)


def test_a_plan_tells_of_open_runs(repository: Repository):
    repository.define(tasks=[{"name": "one", "command": {"argv": ["sleep", "20"]}}])
    repository("apply", "-f", "definitions")
    repository("trigger", repository.name("sub"), "--no-wait")
    until(lambda: runs(repository, "running"))
    repository.define(timeout="2h")
    done = repository("plan", "-f", "definitions")
    assert f"! 1 open run of {repository.name('sub')} goes on as it began" in done.stdout
    for run in runs(repository, "running"):
        repository("cancel", run["id"])


def runs(repository: Repository, status: str) -> Any:
    name = repository.name("sub")
    return repository.shell.json("get", "runs", "-s", name, "--status", status)["items"]


# ---- saved plans ---------------------------------------------------------------------


def test_a_saved_plan_is_carried_out_exactly_and_once(repository: Repository):
    done = repository("plan", "-f", "definitions", "--out", "p.plan")
    assert "activityctl apply p.plan" in done.stderr
    repository.subscribe(params={"n": 7})  # what the files say by now does not matter
    repository("apply", "p.plan")
    assert repository.live()["params"] == {"n": 1}
    again = repository("apply", "p.plan", code=5)
    assert "moved" in again.stderr
    assert "hint: " in again.stderr


def test_a_saved_plan_is_refused_when_somebody_was_faster(applied: Repository):
    applied.subscribe(params={"n": 2})
    applied("plan", "-f", "definitions", "--out", "p.plan")
    applied.subscribe(params={"n": 3})
    applied("apply", "-f", "definitions")
    applied("apply", "p.plan", code=5)
    assert applied.live()["params"] == {"n": 3}


def test_a_saved_plan_is_refused_when_an_operator_paused_meanwhile(applied: Repository):
    applied.subscribe(params={"n": 2})
    applied("plan", "-f", "definitions", "--out", "p.plan")
    applied("pause", applied.name("sub"))
    applied("apply", "p.plan", code=5)


def test_a_saved_plan_holds_while_others_change_other_things(applied: Repository):
    applied.subscribe(params={"n": 2})
    applied("plan", "-f", "definitions", "--out", "p.plan")
    other = Repository(applied.shell, f"{applied.tag}other")
    other.define("other")
    other("apply", "-f", "definitions/other.yaml")
    applied("apply", "p.plan")
    assert applied.live()["params"] == {"n": 2}


def test_what_is_no_saved_plan_is_refused(repository: Repository):
    repository("apply", "definitions/sub.yaml", code=3)
    repository("apply", "nowhere.plan", code=4)
    repository("apply", "definitions", code=3)
    repository("plan", "-f", "definitions", "--out", "p.plan")
    repository("apply", "p.plan", "--prune", code=2)
    repository("plan", "-f", "definitions", "--out", "no/such/folder.plan", code=1)


# ---- diff and export -----------------------------------------------------------------


def test_a_diff_shows_lines_of_yaml_and_its_exit_code(applied: Repository):
    assert applied("diff", "-f", "definitions", code=0).stdout == ""
    applied.subscribe(params={"n": 2})
    done = applied("diff", "-f", "definitions", code=1)
    assert f"--- live/subscription/{applied.name('sub')}" in done.stdout
    assert "-    n: 1\n+    n: 2\n" in done.stdout
    applied.subscribe(params={"n": "two"})
    applied("diff", "-f", "definitions", code=3)


def test_a_diff_of_a_subscription_that_says_paused(applied: Repository):
    applied.subscribe(paused=True)
    assert "+  paused: true" in applied("diff", "-f", "definitions", code=1).stdout
    applied("apply", "-f", "definitions")
    applied("diff", "-f", "definitions", code=0)
    applied("resume", applied.name("sub"))
    done = applied("diff", "-f", "definitions", code=1)
    assert "-  paused: false\n+  paused: true" in done.stdout


def test_an_export_differs_in_nothing_and_applies_unchanged(applied: Repository):
    applied.define(
        description="ä: 'quoted' \"twice\" | > yes no 012 1e3",
        params={"type": "object", "properties": {"n": {"type": "number", "maximum": 1e16}}},
        state={"on": "off", "é": ["~", "null", "1_000", "0x1F", "12:30:00", "2026-01-01", ""]},
    )
    applied.subscribe(params={"n": 1.0}, triggers={"yearly": None})
    applied("apply", "-f", "definitions")
    applied("pause", applied.name("sub"))
    exported = applied("export").stdout
    applied("diff", "-f", "-", stdin=exported, code=0)
    done = applied("apply", "-f", "-", stdin=exported)
    assert "created" not in done.stderr
    assert "configured" not in done.stderr
    assert applied.live()["status"] == "paused"
    one = applied("export", applied.name("sub"), "-o", "json")
    (document,) = json.loads(one.stdout)["items"]
    assert document["spec"]["triggers"] == {"yearly": None}
    applied("export", "nothing-of-this-name", code=4)


# ---- apply ---------------------------------------------------------------------------


def test_a_dry_run_of_the_client_needs_no_server(stranger: Any):
    lonely = Repository(stranger, "lonely")
    lonely.define()
    lonely.subscribe()
    done = lonely("apply", "-f", "definitions", "--dry-run", "client")
    assert "2 objects are valid; nothing was changed" in done.stderr
    lonely.subscribe(params={"n": "one"})
    lonely("apply", "-f", "definitions", "--dry-run", "client", code=3)
    lonely.subscribe()
    lonely("apply", "-f", "definitions", "--dry-run", "server", code=7)


def test_a_dry_run_of_the_server_shows_the_plan_and_changes_nothing(applied: Repository):
    applied.subscribe(params={"n": 2})
    done = applied("apply", "-f", "definitions", "--dry-run", "server")
    assert "spec.params.n: 1 -> 2" in done.stdout
    assert "nothing was changed" in done.stderr
    assert applied.live()["params"] == {"n": 1}
    assert len(applied.history()) == 1
    applied("apply", "-f", "definitions", "--dry-run", "elsewhere", code=2)


def test_an_apply_while_a_run_is_open_leaves_it_on_its_old_revision(repository: Repository):
    waits = [{"name": "one", "command": {"argv": ["sh", "-c", "sleep 4; echo old"]}}]
    repository.define(tasks=waits)
    repository("apply", "-f", "definitions")
    repository("trigger", repository.name("sub"), "--no-wait")
    (run,) = until(lambda: runs(repository, "running"))
    repository.define(tasks=[{"name": "other", "command": {"argv": ["echo", "new"]}}])
    repository.subscribe(params={"n": 2})
    repository("apply", "-f", "definitions")
    (ended,) = until(lambda: runs(repository, "succeeded"))
    assert (ended["id"], ended["revision"]) == (run["id"], run["revision"])
    (task,) = repository.shell.json("get", "tasks", "--run", run["id"])["items"]
    assert (task["name"], task["output"]["stdout"].strip()) == ("one", "old")
    new = json.loads(repository("trigger", repository.name("sub"), "-o", "json").stdout)
    assert new["revision"] != run["revision"]


def test_only_a_change_of_timing_touches_temporal(applied: Repository):
    def observed() -> str:
        (row,) = applied.shell.json("get", "schedules", applied.name("sub"))["items"]
        return str(row["observedAt"])

    before = observed()
    applied.define(timeout="2h")
    applied.subscribe(params={"n": 2})
    assert applied.actions() == {"report": "configured", "sub": "configured"}
    assert observed() == before
    applied.define(triggers=[{"name": "yearly", "cron": {"schedule": "0 4 1 1 *"}}])
    applied.actions()
    assert observed() > before


# ---- apply sets ----------------------------------------------------------------------


def in_set(repository: Repository, *more: str) -> tuple[str, ...]:
    return ("apply", "-f", "definitions", "--applyset", repository.tag, *more)


async def test_pruning_lists_wants_a_yes_and_deletes_exactly(repository: Repository):
    repository.subscribe("gone")
    repository.subscribe("kept")
    repository(*in_set(repository))
    repository.remove("gone")
    outside = Repository(repository.shell, f"{repository.tag}o")
    outside.write("out", "Subscription", {"activity": repository.name("report")})
    outside("apply", "-f", "definitions/out.yaml")
    outside.remove("out")
    refused = repository(*in_set(repository, "--prune"), code=1)
    assert f"  - subscription/{repository.name('gone')}" in refused.stderr
    assert "--yes" in refused.stderr
    assert refused.stderr.count("  - ") == 1
    assert repository.names() == {"report", "sub", "gone", "kept"}
    assert await in_temporal(repository, "gone")
    done = repository(*in_set(repository, "--prune", "--yes"))
    assert f"subscription/{repository.name('gone')} deleted" in done.stdout
    assert repository.names() == {"report", "sub", "kept"}
    assert outside.names() == {"out"}
    assert not await in_temporal(repository, "gone")
    assert await in_temporal(repository, "kept")
    again = repository(*in_set(repository, "--prune"))  # nothing to ask
    assert "deleted" not in again.stderr


@pytest.mark.parametrize(("answer", "code", "stays"), [("y", 0, False), ("n", 1, True)])
def test_pruning_asks_at_a_terminal(repository: Repository, answer: str, code: int, *, stays: bool):
    repository.subscribe("gone")
    repository(*in_set(repository))
    repository.remove("gone")
    master, slave = os.openpty()
    try:
        os.write(master, f"{answer}\n".encode())
        done = subprocess.run(
            [str(COMMAND), *in_set(repository, "--prune")],
            env=repository.shell.environment,
            cwd=repository.shell.folder,
            stdin=slave,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode == code, done.stderr
    assert "Delete them?" in done.stderr
    assert ("gone" in repository.names()) is stays


def test_pruning_needs_a_set_and_files(repository: Repository):
    repository(*in_set(repository))
    done = repository("apply", "-f", "definitions", "--prune", "--yes", code=1)
    assert "--applyset" in done.stderr
    repository("apply", "-f", "definitions", "--applyset", "Not a name", code=2)
    for word in ("report", "sub"):
        repository.remove(word)
    repository(*in_set(repository, "--prune", "--yes"), code=3)
    empty = ("apply", "-f", "-", "--applyset", repository.tag, "--prune", "--yes")
    repository(*empty, code=3, stdin="")
    assert repository.names() == {"report", "sub"}


def test_what_belongs_to_another_set_is_a_conflict(repository: Repository):
    repository(*in_set(repository))
    repository.subscribe(params={"n": 2})
    done = repository("apply", "-f", "definitions", "--applyset", "others", code=5)
    both = f"activitydefinition/{repository.name('report')}, subscription/{repository.name('sub')}"
    assert f'{both} belong to the apply set "{repository.tag}"' in done.stderr
    assert repository.live()["params"] == {"n": 1}
    repository("plan", "-f", "definitions", "--applyset", "others", code=5)


def test_a_definition_that_others_use_is_not_pruned(repository: Repository):
    repository.define("spare")
    repository.remove("sub")
    repository(*in_set(repository))
    repository.subscribe("outside", "spare")
    repository("apply", "-f", "definitions/outside.yaml")
    repository.remove("outside")
    repository.remove("spare")
    done = repository(*in_set(repository, "--prune", "--yes"), code=5)
    assert f'subscription "{repository.name("outside")}" uses it' in done.stderr
    assert repository.names() == {"report", "spare", "outside"}


def test_concurrent_applies_of_one_set_never_mix(repository: Repository, tmp_path: Path):
    repository(*in_set(repository))
    for number in range(4):
        variant = Repository(repository.shell, repository.tag)
        for word in range(5):
            variant.subscribe(f"v{word + number}", params={"n": number})
        folder = tmp_path / f"set{number}"
        repository.files.rename(folder)
        repository.define()
        (folder / "report.yaml").write_text((repository.files / "report.yaml").read_text())
    options = ("--applyset", repository.tag, "--prune", "--yes")
    processes = [
        repository.shell.start("apply", "-f", f"set{number}", *options) for number in range(4)
    ]
    codes = []
    for process in processes:
        _, errors = process.communicate(timeout=90)
        assert process.returncode in {0, 5}, errors
        codes.append(process.returncode)
    assert 0 in codes
    items = repository.shell.json("get", "sub", "--limit", "10000")["items"]
    live = {
        one["name"]: one["params"]["n"] for one in items if one["name"].startswith(repository.tag)
    }
    sets = [{repository.name(f"v{word + n}"): n for word in range(5)} for n in range(4)]
    sets[0][repository.name("sub")] = 1  # the first folder has the fixture's file, too
    assert live in sets


# ---- history, rollback, delete -------------------------------------------------------


def test_history_tells_the_actor_and_the_commit_of_the_ci(repository: Repository):
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


def test_the_commit_of_a_git_folder_is_remembered(repository: Repository):
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


def test_a_rollback_gives_an_earlier_content_again(applied: Repository):
    for n in (2, 3):
        applied.subscribe(params={"n": n})
        applied("apply", "-f", "definitions")
    applied("rollback", "sub", applied.name("sub"))
    assert applied.live()["params"] == {"n": 2}
    applied("rollback", "sub", applied.name("sub"), "--to", "1")
    assert applied.live()["params"] == {"n": 1}
    assert [(one["number"], one["command"]) for one in applied.history()] == [
        (5, "rollback"),
        (4, "rollback"),
        (3, "apply"),
        (2, "apply"),
        (1, "apply"),
    ]
    applied("rollback", "sub", applied.name("sub"), "--to", "9", code=4)
    applied("rollback", "def", applied.name("report"), code=5)


def test_a_definition_rolled_back_is_its_old_revision(applied: Repository):
    name = applied.name("report")
    applied.define(tasks=[{"name": "one", "command": {"argv": ["echo", "changed"]}}])
    applied("apply", "-f", "definitions")
    applied("rollback", "def", name)
    newest, middle, oldest = applied.history("report", "def")
    assert newest["revision"] == oldest["revision"] != middle["revision"]
    revisions = applied.shell.json("get", "revisions", name)["items"]
    assert len(revisions) == 2


async def test_a_deleted_subscription_returns_with_its_runs_and_logs(applied: Repository):
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
    assert [one["action"] for one in applied.history("report", "def")] == ["deleted", "created"]


def test_an_operators_pause_outlives_every_apply(applied: Repository):
    applied("pause", applied.name("sub"))
    applied.define(timeout="2h")
    applied.subscribe(params={"n": 2})
    applied("apply", "-f", "definitions")
    assert applied.live()["status"] == "paused"
