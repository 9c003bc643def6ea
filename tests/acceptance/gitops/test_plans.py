"""`plan`, saved plans, `diff` and `export`, as a team and its CI use them."""

import json

import pytest

from support.gitops import Repository, runs
from support.waiting import until

pytestmark = pytest.mark.slow


def test_a_plan_shows_what_would_change_and_changes_nothing(repository: Repository):
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


def test_with_detailed_exitcode_a_plan_exits_2_if_something_changes(applied: Repository):
    plan = ("plan", "-f", "definitions", "--detailed-exitcode")
    assert "No changes: 2 objects are unchanged." in applied(*plan, code=0).stdout
    applied.subscribe(params={"n": 2})
    applied(*plan, code=2)
    applied("plan", "-f", "definitions", code=0)
    applied.subscribe(params={"n": "two"})
    assert "sub.yaml" in applied(*plan, code=3).stderr
    applied("plan", "-f", "nowhere", "--detailed-exitcode", code=3)


def test_a_plan_shows_open_runs(repository: Repository):
    repository.define(tasks=[{"name": "one", "command": {"argv": ["sleep", "20"]}}])
    repository("apply", "-f", "definitions")
    repository("trigger", repository.name("sub"), "--no-wait")
    until(lambda: runs(repository, "running"))
    repository.define(timeout="2h")
    done = repository("plan", "-f", "definitions")
    assert f"! 1 open run of {repository.name('sub')} continues unchanged" in done.stdout
    for run in runs(repository, "running"):
        repository("cancel", run["id"])


def test_a_saved_plan_is_applied_exactly_and_only_once(repository: Repository):
    done = repository("plan", "-f", "definitions", "--out", "p.plan")
    assert "activityctl apply p.plan" in done.stderr
    repository.subscribe(params={"n": 7})  # the present files do not matter
    repository("apply", "p.plan")
    assert repository.live()["params"] == {"n": 1}
    again = repository("apply", "p.plan", code=5)
    assert "the plan is out of date" in again.stderr
    assert "hint: " in again.stderr


def test_a_saved_plan_is_refused_after_another_apply(applied: Repository):
    applied.subscribe(params={"n": 2})
    applied("plan", "-f", "definitions", "--out", "p.plan")
    applied.subscribe(params={"n": 3})
    applied("apply", "-f", "definitions")
    applied("apply", "p.plan", code=5)
    assert applied.live()["params"] == {"n": 3}


def test_a_saved_plan_is_refused_after_a_pause(applied: Repository):
    applied.subscribe(params={"n": 2})
    applied("plan", "-f", "definitions", "--out", "p.plan")
    applied("pause", applied.name("sub"))
    applied("apply", "p.plan", code=5)


def test_a_saved_plan_is_applied_after_changes_of_other_objects(applied: Repository):
    applied.subscribe(params={"n": 2})
    applied("plan", "-f", "definitions", "--out", "p.plan")
    other = Repository(applied.shell, f"{applied.tag}other")
    other.define("other")
    other("apply", "-f", "definitions/other.yaml")
    applied("apply", "p.plan")
    assert applied.live()["params"] == {"n": 2}


def test_a_file_that_is_no_saved_plan_is_refused(repository: Repository):
    repository("apply", "definitions/sub.yaml", code=3)
    repository("apply", "nowhere.plan", code=4)
    repository("apply", "definitions", code=3)
    repository("plan", "-f", "definitions", "--out", "p.plan")
    repository("apply", "p.plan", "--prune", code=2)
    repository("plan", "-f", "definitions", "--out", "no/such/folder.plan", code=1)


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


def test_an_export_has_no_diff_and_can_be_applied_unchanged(applied: Repository):
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
    done = applied("export", applied.name("sub"), "-o", "json")
    (document,) = json.loads(done.stdout)["items"]
    assert document["spec"]["triggers"] == {"yearly": None}
    applied("export", "nothing-of-this-name", code=4)


def test_an_export_takes_a_kind_and_a_name_as_other_commands_do(applied: Repository):
    def names(*words: str) -> list[tuple[str, str]]:
        items = json.loads(applied("export", *words, "-o", "json").stdout)["items"]
        return [(item["kind"], item["metadata"]["name"]) for item in items]

    name = applied.name("both")
    for word, kind in (("both", "Subscription"), ("both-def", "ActivityDefinition")):
        spec = {"activity": applied.name("report")} if kind == "Subscription" else None
        spec = spec or {"tasks": [{"name": "one", "command": {"argv": ["true"]}}]}
        document = {"apiVersion": "activityctl/v1", "kind": kind, "metadata": {"name": name}}
        (applied.files / f"{word}.json").write_text(json.dumps({**document, "spec": spec}))
    applied("apply", "-f", "definitions")
    assert names("sub", name) == [("Subscription", name)]
    assert names("definition", name) == [("ActivityDefinition", name)]
    assert len(names(name)) == 2
    assert {kind for kind, _ in names("subscriptions")} == {"Subscription"}
    applied("export", "cal", name, code=4)
    assert "runs have no manifest" in applied("export", "runs", name, code=2).stderr
