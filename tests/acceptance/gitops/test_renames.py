"""`renamedFrom`: a subscription gets a new name while its schedule fires."""

import json
import time
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from support.gitops import Repository

pytestmark = pytest.mark.slow

SPEC = {
    "triggers": [
        {"name": "often", "interval": {"every": "2s"}},
        {"name": "later", "event": {"type": "renames.later", "debounce": {"for": "8s"}}},
    ],
    "tasks": [{"name": "one", "command": {"argv": ["echo", "${ params.n }"]}}],
    "state": {"runs": "${ has(state.runs) ? state.runs + 1 : 1 }"},
    "concurrency": {"policy": "queue"},
}


def rename(repository: Repository, old: str, new: str) -> None:
    path = repository.files / f"{new}.yaml"
    repository.subscribe(new)
    named = f"  name: {repository.name(new)}\n"
    text = path.read_text()
    assert named in text
    path.write_text(text.replace(named, f"{named}  renamedFrom: {repository.name(old)}\n"))
    repository.remove(old)


def runs_of(repository: Repository, word: str, trigger: str) -> list[dict[str, Any]]:
    words = ("get", "runs", "-s", repository.name(word), "--limit", "1000")
    found = repository.shell.json(*words)["items"]
    return [run for run in found if run["trigger"] == trigger]


def wait_for(repository: Repository, word: str, trigger: str, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 90
    while len(found := runs_of(repository, word, trigger)) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return found


def test_a_renamed_subscription_keeps_runs_logs_and_what_waits(repository: Repository):
    members = ("-f", "definitions", "--applyset", repository.tag, "--prune")
    old, new = repository.name("sub"), repository.name("new")
    repository.define(**SPEC)
    repository("apply", *members, "--yes")
    before = wait_for(repository, "sub", "often", 2)
    event = {"id": repository.tag, "source": "/tests", "type": "renames.later"}
    repository("emit", "-", stdin=json.dumps({"specversion": "1.0", **event}))
    rename(repository, "sub", "new")

    assert f"~ subscription/{new} renamed from {old}" in repository("plan", *members).stdout
    markdown = repository("plan", *members, "-o", "markdown").stdout
    assert f"! subscription/{new} renamed from {old}" in markdown
    view = repository.shell.json("plan", *members)
    (change,) = (each for each in view["changes"] if each["kind"] == "Subscription")
    assert (change["name"], change["renamedFrom"]) == (new, old)
    assert (view["schedules"], view["summary"]["deleted"]) == ([], 0)
    diff = repository("diff", "-f", "definitions", code=1).stdout
    assert f"-  name: {old}" in diff
    assert f"+  name: {new}" in diff

    done = repository("apply", *members, "--yes").stdout
    assert f"subscription/{new} configured (renamed from {old})" in done
    assert "No changes" in repository("plan", *members).stdout
    assert repository.names() == {"report", "new"}
    assert "renamedFrom" not in repository("export", "sub", new).stdout

    after = wait_for(repository, "new", "often", len(before) + 3)
    assert {run["id"] for run in before} <= {run["id"] for run in after}
    assert {run["subscription"] for run in after} == {new}
    due = sorted(datetime.fromisoformat(run["dueAt"]) for run in after)
    steps = {later - earlier for earlier, later in pairwise(due)}
    assert steps == {timedelta(seconds=2)}, "one run for each nominal time"
    assert len(wait_for(repository, "new", "later", 1)) == 1
    assert repository.live("new")["state"]["runs"] > len(before) + 1, "it counted on"
    assert repository("logs", new).stdout.strip()

    repository("get", "runs", "-s", old, code=4)
    assert f"renamed to {new}" in repository("history", "sub", old).stdout
    assert f"renamed from {old}" in repository("history", "sub", new).stdout
    refused = repository("rollback", "sub", old, code=5).stderr
    assert f"subscription/{old} was renamed to {new}" in refused
    repository("delete", "sub", new, "--yes")


def test_a_saved_plan_renames_too(applied: Repository):
    before = applied.live("sub")
    rename(applied, "sub", "new")
    applied("plan", "-f", "definitions", "--out", "plan.json")
    applied("apply", "plan.json")
    assert applied.live("new")["id"] == before["id"]
    assert "out of date" in applied("apply", "plan.json", code=5).stderr
