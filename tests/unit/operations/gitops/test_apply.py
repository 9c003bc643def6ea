"""The rules of apply one by one, on the catalog in memory."""

import asyncio
import json

import pytest

from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.domain.values.sync_errors import unanswered_text
from activityctl.errors import (
    ConflictError,
    InvalidManifestsError,
    RefusedError,
    UsageError,
)
from activityctl.operations.gitops.apply import Applied, apply, wait_for_schedules
from activityctl.operations.gitops.plan import documents
from support.applying import ACTIVE, NOW, PAUSED, World, definition, world
from support.manifests import NIGHTLY, Manifest, manifest_set, subscription


@pytest.fixture
def here() -> World:
    return world()


async def test_pruning_without_a_set_is_a_wrong_use(here: World):
    with pytest.raises(UsageError, match="--applyset"):
        await here.apply(definition(), prune=True)


async def test_pruning_against_no_manifest_is_refused(here: World):
    await here.apply(definition(), subscription(), applyset="shop")
    with pytest.raises(RefusedError, match="whole set"):
        await here.apply(applyset="shop", prune=True)
    assert set((await here.present()).subscriptions) == {"sub"}


@pytest.mark.parametrize("name", ["", "Shop", "a b", "a`b", "a\n", "-a", "x" * 64])
async def test_a_set_has_a_name_like_everything_else(here: World, name: str):
    with pytest.raises(UsageError):
        await here.apply(definition(), applyset=name)


async def test_a_refused_apply_leaves_no_trace(here: World):
    await here.apply(definition(), subscription(), applyset="shop")
    before = await here.present()
    with pytest.raises(ConflictError):
        await here.apply(definition("new"), subscription(params={"a": 1}), applyset="ops")
    assert await here.present() == before
    assert await here.ports.catalog.history("ActivityDefinition", "new") == []
    assert len(await here.ports.catalog.history("Subscription", "sub")) == 1


async def test_pausing_belongs_to_the_operator_unless_the_manifest_speaks(here: World):
    async def status() -> SubscriptionStatus:
        return (await here.present()).subscriptions["sub"].status

    await here.apply(definition(), subscription())
    await here.set_status("sub", PAUSED)
    assert (await here.apply(subscription())).plan.is_empty
    await here.apply(subscription(params={"a": 1}))
    assert await status() is PAUSED
    await here.apply(subscription(params={"a": 1}, paused=False))
    assert await status() is ACTIVE
    await here.apply(subscription(params={"a": 1}, paused=True))
    await here.set_status("sub", ACTIVE)
    await here.apply(subscription(params={"a": 1}))  # silent again: the operator's again
    assert await status() is ACTIVE


async def test_labels_params_and_triggers_that_the_file_lacks_are_gone_and_shown(here: World):
    said = subscription(params={"a": []}, labels={"team": "a"}, triggers={"nightly": None})
    await here.apply(definition(), said)
    planned = await here.plan(subscription())
    (change,) = planned.plan.changes
    assert {field.path for field in change.fields} == {
        "metadata.labels.team",
        "spec.params.a",
        "spec.triggers.nightly",
    }
    assert [(one["trigger"], one["action"]) for one in planned.view["schedules"]] == [
        ("nightly", "created")
    ]


async def test_a_changed_definition_must_fit_subscriptions_that_stay(here: World):
    strict = definition(params={"type": "object", "required": ["a"]})
    await here.apply(definition(), subscription("old"), applyset="shop")
    with pytest.raises(InvalidManifestsError) as caught:
        await here.apply(strict, applyset="shop")
    assert "breaks subscription 'old'" in caught.value.problems[0].reason
    applied = await here.apply(strict, applyset="shop", prune=True)
    assert applied.plan.deleted("Subscription") == ["old"]


async def test_a_subscription_to_nothing_is_told_with_its_place(here: World):
    with pytest.raises(InvalidManifestsError) as caught:
        await here.plan(subscription())
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("here.yaml", 1)
    assert "no ActivityDefinition 'digest'" in problem.reason


async def test_the_live_document_says_paused_only_to_who_asks(here: World):
    await here.apply(definition(), subscription("silent"), subscription("spoken", paused=True))
    await here.set_status("silent", PAUSED)
    both = (subscription("silent"), subscription("spoken", paused=True))
    planned = await here.plan(*both)
    for _, live, wanted in documents(planned.plan, planned.present):
        assert live == wanted
    planned = await here.plan(subscription("spoken", paused=False))
    ((_, live, wanted),) = documents(planned.plan, planned.present)
    assert live is not None
    assert wanted is not None
    assert (live["spec"]["paused"], wanted["spec"]["paused"]) == (True, False)


