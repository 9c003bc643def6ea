"""The preview of a deletion shows what is deleted; a later change stops the deletion."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest

from activityctl import wiring
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN
from activityctl.domain.gitops.plan import Kind, Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.errors import ConflictError, NotFoundError
from activityctl.operations.gitops.history import Deletion, delete, preview_deletion

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]
MakeRun = Callable[..., Awaitable[Run]]


async def preview(ports: wiring.Ports, kind: Kind, reference: str) -> Deletion:
    return await preview_deletion(ports.catalog, ports.register, ports.run_lists, kind, reference)


async def test_a_preview_shows_only_schedules_and_open_runs_of_the_subscription(
    ports: wiring.Ports, mine: Subscription, apply: Apply, subscribe: Subscribe, make_run: MakeRun
):
    await apply(subscribe("other"))
    running = await make_run("a")
    queued = await make_run("b", status=RunStatus.QUEUED)
    await make_run("c", status=RunStatus.SUCCEEDED)
    for reference in ("mine", mine.id, mine.id[:10]):
        found = await preview(ports, "Subscription", reference)
        assert found.name == "mine"
        triggers = [(row.subscription, row.wanted.trigger) for row in found.schedules]
        assert triggers == [("mine", "daily")]
        assert [run.id for run in found.open_runs] == [running.id]
        assert [run.id for run in found.queued_runs] == [queued.id]
        assert (found.waiting_firings, found.gathered_events) == (0, 0)


async def test_a_preview_counts_the_firings_that_wait(
    ports: wiring.Ports, mine: Subscription, apply: Apply, subscribe: Subscribe, now: datetime
):
    await apply(subscribe("other"))
    other = await ports.catalog.find_subscription("other")
    for owner, keys in ((mine, "ab"), (other, "c")):
        firings = [FiringRequest(owner.id, "manual", key, now) for key in keys]
        await ports.outbox.add(firings, now)
    assert (await preview(ports, "Subscription", "mine")).waiting_firings == 2


async def test_there_is_no_preview_for_an_object_that_cannot_be_deleted(
    ports: wiring.Ports, mine: Subscription, remove: Apply
):
    with pytest.raises(ConflictError, match='"mine" uses it'):
        await preview(ports, "ActivityDefinition", "digest")
    await remove(mine.name)
    with pytest.raises(NotFoundError):
        await preview(ports, "Subscription", "mine")
    found = await preview(ports, "ActivityDefinition", "digest")
    assert (found.schedules, found.open_runs) == ((), ())


async def test_an_object_that_changed_since_its_preview_is_not_deleted(
    ports: wiring.Ports, mine: Subscription, apply: Apply, subscribe: Subscribe, now: datetime
):
    seen = (await preview(ports, "Subscription", mine.name)).fingerprint

    async def attempt(made_against: str) -> Plan:
        origin = UNKNOWN_ORIGIN
        return await delete(
            ports.catalog, "Subscription", "mine", lambda: now, origin, made_against=made_against
        )

    await apply(subscribe("mine", params={"a": 1}))
    with pytest.raises(ConflictError, match="has changed since the preview"):
        await attempt(seen)
    plan = await attempt((await preview(ports, "Subscription", "mine")).fingerprint)
    assert plan.deleted("Subscription") == ["mine"]
