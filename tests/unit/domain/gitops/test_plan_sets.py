"""Plans with apply sets, pruning and deletion, and the fingerprint of a saved plan."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.domain.gitops.fingerprint import fingerprint
from activityctl.domain.gitops.plan import (
    Plan,
    Present,
    PresentDefinition,
    Wanted,
    affected_subscriptions,
    live_document,
)
from activityctl.domain.gitops.planning import plan_changes, plan_deletion
from activityctl.domain.manifests.definition import ActivityDefinition, revision_id_of
from activityctl.domain.manifests.document import ABSENT, FieldChange
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.domain.values import ids
from activityctl.errors import ConflictError, InvalidInputError, NotFoundError
from support.manifests import Manifest, definition, subscription

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ACTIVE, PAUSED, DELETED = SubscriptionStatus


def having(
    world: Present,
    *manifests: Manifest,
    applyset: str | None = None,
    status: SubscriptionStatus = ACTIVE,
) -> Present:
    """Return the live objects and these as well, as members of that set."""
    definitions, subscriptions = dict(world.definitions), dict(world.subscriptions)
    for manifest in manifests:
        name = manifest.metadata.name
        if isinstance(manifest, ActivityDefinition):
            revision = revision_id_of(manifest)
            definitions[name] = PresentDefinition(name, revision, manifest.spec, {}, {}, applyset)
        else:
            subscriptions[name] = Subscription(
                id=ids.subscription_id(name),
                name=name,
                definition=manifest.spec.activity,
                params=dict(manifest.spec.params),
                triggers=dict(manifest.spec.triggers),
                status=status,
                created_at=NOW,
                updated_at=NOW,
                applyset=applyset,
            )
    return Present(definitions, subscriptions)


def world_of(*manifests: Manifest, applyset: str | None = None) -> Present:
    return having(Present(), *manifests, applyset=applyset)


def planned(
    world: Present,
    *manifests: Manifest,
    applyset: str | None = None,
    prune: bool = False,
    take_over: bool = False,
) -> Plan:
    return plan_changes(
        Wanted(
            {
                each.metadata.name: each
                for each in manifests
                if isinstance(each, ActivityDefinition)
            },
            {
                each.metadata.name: each
                for each in manifests
                if isinstance(each, SubscriptionManifest)
            },
            applyset,
            prune,
            take_over=take_over,
        ),
        world,
    )


def actions(plan: Plan) -> dict[str, str]:
    return {change.name: change.action.value for change in plan.changes}


# ---- members of a set ----------------------------------------------------------------


def test_a_set_adopts_objects_without_a_set_and_shows_it():
    world = world_of(definition(), subscription())
    plan = planned(world, definition(), subscription(), applyset="shop")
    assert actions(plan) == {"digest": "configured", "sub": "configured"}
    assert {change.fields for change in plan.changes} == {(FieldChange("applyset", None, "shop"),)}


def test_a_set_finds_its_own_members_unchanged():
    world = world_of(definition(), subscription(), applyset="shop")
    assert planned(world, definition(), subscription(), applyset="shop").is_empty


@pytest.mark.parametrize("manifest", [definition(timeout="2h"), subscription(params={"a": 1})])
def test_an_object_of_another_set_is_a_conflict_that_names_both_sets(manifest: Manifest):
    world = world_of(definition(), subscription(), applyset="shop")
    with pytest.raises(ConflictError, match=r'"shop", not to "ops"'):
        planned(world, manifest, applyset="ops")


def test_an_object_of_another_set_is_a_conflict_even_when_nothing_else_differs():
    with pytest.raises(ConflictError):
        planned(world_of(definition(), applyset="shop"), definition(), applyset="ops")


def test_files_without_a_set_change_no_member_of_a_set():
    world = world_of(definition(), subscription(), applyset="shop")
    with pytest.raises(ConflictError, match="can only be changed with it"):
        planned(world, subscription(params={"a": 1}))
    assert planned(world, definition(), subscription()).is_empty


def test_a_member_of_another_set_can_be_taken_over_and_the_plan_says_so():
    world = world_of(definition(), subscription(), applyset="shop")
    plan = planned(world, subscription(params={"a": 1}), applyset="ops", take_over=True)
    (change,) = plan.changes
    assert change.fields == (
        FieldChange("spec.params.a", ABSENT, 1),
        FieldChange("applyset", "shop", "ops"),
    )


def test_a_deleted_subscription_belongs_to_no_set():
    world = having(world_of(definition()), subscription(), applyset="shop", status=DELETED)
    assert actions(planned(world, subscription(), applyset="ops")) == {"sub": "created"}


# ---- pruning -------------------------------------------------------------------------


def test_pruning_deletes_only_members_that_are_not_in_the_files():
    world = world_of(definition(), subscription("kept"), subscription("gone"), applyset="shop")
    world = having(world, subscription("other"), applyset="ops")
    world = having(world, subscription("unowned"))
    world = having(world, subscription("dead"), applyset="shop", status=DELETED)
    plan = planned(world, definition(), subscription("kept"), applyset="shop", prune=True)
    assert actions(plan) == {"digest": "unchanged", "kept": "unchanged", "gone": "deleted"}
    assert plan.deleted("Subscription") == ["gone"]


def test_a_pruned_subscription_has_no_schedule_although_its_definition_stays():
    world = world_of(definition(), subscription("kept"), subscription("gone"), applyset="shop")
    plan = planned(world, definition(), subscription("kept"), applyset="shop", prune=True)
    assert list(plan.schedules) == [ids.subscription_id("kept")]
    assert ids.subscription_id("gone") in plan.touched_subscriptions


@pytest.mark.parametrize(("applyset", "prune"), [(None, True), ("shop", False), ("ops", True)])
def test_nothing_is_deleted_without_prune_or_with_another_set(applyset: str | None, *, prune: bool):
    world = world_of(definition(), subscription("gone"), applyset="shop")
    plan = planned(world, definition("mine"), applyset=applyset, prune=prune)
    assert actions(plan) == {"mine": "created"}


def test_a_definition_is_pruned_together_with_its_subscriptions():
    world = world_of(definition(), subscription(), definition("kept"), applyset="shop")
    plan = planned(world, definition("kept"), applyset="shop", prune=True)
    assert actions(plan) == {"kept": "unchanged", "digest": "deleted", "sub": "deleted"}


@pytest.mark.parametrize("applyset", ["ops", None])
def test_a_definition_that_a_subscription_outside_the_set_uses_is_not_pruned(applyset: str | None):
    world = world_of(definition(), definition("kept"), applyset="shop")
    world = having(world, subscription("outside"), applyset=applyset)
    with pytest.raises(ConflictError, match='"outside" uses it'):
        planned(world, definition("kept"), applyset="shop", prune=True)


@pytest.mark.parametrize("known", [True, False])
def test_a_definition_that_the_files_own_subscription_uses_is_not_pruned(*, known: bool):
    world = world_of(definition(), applyset="shop")
    world = having(world, subscription("mine"), applyset="shop") if known else world
    with pytest.raises(ConflictError, match='"mine" uses it'):
        planned(world, subscription("mine"), applyset="shop", prune=True)


def test_a_definition_is_pruned_when_its_subscriptions_changed_or_are_deleted():
    world = world_of(definition(), definition("next"), subscription("moves"), applyset="shop")
    world = having(world, subscription("dead"), status=DELETED)
    moves = subscription("moves", activity="next")
    plan = planned(world, definition("next"), moves, applyset="shop", prune=True)
    assert actions(plan)["digest"] == "deleted"


def test_a_subscription_that_is_pruned_need_not_fit_the_changed_definition():
    world = world_of(definition(), subscription("gone"), applyset="shop")
    world = having(world, subscription("other"), applyset="ops")
    wanted = Wanted({"digest": definition(timeout="2h")}, {}, "shop", prune=True)
    assert [owner.name for owner, _ in affected_subscriptions(wanted, world)] == ["other"]


# ---- content -------------------------------------------------------------------------


def test_a_definition_as_read_from_the_database_is_unchanged():
    written = definition(params={"maximum": 1e16})
    returned = definition(params={"maximum": 10**16})
    held = PresentDefinition("digest", revision_id_of(written), returned.spec, {}, {})
    world = Present({"digest": held})
    assert planned(world, written).is_empty
    assert planned(world, returned).is_empty


def test_a_number_written_differently_is_another_revision():
    old, new = definition(params={"maximum": 1}), definition(params={"maximum": 1.0})
    (change,) = planned(world_of(old), new).changes
    assert change.fields == (FieldChange("spec", revision_id_of(old), revision_id_of(new)),)


def test_paused_is_shown_only_when_the_manifest_changes_it():
    world = having(world_of(definition()), subscription(), status=PAUSED)
    assert planned(world, subscription()).is_empty
    assert planned(world, subscription(paused=True)).is_empty
    (change,) = planned(world, subscription(paused=False)).changes
    assert change.fields == (FieldChange("spec.paused", True, False),)


@pytest.mark.parametrize("value", [None, [], {}, "", False])
def test_an_empty_param_is_different_from_an_absent_one(value: Any):
    world = world_of(definition(), subscription(params={"a": 1}))
    absent = planned(world, subscription()).changes[0].fields
    empty = planned(world, subscription(params={"a": value})).changes[0].fields
    assert [change.path for change in absent] == ["spec.params.a"]
    assert empty == (FieldChange("spec.params.a", 1, value),)
    (live,) = world_of(subscription(params={"a": value})).subscriptions.values()
    assert live_document(live)["spec"]["params"] == {"a": value}


def test_a_trigger_that_is_switched_off_is_different_from_one_not_named():
    world = world_of(definition(), subscription(triggers={"hourly": None}))
    assert planned(world, subscription(triggers={"hourly": None})).is_empty
    (change,) = planned(world, subscription()).changes
    assert [(field.path, field.old) for field in change.fields] == [("spec.triggers.hourly", None)]


def test_a_definition_that_does_not_exist_any_more_is_a_conflict():
    with pytest.raises(ConflictError, match="activitydefinition/digest, which does not exist"):
        planned(Present(), subscription())


# ---- deletion ------------------------------------------------------------------------


def test_one_object_is_deleted_whatever_its_set():
    world = world_of(definition(), subscription(), applyset="shop")
    plan = plan_deletion("Subscription", "sub", world)
    assert actions(plan) == {"sub": "deleted"}
    assert plan.touched_subscriptions == [ids.subscription_id("sub")]
    assert {change.path for change in plan.changes[0].fields} == {"spec.activity"}


def test_a_definition_in_use_is_not_deleted():
    world = world_of(definition(), subscription())
    with pytest.raises(ConflictError, match='"sub" uses it'):
        plan_deletion("ActivityDefinition", "digest", world)
    gone = having(world, subscription(), status=DELETED)
    assert actions(plan_deletion("ActivityDefinition", "digest", gone)) == {"digest": "deleted"}


def test_deleting_an_object_that_is_not_live_is_not_found():
    world = having(world_of(definition()), subscription(), status=DELETED)
    for name in ("sub", "nothing", "digest"):
        with pytest.raises(NotFoundError):
            plan_deletion("Subscription", name, world)
    with pytest.raises(NotFoundError):
        plan_deletion("ActivityDefinition", "sub", world)


# ---- fingerprint ---------------------------------------------------------------------

WORLD = having(
    having(
        world_of(definition(), definition("used"), subscription("mine"), applyset="shop"),
        subscription("theirs"),
        applyset="ops",
    ),
    definition("far"),
    subscription("away", activity="far"),
)
CHANGED = definition(timeout="2h")
USER = subscription("user", activity="used")


def fingerprint_of(world: Present, *manifests: Manifest, prune: bool = False) -> str:
    return fingerprint(planned(world, *manifests, applyset="shop", prune=prune), world)


@pytest.mark.parametrize(
    "meanwhile",
    [
        having(WORLD, definition(timeout="3h"), applyset="shop"),
        having(WORLD, definition(), applyset=None),
        having(WORLD, subscription("mine", params={"a": 1}), applyset="shop"),
        having(WORLD, subscription("mine"), applyset="shop", status=PAUSED),
        having(WORLD, subscription("mine"), applyset="shop", status=DELETED),
        having(WORLD, subscription("theirs", params={"a": 1}), applyset="ops"),
        having(WORLD, subscription("new")),
        having(WORLD, subscription("user", activity="far")),
        having(WORLD, definition("used", timeout="3h"), applyset="shop"),
    ],
)
def test_a_fingerprint_changes_with_the_objects_of_the_plan(meanwhile: Present):
    manifests = (CHANGED, subscription("mine"), USER)
    assert fingerprint_of(meanwhile, *manifests) != fingerprint_of(WORLD, *manifests)


@pytest.mark.parametrize(
    "meanwhile",
    [
        WORLD,
        having(WORLD, definition("far", timeout="3h")),
        having(WORLD, subscription("away", activity="far", params={"a": 1})),
        having(WORLD, subscription("away", activity="far"), status=PAUSED),
        having(WORLD, definition("new"), subscription("newer", activity="new")),
        having(WORLD, subscription("dead"), status=DELETED),
        replace(WORLD, definitions=dict(reversed(WORLD.definitions.items()))),
    ],
)
def test_a_fingerprint_does_not_change_with_other_objects(meanwhile: Present):
    manifests = (CHANGED, subscription("mine"), USER)
    assert fingerprint_of(meanwhile, *manifests) == fingerprint_of(WORLD, *manifests)


def test_users_of_an_unchanged_definition_do_not_change_the_fingerprint():
    manifests = (definition(), subscription("mine"))
    meanwhile = having(WORLD, subscription("new"))
    assert fingerprint_of(meanwhile, *manifests) == fingerprint_of(WORLD, *manifests)


def test_a_fingerprint_changes_with_the_objects_to_prune():
    manifests = (definition(), definition("used"), subscription("mine"))
    member = having(WORLD, subscription("new"), applyset="shop")
    assert fingerprint_of(member, *manifests, prune=True) != fingerprint_of(
        WORLD, *manifests, prune=True
    )
    stranger = having(WORLD, subscription("new"), applyset="ops")
    assert fingerprint_of(stranger, *manifests, prune=True) == fingerprint_of(
        WORLD, *manifests, prune=True
    )


def test_a_fingerprint_changes_when_the_plan_is_applied():
    before = world_of(definition(), applyset="shop")
    after = having(before, subscription(), applyset="shop")
    assert fingerprint_of(before, subscription()) != fingerprint_of(after, subscription())


# ---- prunes that look like a mistake ---------------------------------------------------


@pytest.mark.parametrize("live", [(), (definition(),)])
def test_no_manifest_at_all_prunes_nothing_unless_that_is_allowed(live: tuple[Manifest, ...]):
    world = world_of(*live, applyset="shop")
    wanted = Wanted(applyset="shop", prune=True)
    with pytest.raises(InvalidInputError, match="have no manifest"):
        plan_changes(wanted, world)
    plan = plan_changes(replace(wanted, allow_empty=True), world)
    assert plan.deleted("ActivityDefinition") == [each.metadata.name for each in live]


def test_a_pruned_object_that_an_unread_file_has_is_a_conflict():
    world = world_of(definition(), subscription(), applyset="shop")
    moved = {("Subscription", "sub"): "d/team/sub.yaml", ("Subscription", "x"): "d/team/x.yaml"}
    wanted = Wanted({"digest": definition()}, {}, "shop", unread=moved)
    plan_changes(wanted, world)
    with pytest.raises(ConflictError, match=r"have: subscription/sub \(in d/team/sub.yaml\);"):
        plan_changes(replace(wanted, prune=True), world)
