"""`apply`, apply sets and `--prune`, as a team and its CI use them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.forked import COMMAND
from support.gitops import Repository, in_temporal, runs
from support.waiting import until

pytestmark = pytest.mark.slow


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


def test_a_list_with_a_limit_reports_more_and_manifest_kinds_have_no_limit(repository: Repository):
    spec = {"activity": repository.name("report"), "params": {"n": 1}}
    many = [
        {
            "apiVersion": "activityctl/v1",
            "kind": "Subscription",
            "metadata": {"name": repository.name(f"s{number}")},
            "spec": spec,
        }
        for number in range(101)
    ]
    (repository.files / "many.json").write_text("\n---\n".join(map(json.dumps, many)))
    (repository.files / "many.json").rename(repository.files / "many.yaml")
    repository("apply", "-f", "definitions")
    names = repository("get", "sub", "-o", "name")
    mine = [line for line in names.stdout.splitlines() if f"/{repository.tag}-" in line]
    assert (len(mine), names.stderr) == (102, "")
    shown = repository("get", "sub", "--limit", "5")
    assert len(shown.stdout.splitlines()) == 6
    assert "5 shown, and there are more; --limit 0 lists all" in shown.stderr
    cut = repository.shell.json("get", "schedules", "--limit", "5")
    assert (len(cut["items"]), cut["metadata"]) == (5, {"hasMore": True})
    whole = repository.shell.json("get", "schedules")
    assert (len(whole["items"]) >= 102, whole["metadata"]) == (True, {"hasMore": False})


def in_set(repository: Repository, *more: str) -> tuple[str, ...]:
    return ("apply", "-f", "definitions", "--applyset", repository.tag, *more)


async def test_pruning_lists_asks_for_confirmation_and_deletes_only_what_was_removed(
    repository: Repository,
):
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
    again = repository(*in_set(repository, "--prune"))  # nothing to delete, so no question
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
    done = repository("apply", "-f", "definitions", "--prune", "--yes", code=2)
    assert "--applyset" in done.stderr
    repository("apply", "-f", "definitions", "--applyset", "Not a name", code=2)
    repository(*in_set(repository, "--allow-empty"), code=2)


def test_a_set_is_only_emptied_with_allow_empty(repository: Repository):
    repository(*in_set(repository))
    for word in ("report", "sub"):
        repository.remove(word)
    both = f"activitydefinition/{repository.name('report')}, subscription/{repository.name('sub')}"
    done = repository(*in_set(repository, "--prune", "--yes"), code=3)
    assert f"would delete all of the apply set {repository.tag}, 2 objects: {both};" in done.stderr
    assert "add --allow-empty" in done.stderr
    stdin = ("-f", "-", "--applyset", repository.tag, "--prune")
    for command in (("plan",), ("apply", "--yes")):
        assert both in repository(*command, *stdin, code=3, stdin="# nothing\n").stderr
    repository(*in_set(repository, "--prune", "--allow-empty", "--dry-run", "client"))
    done = repository(*in_set(repository, "--prune", "--allow-empty"), code=1)
    assert "will be deleted, which empties it:" in done.stderr
    assert done.stderr.count("  - ") == 2
    assert repository.names() == {"report", "sub"}
    saved = ("plan", *in_set(repository, "--prune", "--allow-empty", "--out", "plan.json")[1:])
    assert "2 to delete" in repository(*saved).stdout
    content = json.loads((repository.shell.folder / "plan.json").read_text())
    forged = json.dumps({**content, "allowEmpty": False})
    (repository.shell.folder / "forged.json").write_text(forged)
    repository("apply", "forged.json", code=3)
    assert (
        f"subscription/{repository.name('sub')} deleted" in repository("apply", "plan.json").stdout
    )
    assert repository.names() == set()
    repository(*in_set(repository, "--prune"), code=3)
    repository(*in_set(repository, "--prune", "--allow-empty"))


def test_pruning_keeps_what_was_moved_into_a_subfolder(repository: Repository):
    repository.subscribe("moved")
    repository.subscribe("gone")
    repository(*in_set(repository))
    below = repository.files / "team"
    below.mkdir()
    (repository.files / "moved.yaml").rename(below / "moved.yaml")
    (below / "broken.yaml").write_bytes(b"activityctl/v1: [\xff")
    for command in ("plan", "apply"):
        options = ("--applyset", repository.tag, "--prune", *["--yes"][: command == "apply"])
        done = repository(command, "-f", "definitions", *options, code=5)
        file = "definitions/team/moved.yaml"
        assert f"subscription/{repository.name('moved')} (in {file})" in done.stderr
        assert "add -R" in done.stderr
    assert repository.names() == {"report", "sub", "moved", "gone"}
    (below / "broken.yaml").unlink()
    repository.remove("gone")
    repository(*in_set(repository, "-R", "--prune", "--yes"))
    assert repository.names() == {"report", "sub", "moved"}
    (below / "moved.yaml").unlink()
    (below / "broken.yaml").write_bytes(b"activityctl/v1: [\xff")
    repository(*in_set(repository, "--prune", "--yes"))
    assert repository.names() == {"report", "sub"}


def test_an_object_of_another_set_is_a_conflict(repository: Repository):
    repository(*in_set(repository))
    repository.subscribe(params={"n": 2})
    done = repository("apply", "-f", "definitions", "--applyset", "others", code=5)
    both = f"activitydefinition/{repository.name('report')}, subscription/{repository.name('sub')}"
    assert f'{both} belong to the apply set "{repository.tag}"' in done.stderr
    assert repository.live()["params"] == {"n": 1}
    repository("plan", "-f", "definitions", "--applyset", "others", code=5)


def test_what_belongs_to_a_set_is_changed_only_with_it_or_taken_over(repository: Repository):
    repository(*in_set(repository))
    repository("apply", "-f", "definitions")  # equal objects are no conflict
    repository.subscribe(params={"n": 2})
    for command in ("plan", "apply"):
        done = repository(command, "-f", "definitions", code=5)
        assert f"--applyset {repository.tag}" in done.stderr
    assert repository.live()["params"] == {"n": 1}
    other = ("-f", "definitions", "--applyset", f"{repository.tag}-other")
    repository("plan", "-f", "definitions", "--take-over", code=2)
    shown = repository("plan", *other, "--take-over", "--out", "saved.json").stdout
    assert f'applyset: "{repository.tag}" -> "{repository.tag}-other"' in shown
    repository("apply", "saved.json")
    assert repository.live()["params"] == {"n": 2}
    repository(*in_set(repository), code=5)
    shown = repository("delete", "sub", repository.name("sub"), "--yes").stderr
    assert f"it belongs to the apply set {repository.tag}-other" in shown
    changes = repository.history()
    done = repository(
        "rollback", "sub", repository.name("sub"), "--to", str(changes[0]["number"]), code=5
    )
    assert "deleted subscription/" in done.stderr


def test_sets_are_listed_with_their_members_and_last_change(repository: Repository):
    repository(*in_set(repository))
    listed = json.loads(repository("get", "sets", "-o", "json").stdout)["items"]
    (mine,) = [found for found in listed if found["name"] == repository.tag]
    assert (mine["definitions"], mine["subscriptions"], mine["command"]) == (1, 1, "apply")
    assert mine["changedAt"]
    names = repository("get", "sets", "-o", "name").stdout.split()
    assert f"set/{repository.tag}" in names
    described = repository("describe", f"set/{repository.tag}").stdout
    assert f"name: {repository.name('sub')}" in described
    repository("get", "sets", "no-such-set", code=4)
    repository.remove("sub")
    repository.remove("report")
    empty = in_set(repository, "--prune", "--allow-empty", "--yes")
    repository(*empty)
    assert repository.tag not in repository("get", "sets").stdout.split()


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


def test_concurrent_applies_of_one_set_are_not_mixed(repository: Repository, tmp_path: Path):
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
        item["name"]: item["params"]["n"]
        for item in items
        if item["name"].startswith(repository.tag)
    }
    sets = [{repository.name(f"v{word + n}"): n for word in range(5)} for n in range(4)]
    sets[0][repository.name("sub")] = 1  # the first folder also has the file of the fixture
    assert live in sets
