"""`renamedFrom`: a subscription gets a new name and keeps its id."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.domain.gitops.fingerprint import fingerprint
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Plan, Present, PresentDefinition, Wanted
from activityctl.domain.gitops.planning import plan_changes, plan_deletion
from activityctl.domain.gitops.renames import rename_problems, with_renames
from activityctl.domain.gitops.schedule_changes import plan_view, schedule_changes
from activityctl.domain.manifests.definition import revision_id_of
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.domain.values import ids
from activityctl.domain.values.finding import Finding
from activityctl.errors import ConflictError, Problem
from support.manifests import definition

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DIGEST = definition(triggers=[{"name": "heartbeat", "interval": {"every": "30m"}}])


def manifest(name: str, old: str | None = None, **spec: Any) -> SubscriptionManifest:
    metadata = {"name": name, **({"renamedFrom": old} if old else {})}
    body = {"metadata": metadata, "spec": {"activity": DIGEST.metadata.name, **spec}}
    return SubscriptionManifest.model_validate_json(ids.canonical_json(body))


def wanted(*manifests: SubscriptionManifest, prune: bool = False) -> Wanted:
    named = {each.metadata.name: each for each in manifests}
    applyset = "ops" if prune else None
    return Wanted({DIGEST.metadata.name: DIGEST}, named, applyset, prune)


def applied(plan: Plan, present: Present) -> Present:
    """Return the live objects after the plan, as the catalog writes them: by id."""
    rows = {row.id: row for row in present.subscriptions.values()}
    for key in plan.deleted_ids:
        rows[key] = replace(rows[key], status=SubscriptionStatus.DELETED, applyset=None)
    for name, each in plan.subscriptions.items():
        key, spec = plan.subscription_ids[name], each.spec
        status, set_before = SubscriptionStatus.ACTIVE, rows[key].applyset if key in rows else None
        rows[key] = Subscription(
            key, name, spec.activity, dict(spec.params), {}, status, NOW, NOW,
            applyset=plan.applyset or set_before,
        )  # fmt: skip
    assert len({row.name for row in rows.values()}) == len(rows), "a name is unique"
    metadata = DIGEST.metadata
    current = PresentDefinition(
        metadata.name, revision_id_of(DIGEST), DIGEST.spec, {}, {}, plan.applyset
    )
    return Present({metadata.name: current}, {row.name: row for row in rows.values()})


def after(*steps: Wanted) -> Present:
    present = Present()
    for step in steps:
        present = applied(plan_changes(step, present), present)
        assert plan_changes(step, present).is_empty, "a second apply changes nothing"
    return present


def test_the_new_name_keeps_the_id_and_the_schedules():
    present = after(wanted(manifest("old")))
    want = wanted(manifest("new", "old", params={"n": 2}))
    plan = plan_changes(want, present)
    (change,) = (each for each in plan.changes if each.kind == "Subscription")
    assert (change.action, change.renamed_from) == ("configured", "old")
    assert [field.path for field in change.fields] == ["metadata.name", "spec.params.n"]
    assert list(plan.schedules) == [ids.subscription_id("old")]
    view = plan_view(plan, schedule_changes(plan, with_renames(want, present), NOW), {})
    assert view["schedules"] == []
    assert view["changes"][1]["renamedFrom"] == "old"
    live = applied(plan, present)
    assert set(live.subscriptions) == {"new"}
    assert plan_changes(want, live).is_empty
    assert plan_changes(wanted(manifest("new", params={"n": 2})), live).is_empty


def test_the_history_has_the_rename_under_both_names_and_no_old_name_in_the_manifest():
    present = after(wanted(manifest("old")))
    plan = plan_changes(wanted(manifest("new", "old")), present)
    gone, come = plan.recorded
    assert (gone.name, gone.action, gone.document) == ("old", "renamed", None)
    assert (come.name, come.action) == ("new", "configured")
    assert come.document is not None
    assert come.document["metadata"] == {"name": "new"}
    assert [(field.old, field.new) for field in (*gone.fields, *come.fields)] == [
        ("old", "new")
    ] * 2


def test_pruning_does_not_delete_what_is_renamed():
    present = after(wanted(manifest("old"), manifest("other"), prune=True))
    plan = plan_changes(wanted(manifest("new", "old"), prune=True), present)
    assert plan.deleted("Subscription") == ["other"]
    assert plan.deleted_ids == [ids.subscription_id("other")]


def test_a_later_subscription_of_the_old_name_has_an_id_of_its_own():
    first = (wanted(manifest("a")), wanted(manifest("b", "a")))
    present = after(*first, wanted(manifest("b", "a"), manifest("a")))
    keys = {name: row.id for name, row in present.subscriptions.items()}
    assert keys["b"] == ids.subscription_id("a")
    assert keys["a"] not in {ids.subscription_id("a"), ids.subscription_id("b")}
    deletion = plan_deletion("Subscription", "a", present)
    assert deletion.touched_subscriptions == [keys["a"]]
    deleted = applied(deletion, present)
    assert plan_changes(wanted(manifest("a")), deleted).subscription_ids == {"a": keys["a"]}


def test_a_subscription_may_be_renamed_again_and_back():
    there = (wanted(manifest("a")), wanted(manifest("b", "a")), wanted(manifest("c", "b")))
    back = after(*there, wanted(manifest("a", "c")))
    assert [(row.name, row.id) for row in back.subscriptions.values()] == [
        ("a", ids.subscription_id("a"))
    ]


@pytest.mark.parametrize("before", [(), (manifest("new"),), (manifest("new"), manifest("old"))])
def test_without_a_subscription_to_rename_the_old_name_has_no_effect(
    before: tuple[SubscriptionManifest, ...],
):
    present = after(wanted(*before))
    plan = plan_changes(wanted(manifest("new", "old")), present)
    assert all(change.renamed_from is None for change in plan.changes)
    assert plan.subscription_ids["new"] == ids.subscription_id("new")


def test_a_rename_is_refused_if_the_manifests_have_both_names():
    present = after(wanted(manifest("old")))
    with pytest.raises(ConflictError, match="old cannot be renamed to new: the manifests have"):
        plan_changes(wanted(manifest("new", "old"), manifest("old")), present)


def test_a_rename_is_refused_if_a_deleted_subscription_had_the_name():
    present = after(wanted(manifest("old"), manifest("new")))
    present = applied(plan_deletion("Subscription", "new", present), present)
    with pytest.raises(ConflictError, match="a deleted subscription had that name"):
        plan_changes(wanted(manifest("new", "old")), present)


def test_a_saved_plan_of_a_rename_does_not_fit_after_the_rename():
    want = wanted(manifest("new", "old"))
    present = after(wanted(manifest("old")))
    done = after(wanted(manifest("old")), want)
    before, later = (
        fingerprint(plan_changes(want, world), with_renames(want, world))
        for world in (present, done)
    )
    assert before != later


def test_faults_of_old_names_are_found_without_a_server():
    def locate(finding: Finding) -> Problem:
        return Problem("f.yaml", 1, 1, ".".join(map(str, finding.path)), finding.reason)

    named = {each.metadata.name: each for each in (
        manifest("same", "same"), manifest("b", "a"), manifest("c", "a"),
    )}  # fmt: skip
    locators = {("Subscription", name): locate for name in named}
    found = list(rename_problems(ManifestSet({}, named, locators)))
    assert [problem.reason for problem in found] == [
        "is the name itself; give the old name, or leave the field out",
        "subscription 'b' is renamed from 'a', too",
    ]
    assert {problem.path for problem in found} == {"metadata.renamedFrom"}
