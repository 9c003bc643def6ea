"""The Catalog port: apply sets, deletions by plan, and the history of every object."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.gitops.answered import RequestKey
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN, Origin
from activityctl.domain.gitops.plan import STATE_CHANGED, Plan, Recorded, Wanted, live_document
from activityctl.domain.gitops.planning import plan_changes, plan_deletion
from activityctl.domain.manifests.definition import ActivityDefinition, revision_id_of
from activityctl.domain.manifests.document import value_differences
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError
from activityctl.operations.gitops.once import once

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]


async def carry_out(ports: wiring.Ports, wanted: Wanted, at: datetime) -> Plan:
    async with ports.catalog.changing():
        plan = plan_changes(wanted, await ports.catalog.present())
        await ports.catalog.write(plan, at)
    return plan


async def test_every_change_is_recorded_and_listed_newest_first(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    later = now + timedelta(hours=1)
    await apply(define("digest"), subscribe("mine", params={"a": 1}))
    await apply(define("digest"), subscribe("mine", params={"a": 1}))
    await apply(subscribe("mine", params={"a": 2}), at=later)
    newest, oldest = await ports.catalog.history("Subscription", "mine")
    assert (newest.number, newest.action, newest.at) == (2, "configured", later)
    assert (oldest.number, oldest.action, oldest.at) == (1, "created", now)
    assert newest.fields == ({"path": "spec.params.a", "old": 1, "new": 2},)
    assert newest.document is not None
    assert newest.document["spec"] == {"activity": "digest", "params": {"a": 2}}
    assert newest.origin == UNKNOWN_ORIGIN
    (made,) = await ports.catalog.history("ActivityDefinition", "digest")
    assert (made.kind, made.name, made.revision_id) == (
        "ActivityDefinition",
        "digest",
        revision_id_of(define("digest")),
    )
    assert await ports.catalog.history("Subscription", "digest") == []


async def test_a_deletion_by_plan_is_recorded_with_its_origin(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    origin = Origin("delete", "ann", "abc123")
    async with ports.catalog.changing():
        plan = plan_deletion("Subscription", "mine", await ports.catalog.present())
        await ports.catalog.write(plan, now, origin)
    newest = (await ports.catalog.history("Subscription", "mine"))[0]
    assert (newest.number, newest.action, newest.origin) == (2, "deleted", origin)
    assert (newest.document, newest.revision_id) == (None, None)
    assert await ports.catalog.subscriptions(Selection()) == []
    assert await ports.register.schedules(Selection(subscription_id=mine.id)) == []


async def test_objects_of_an_apply_set_that_are_no_longer_wanted_are_pruned(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    await apply(define("other"), subscribe("free", "other"))
    both = {"digest": define("digest"), "gone": define("gone")}
    subscriptions = {"mine": subscribe("mine"), "left": subscribe("left", "gone")}
    await carry_out(ports, Wanted(both, subscriptions, "ops"), now)
    present = await ports.catalog.present()
    assert (present.definitions["digest"].applyset, present.subscriptions["mine"].applyset) == (
        "ops",
        "ops",
    )
    assert present.subscriptions["free"].applyset is None
    kept = Wanted({"digest": both["digest"]}, {"mine": subscriptions["mine"]}, "ops", prune=True)
    await carry_out(ports, kept, now)
    present = await ports.catalog.present()
    assert set(present.definitions) == {"digest", "other"}
    assert {
        subscription.name for subscription in await ports.catalog.subscriptions(Selection())
    } == {"free", "mine"}
    assert plan_changes(kept, present).is_empty


async def test_an_apply_without_a_set_changes_no_member_and_keeps_the_set(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    await carry_out(
        ports, Wanted({"digest": define("digest")}, {"mine": subscribe("mine")}, "ops"), now
    )
    with pytest.raises(ConflictError, match="apply set"):
        await apply(define("digest", description="new"), subscribe("mine", params={"a": 1}))
    await apply(define("digest"), subscribe("mine"))
    present = await ports.catalog.present()
    assert present.definitions["digest"].applyset == "ops"
    assert present.subscriptions["mine"].applyset == "ops"


async def test_a_new_state_is_stored_and_recorded_unless_it_has_changed(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    origin = Origin("state set", "ann", None)
    fields = value_differences("state.cursor", 1, 1.5)
    document = live_document(mine)
    recorded = Recorded("Subscription", "mine", STATE_CHANGED, fields, document, None)
    replaced = ports.catalog.replace_state
    assert await replaced(mine, {"cursor": 1.5}, recorded, now, origin)
    assert not await replaced(mine, {"cursor": 2}, recorded, now, origin)
    after = await ports.catalog.find_subscription("mine")
    assert after.state == {"cursor": 1.5}
    assert await replaced(after, {}, recorded, now, origin)
    newest, before, _ = await ports.catalog.history("Subscription", "mine")
    assert (newest.number, before.number, before.action, before.origin) == (3, 2, "state", origin)
    assert before.fields == ({"path": "state.cursor", "old": 1, "new": 1.5},)
    assert before.document == document


async def test_an_answered_request_is_kept_with_what_it_has_changed(
    ports: wiring.Ports, define: Define, now: datetime
):
    catalog = ports.catalog
    wanted = Wanted({"digest": define("digest")})

    async def change() -> Plan:
        async with catalog.changing():  # a part of the block of `once`
            plan = plan_changes(wanted, await catalog.present())
            await catalog.write(plan, now)
        return plan

    async def fail() -> Plan:
        await change()
        raise RuntimeError

    def key(actor: str, digest: str = "d") -> RequestKey:
        return RequestKey(actor, "k", digest)

    with pytest.raises(RuntimeError):
        await once(catalog, key("a"), lambda: now, fail)
    assert not (await catalog.present()).definitions, "the blocks end together"
    first = await once(catalog, key("a"), lambda: now, change)
    again = await once(catalog, key("a"), lambda: now, fail)
    assert (first.is_repeat, again.is_repeat) == (False, True)
    assert [replace(each, fields=()) for each in first.plan.changes] == list(again.plan.changes)
    assert not (await once(catalog, key("b"), lambda: now, change)).is_repeat
    with pytest.raises(ConflictError):
        await once(catalog, key("a", "other"), lambda: now, change)
