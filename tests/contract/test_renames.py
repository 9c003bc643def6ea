"""The Catalog port: a renamed subscription keeps its id, and with it all that belongs to it."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError
from activityctl.operations.gitops.history import roll_back

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]


def renamed(manifest: SubscriptionManifest, old: str) -> SubscriptionManifest:
    metadata = manifest.metadata.model_copy(update={"renamed_from": old})
    return manifest.model_copy(update={"metadata": metadata})


async def test_a_rename_keeps_id_schedules_and_pause_and_is_in_the_history_of_both_names(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    await apply(define("digest"), subscribe("old", paused=True))
    before = await ports.catalog.find_subscription("old")
    (schedule,) = await ports.register.schedules(Selection(subscription_id=before.id))
    new = renamed(subscribe("new"), "old")
    assert not (await apply(new, at=now + timedelta(hours=1))).is_empty
    assert (await apply(new)).is_empty
    after = await ports.catalog.find_subscription("new")
    assert (after.id, after.status, after.created_at) == (before.id, before.status, now)
    (kept,) = await ports.register.schedules(Selection(subscription_id=before.id))
    assert (kept.wanted, kept.subscription) == (schedule.wanted, "new")
    with pytest.raises(NotFoundError):
        await ports.catalog.find_subscription("old")
    (come,) = await ports.catalog.history("Subscription", "new")
    gone, _made = await ports.catalog.history("Subscription", "old")
    assert (come.action, come.number) == ("configured", 1)
    assert (gone.action, gone.number, gone.document) == ("renamed", 2, None)
    assert come.fields == gone.fields == ({"path": "metadata.name", "old": "old", "new": "new"},)
    assert come.document is not None
    assert come.document["metadata"] == {"name": "new"}


async def test_a_waiting_firing_of_a_renamed_subscription_goes_on(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    await apply(define("digest"), subscribe("old"))
    key = (await ports.catalog.find_subscription("old")).id
    firing = FiringRequest(key, "daily", "k", now)
    await ports.outbox.add([firing], now)
    await apply(renamed(subscribe("new"), "old"))
    assert await ports.outbox.waiting() == 1
    assert await ports.outbox.add([firing], now) == 0


async def test_a_new_subscription_of_the_old_name_shares_nothing(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe
):
    await apply(define("digest"), subscribe("old"))
    await apply(renamed(subscribe("new"), "old"))
    await apply(subscribe("old"))
    ids = {found.name: found.id for found in await ports.catalog.subscriptions(Selection())}
    assert len({*ids.values()}) == 2
    assert len(await ports.register.schedules(Selection())) == 2
    assert (await apply(subscribe("old"), renamed(subscribe("new"), "old"))).is_empty


async def test_a_rollback_across_a_rename_is_refused(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
):
    await apply(define("digest"), subscribe("old"))
    await apply(renamed(subscribe("new"), "old"))

    async def back(name: str, number: int | None = None) -> None:
        await roll_back(ports.catalog, "Subscription", name, number, lambda: now, UNKNOWN_ORIGIN)

    with pytest.raises(ConflictError, match="subscription/old was renamed to new"):
        await back("old")
    with pytest.raises(ConflictError, match=r"no earlier version.*renamed from old"):
        await back("new")