async def test_documents_that_say_the_same_look_the_same(here: World):
    await here.apply(definition(), subscription(params={"a": 10**16, "b": [1, {"c": 1}]}))
    planned = await here.plan(subscription(params={"b": [1.0, {"c": 1}], "a": 1e16}))
    ((_, live, wanted),) = documents(planned.plan, planned.present)
    assert json.dumps(live) == json.dumps(wanted)


# ---- waiting for the schedules -------------------------------------------------------


async def awake(here: World) -> None:
    await here.ports.workers.beat(WorkerBeat("w", "host", 1, "0", NOW))


async def settled(here: World, *manifests: Manifest, seconds: float) -> Applied:
    return await apply(
        manifest_set(*manifests),
        here.ports.catalog,
        here.ports.register,
        here.ports.workers,
        lambda: NOW,
        timeout_seconds=seconds,
    )


async def place_all(here: World, error: str | None = None) -> None:
    for drift in await here.ports.register.unsynced(100):
        if error is None:
            await here.ports.register.mark_synced([drift], NOW)
        else:
            await here.ports.register.mark_failed(drift, error)


async def test_without_a_worker_the_wish_is_recorded_and_not_waited_for(here: World):
    applied = await settled(here, definition(), subscription(), seconds=60)
    assert (applied.pending, applied.has_worker, applied.errors) == (2, False, ())


async def test_a_worker_is_waited_for_until_time_is_up(here: World):
    await awake(here)
    applied = await settled(here, definition(), subscription(), seconds=0)
    assert (applied.pending, applied.has_worker) == (2, True)


async def test_apply_returns_once_the_schedules_stand(here: World):
    await awake(here)

    async def work() -> None:
        async with here.ports.signals.listening("activityctl_work") as payloads:
            started.set()
            async for payload in payloads:
                if payload == "schedules":
                    await place_all(here)
                    return

    started = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(work())
        await started.wait()
        applied = await settled(here, definition(), subscription(), seconds=60)
    assert applied.pending == 0


async def test_what_temporal_refuses_is_told_at_once(here: World):
    await awake(here)
    await settled(here, definition(), subscription(), seconds=0)
    await place_all(here, "no such calendar")
    applied = await settled(here, definition(), subscription(), seconds=60)
    assert applied.pending == 2
    assert all("no such calendar" in error for error in applied.errors)


async def test_what_temporal_did_not_answer_is_waited_for_and_heals(here: World):
    await awake(here)
    await settled(here, definition(), subscription(), seconds=0)
    await place_all(here, unanswered_text("Timeout expired"))
    applied = await settled(here, definition(), subscription(), seconds=0)
    assert (applied.pending, applied.refused, len(applied.unanswered)) == (2, (), 2)

    async def heal() -> None:
        await asyncio.sleep(0.1)
        await place_all(here)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(heal())
        applied = await settled(here, definition(), subscription(), seconds=60)
    assert (applied.pending, applied.errors) == (0, ())


async def test_who_insists_waits_for_a_worker_too(here: World):
    async def come() -> None:
        await asyncio.sleep(0.1)
        await awake(here)
        await place_all(here)

    plan = (await settled(here, definition(), subscription(), seconds=0)).plan
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(come())
        applied = await wait_for_schedules(
            plan, here.ports.register, here.ports.workers, timeout_seconds=60, insists=True
        )
    assert (applied.pending, applied.has_worker) == (0, True)


async def test_only_a_change_of_timing_touches_a_schedule(here: World):
    await settled(here, definition(), subscription(), seconds=0)
    await place_all(here)
    await settled(here, definition(timeout="2h"), subscription(params={"a": 1}), seconds=0)
    assert await here.ports.register.unsynced(100) == []
    slower = definition(triggers=[{"name": "hourly", "interval": {"every": "2h"}}, NIGHTLY])
    await settled(here, slower, subscription(params={"a": 1}), seconds=0)
    (drift,) = await here.ports.register.unsynced(100)
    assert drift.wanted is not None
    assert drift.wanted.trigger == "hourly"


async def test_concurrent_applies_take_turns_and_end_as_one_of_them(here: World):
    await here.apply(definition(), applyset="shop")
    sets = [
        [definition()] + [subscription(f"s{one}", params={"by": n}) for one in range(n, n + 3)]
        for n in range(4)
    ]
    await asyncio.gather(*(here.apply(*one, applyset="shop", prune=True) for one in sets))
    present = await here.present()
    live = {
        name: one.params["by"] for name, one in present.subscriptions.items() if present.live(name)
    }
    assert live in [{f"s{one}": n for one in range(n, n + 3)} for n in range(4)]
