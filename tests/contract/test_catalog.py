"""The Catalog port: what is written can be read, and nothing else changes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN
from activityctl.domain.gitops.plan import Action, Plan, Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition, revision_id_of
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError
from activityctl.operations.gitops.history import delete

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]

ACTIVE, PAUSED, DELETED = SubscriptionStatus
PARAMS = {
    "words": ["ä", "\u2028", '"', "\\u0000", ""],
    "numbers": [0, -1, 2**53 + 1, 2**64 - 1, 1.5, 1e-7, 1e300],
    "nested": {"": None, "b": {"c": [True, False, None, {}]}},
}


def actions(plan: Plan) -> dict[str, Action]:
    return {change.name: change.action for change in plan.changes}


async def status_of(ports: wiring.Ports, name: str) -> SubscriptionStatus:
    return (await ports.catalog.find_subscription(name)).status


# ---- writing and reading back --------------------------------------------------------


async def test_applying_the_same_manifests_again_changes_nothing(
    apply: Apply, define: Define, subscribe: Subscribe
):
    manifests = (
        define(
            "digest",
            labels={"team": "ops"},
            description="äöü",
            timeout="1h30m",
            params={"type": "object"},
            rules=[{"when": "params.a > 1.5", "otherwise": "too small"}],
            state={"seen": "${{ tasks.note.output }}"},
        ),
        define("plain", triggers=[]),
        subscribe("mine", labels={"env": "prod"}, params=PARAMS, triggers={"daily": None}),
        subscribe("yours", triggers={"daily": {"interval": {"every": "5m"}}}, paused=True),
        subscribe("empty", "plain"),
    )
    first = await apply(*manifests)
    assert set(actions(first).values()) == {Action.CREATED}
    assert (await apply(*manifests)).is_empty


async def test_params_labels_and_times_come_back_as_they_were_written(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    labels = {"app.example/env": "prod", "empty": ""}
    await apply(define("digest"), subscribe("mine", labels=labels, params=PARAMS))
    found = await ports.catalog.find_subscription("mine")
    assert found.params == PARAMS
    assert found.labels == labels
    assert (found.created_at, found.updated_at) == (now, now)
    assert found.created_at.utcoffset() == timedelta(0)


async def test_a_change_of_one_object_does_not_change_the_others(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    await apply(define("digest"), subscribe("mine"), subscribe("yours"))
    later = now + timedelta(hours=1)
    plan = await apply(
        define("digest"), subscribe("mine", params={"a": 1}), subscribe("yours"), at=later
    )
    assert actions(plan) == {
        "digest": Action.UNCHANGED,
        "mine": Action.CONFIGURED,
        "yours": Action.UNCHANGED,
    }
    found = {
        subscription.name: subscription
        for subscription in await ports.catalog.subscriptions(Selection())
    }
    assert found["mine"].params == {"a": 1}
    assert (found["mine"].created_at, found["mine"].updated_at) == (now, later)
    assert found["yours"].updated_at == now


async def test_a_failed_change_leaves_nothing_behind(
    ports: wiring.Ports, define: Define, subscribe: Subscribe, now: datetime
):
    wanted = Wanted({"digest": define("digest")}, {"mine": subscribe("mine")})

    async def fail() -> None:
        async with ports.catalog.changing():
            plan = plan_changes(wanted, await ports.catalog.present())
            await ports.catalog.write(plan, now)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    present = await ports.catalog.present()
    assert not present.definitions
    assert not present.subscriptions
    assert await ports.register.unsynced(10) == []


async def test_uncommitted_changes_are_visible_only_inside_the_block(
    ports: wiring.Ports, define: Define, subscribe: Subscribe, now: datetime
):
    wanted = Wanted({"digest": define("digest")}, {"mine": subscribe("mine")})
    written, looked = asyncio.Event(), asyncio.Event()

    async def change() -> None:
        async with ports.catalog.changing():
            plan = plan_changes(wanted, await ports.catalog.present())
            await ports.catalog.write(plan, now)
            assert plan_changes(wanted, await ports.catalog.present()).is_empty
            written.set()
            await looked.wait()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(change())
        await written.wait()
        seen = await ports.catalog.present()
        looked.set()
    assert not seen.definitions
    assert not seen.subscriptions
    assert set((await ports.catalog.present()).subscriptions) == {"mine"}


async def test_concurrent_changes_wait_for_one_another(ports: wiring.Ports):
    order: list[str] = []

    async def change(name: str) -> None:
        async with ports.catalog.changing():
            order.append(f"{name} in")
            await asyncio.sleep(0.05)
            order.append(f"{name} out")

    await asyncio.gather(change("a"), change("b"), change("c"))
    assert [entry.split()[1] for entry in order] == ["in", "out"] * 3
    assert all(order[index].split()[0] == order[index + 1].split()[0] for index in (0, 2, 4))


# ---- definitions and revisions -------------------------------------------------------


async def test_each_content_is_one_revision_even_when_it_returns(
    ports: wiring.Ports, apply: Apply, define: Define, now: datetime
):
    first, second = define("digest"), define("digest", description="other")
    for hour, definition in enumerate([first, second, first]):
        await apply(definition, at=now + timedelta(hours=hour))
    revisions = await ports.catalog.revisions(Selection(name="digest"))
    assert [revision.number for revision in revisions] == [2, 1]
    assert revisions[1].id == revision_id_of(first)
    ((row, current),) = await ports.catalog.definitions(Selection())
    assert current.id == revision_id_of(first)
    assert (row["since"], row["updated_at"]) == (now, now + timedelta(hours=2))


async def test_a_change_of_labels_makes_no_revision(
    ports: wiring.Ports, apply: Apply, define: Define
):
    await apply(define("digest"))
    await apply(define("digest", labels={"team": "ops"}))
    assert len(await ports.catalog.revisions(Selection())) == 1
    ((row, _),) = await ports.catalog.definitions(Selection())
    assert row["labels"] == {"team": "ops"}


async def test_definitions_are_selected_by_name_label_and_limit(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe
):
    await apply(
        define("b", labels={"team": "ops", "env": "prod"}),
        define("a", labels={"team": "ops"}),
        define("c"),
        subscribe("mine", "a"),
        subscribe("yours", "a"),
    )

    async def names(selection: Selection) -> list[str]:
        return [row["name"] for row, _ in await ports.catalog.definitions(selection)]

    assert await names(Selection()) == ["a", "b", "c"]
    assert await names(Selection(name="b")) == ["b"]
    assert await names(Selection(labels={"team": "ops"})) == ["a", "b"]
    assert await names(Selection(labels={"team": "ops", "env": "prod"})) == ["b"]
    assert await names(Selection(limit=2)) == ["a", "b"]
    ((row, _),) = await ports.catalog.definitions(Selection(name="a"))
    assert row["subscriptions"] == 2


async def test_revisions_are_found_by_definition_or_prefix_of_their_id(
    ports: wiring.Ports, apply: Apply, define: Define
):
    digest = define("digest")
    await apply(digest, define("other"))
    (found,) = await ports.catalog.revisions(Selection(name=revision_id_of(digest)[:12]))
    assert (found.id, found.definition) == (revision_id_of(digest), "digest")
    assert await ports.catalog.revisions(Selection(name="%")) == []
    assert len(await ports.catalog.revisions(Selection(limit=1))) == 1


async def test_a_definition_in_use_cannot_be_deleted(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    with pytest.raises(ConflictError, match="mine"):
        await delete(ports.catalog, "ActivityDefinition", "digest", lambda: now, UNKNOWN_ORIGIN)
    await ports.catalog.set_subscription_status(mine.id, PAUSED, now)
    with pytest.raises(ConflictError, match="mine"):
        await delete(ports.catalog, "ActivityDefinition", "digest", lambda: now, UNKNOWN_ORIGIN)
    assert len(await ports.catalog.definitions(Selection())) == 1


async def test_a_definition_without_live_subscriptions_can_be_deleted_and_created_again(
    ports: wiring.Ports,
    apply: Apply,
    remove: Apply,
    define: Define,
    mine: Subscription,
    now: datetime,
):
    await remove(mine.name)
    await delete(ports.catalog, "ActivityDefinition", "digest", lambda: now, UNKNOWN_ORIGIN)
    assert await ports.catalog.definitions(Selection()) == []
    assert not (await ports.catalog.present()).definitions
    with pytest.raises(NotFoundError):
        await delete(ports.catalog, "ActivityDefinition", "digest", lambda: now, UNKNOWN_ORIGIN)
    assert actions(await apply(define("digest"))) == {"digest": Action.CREATED}
    ((_, revision),) = await ports.catalog.definitions(Selection())
    assert revision.number == 1


async def test_an_unknown_definition_cannot_be_deleted(ports: wiring.Ports, now: datetime):
    with pytest.raises(NotFoundError):
        await delete(ports.catalog, "ActivityDefinition", "nothing", lambda: now, UNKNOWN_ORIGIN)


# ---- finding subscriptions -----------------------------------------------------------


async def test_a_subscription_is_found_by_name_by_id_and_by_prefix_of_the_id(
    ports: wiring.Ports, mine: Subscription
):
    for reference in ("mine", mine.id, mine.id[:13], mine.id[:1]):
        assert await ports.catalog.find_subscription(reference) == mine


async def test_a_prefix_of_several_ids_is_a_conflict_unless_it_is_a_name(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe
):
    # Twenty ids begin with one of sixteen hex digits, so two of them begin with the same.
    names = [f"s{number}" for number in range(20)]
    await apply(define("digest"), *(subscribe(name) for name in names))
    firsts = [subscription.id[0] for subscription in await ports.catalog.subscriptions(Selection())]
    shared = next(first for first in firsts if firsts.count(first) > 1)
    with pytest.raises(ConflictError, match="several"):
        await ports.catalog.find_subscription(shared)
    await apply(subscribe(shared))
    assert (await ports.catalog.find_subscription(shared)).name == shared


@pytest.mark.parametrize("reference", ["", "%", "_", "m%", "____", "\\", "nothing", "min", "MINE"])
async def test_only_names_and_prefixes_of_ids_are_found(
    ports: wiring.Ports, mine: Subscription, reference: str
):
    assert mine.name == "mine"
    with pytest.raises(NotFoundError):
        await ports.catalog.find_subscription(reference)


@pytest.mark.parametrize("reference", ["\0", "\udcff"])
async def test_a_reference_that_postgres_cannot_store_is_not_found(
    ports: wiring.Ports, mine: Subscription, reference: str
):
    assert mine.name == "mine"
    with pytest.raises(NotFoundError):
        await ports.catalog.find_subscription(reference)


async def test_subscriptions_are_selected_by_status_label_id_and_limit(
    ports: wiring.Ports, apply: Apply, remove: Apply, define: Define, subscribe: Subscribe
):
    await apply(
        define("digest"),
        subscribe("c", labels={"env": "prod"}),
        subscribe("b", paused=True),
        subscribe("a", labels={"env": "prod"}),
    )
    gone = await ports.catalog.find_subscription("a")
    await remove("a")

    async def names(selection: Selection) -> list[str]:
        return [subscription.name for subscription in await ports.catalog.subscriptions(selection)]

    assert await names(Selection()) == ["b", "c"]
    assert await names(Selection(statuses=("deleted",))) == ["a"]
    assert await names(Selection(statuses=("paused",))) == ["b"]
    assert await names(Selection(labels={"env": "prod"})) == ["c"]
    assert await names(Selection(limit=1)) == ["b"]
    assert await names(Selection(subscription_id=gone.id)) == []
    (kept,) = await ports.catalog.subscriptions(Selection(labels={"env": "prod"}))
    found = await ports.catalog.subscriptions_of([gone.id, kept.id, "none"])
    assert sorted(each.name for each in found) == ["a", "c"]


# ---- the status of a subscription ----------------------------------------------------


async def test_a_change_to_the_same_status_changes_nothing(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    later = now + timedelta(minutes=1)
    change = ports.catalog.set_subscription_status
    assert not await change(mine.id, ACTIVE, later)
    assert await change(mine.id, PAUSED, later)
    assert not await change(mine.id, PAUSED, later + timedelta(minutes=1))
    found = await ports.catalog.find_subscription("mine")
    assert (found.status, found.updated_at) == (PAUSED, later)
    assert await change(mine.id, ACTIVE, later)
    assert not await change("no such id", PAUSED, later)


async def test_a_deleted_subscription_is_neither_paused_nor_resumed(
    ports: wiring.Ports, mine: Subscription, remove: Apply, now: datetime
):
    await remove(mine.name)
    for status in (PAUSED, ACTIVE):
        assert not await ports.catalog.set_subscription_status(mine.id, status, now)
    assert await status_of(ports, "mine") is DELETED


async def test_a_paused_subscription_stays_paused_unless_its_manifest_says_otherwise(
    ports: wiring.Ports, apply: Apply, subscribe: Subscribe, mine: Subscription, now: datetime
):
    await ports.catalog.set_subscription_status(mine.id, PAUSED, now)
    assert (await apply(subscribe("mine"))).is_empty
    await apply(subscribe("mine", params={"a": 1}))
    assert await status_of(ports, "mine") is PAUSED
    await apply(subscribe("mine", params={"a": 1}, paused=False))
    assert await status_of(ports, "mine") is ACTIVE
    await apply(subscribe("mine", params={"a": 1}, paused=True))
    assert await status_of(ports, "mine") is PAUSED


async def test_a_deleted_subscription_that_is_applied_again_keeps_its_id_and_is_active(
    ports: wiring.Ports,
    apply: Apply,
    remove: Apply,
    subscribe: Subscribe,
    mine: Subscription,
    now: datetime,
):
    await ports.catalog.set_subscription_status(mine.id, PAUSED, now)
    await remove(mine.name)
    assert actions(await apply(subscribe("mine"))) == {"mine": Action.CREATED}
    found = await ports.catalog.find_subscription("mine")
    assert (found.id, found.status, found.created_at) == (mine.id, ACTIVE, mine.created_at)
