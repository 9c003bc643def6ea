"""Examples of apply, on the catalog in memory."""

import asyncio
import json

import pytest

from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.domain.values.sync_errors import unanswered_text
from activityctl.errors import (
    ConflictError,
    InvalidInputError,
    InvalidManifestsError,
    UsageError,
)
from activityctl.operations.gitops.apply import Applied, apply, wait_for_schedules
from activityctl.operations.gitops.plan import documents
from support.applying import ACTIVE, NOW, PAUSED, World, definition, world
from support.manifests import NIGHTLY, Manifest, manifest_set, subscription


@pytest.fixture
def here() -> World:
    return world()


async def test_pruning_without_an_apply_set_is_a_usage_error(here: World):
    with pytest.raises(UsageError, match="--applyset"):
        await here.apply(definition(), prune=True)


async def test_pruning_against_no_manifest_is_refused(here: World):
    await here.apply(definition(), subscription(), applyset="shop")
    with pytest.raises(InvalidInputError, match="all of the apply set"):
        await here.apply(applyset="shop", prune=True)
    assert set((await here.present()).subscriptions) == {"sub"}


@pytest.mark.parametrize("name", ["", "Shop", "a b", "a`b", "a\n", "-a", "x" * 64])
async def test_an_invalid_name_of_an_apply_set_is_a_usage_error(here: World, name: str):
    with pytest.raises(UsageError):
        await here.apply(definition(), applyset=name)


async def test_a_refused_apply_changes_nothing(here: World):
    await here.apply(definition(), subscription(), applyset="shop")
    before = await here.present()
    with pytest.raises(ConflictError):
        await here.apply(definition("new"), subscription(params={"a": 1}), applyset="ops")
    assert await here.present() == before
    assert await here.ports.catalog.history("ActivityDefinition", "new") == []
    assert len(await here.ports.catalog.history("Subscription", "sub")) == 1


async def test_apply_changes_the_paused_status_only_if_the_manifest_has_the_field(here: World):
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
    await here.apply(subscription(params={"a": 1}))  # without the field, the operator decides
    assert await status() is ACTIVE


async def test_labels_params_and_triggers_that_are_not_in_the_file_are_removed_and_shown(
    here: World,
):
    labelled = subscription(params={"a": []}, labels={"team": "a"}, triggers={"nightly": None})
    await here.apply(definition(), labelled)
    planned = await here.plan(subscription())
    (change,) = planned.plan.changes
    assert {field.path for field in change.fields} == {
        "metadata.labels.team",
        "spec.params.a",
        "spec.triggers.nightly",
    }
    assert [(change["trigger"], change["action"]) for change in planned.view["schedules"]] == [
        ("nightly", "created")
    ]


async def test_a_changed_definition_must_fit_the_subscriptions_that_are_not_pruned(here: World):
    strict = definition(params={"type": "object", "required": ["a"]})
    await here.apply(definition(), subscription("old"), applyset="shop")
    with pytest.raises(InvalidManifestsError) as caught:
        await here.apply(strict, applyset="shop")
    assert "breaks subscription 'old'" in caught.value.problems[0].reason
    applied = await here.apply(strict, applyset="shop", prune=True)
    assert applied.plan.deleted("Subscription") == ["old"]


async def test_a_subscription_without_a_definition_is_a_problem_with_file_and_line(here: World):
    with pytest.raises(InvalidManifestsError) as caught:
        await here.plan(subscription())
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("here.yaml", 1)
    assert "no ActivityDefinition 'digest'" in problem.reason


async def test_the_live_document_has_paused_only_if_the_wanted_one_has_it(here: World):
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


async def test_equal_documents_have_the_same_text(here: World):
    await here.apply(definition(), subscription(params={"a": 10**16, "b": [1, {"c": 1}]}))
    planned = await here.plan(subscription(params={"b": [1.0, {"c": 1}], "a": 1e16}))
    ((_, live, wanted),) = documents(planned.plan, planned.present)
    assert json.dumps(live) == json.dumps(wanted)


# ---- waiting for the schedules -------------------------------------------------------


async def start_worker(here: World) -> None:
    await here.ports.workers.beat(WorkerBeat("w", "host", 1, "0", NOW))


async def apply_and_wait(here: World, *manifests: Manifest, seconds: float) -> Applied:
    return await apply(
        manifest_set(*manifests),
        here.ports.catalog,
        here.ports.register,
        here.ports.workers,
        lambda: NOW,
        timeout_seconds=seconds,
    )


async def update_all(here: World, error: str | None = None) -> None:
    for drift in await here.ports.register.unsynced(100):
        if error is None:
            await here.ports.register.mark_synced([drift], NOW)
        else:
            await here.ports.register.mark_failed(drift, error)


async def test_without_a_worker_apply_stores_the_change_and_does_not_wait(here: World):
    applied = await apply_and_wait(here, definition(), subscription(), seconds=60)
    assert (applied.pending, applied.has_worker, applied.errors) == (2, False, ())


async def test_apply_waits_for_a_worker_until_time_is_up(here: World):
    await start_worker(here)
    applied = await apply_and_wait(here, definition(), subscription(), seconds=0)
    assert (applied.pending, applied.has_worker) == (2, True)


async def test_apply_returns_once_the_schedules_are_updated(here: World):
    await start_worker(here)

    async def work() -> None:
        async with here.ports.signals.listening("activityctl_work") as payloads:
            started.set()
            async for payload in payloads:
                if payload == "schedules":
                    await update_all(here)
                    return

    started = asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(work())
        await started.wait()
        applied = await apply_and_wait(here, definition(), subscription(), seconds=60)
    assert applied.pending == 0


async def test_a_refusal_by_temporal_is_reported_at_once(here: World):
    await start_worker(here)
    await apply_and_wait(here, definition(), subscription(), seconds=0)
    await update_all(here, "no such calendar")
    applied = await apply_and_wait(here, definition(), subscription(), seconds=60)
    assert applied.pending == 2
    assert all("no such calendar" in error for error in applied.errors)


async def test_apply_waits_for_a_schedule_that_temporal_did_not_answer(here: World):
    await start_worker(here)
    await apply_and_wait(here, definition(), subscription(), seconds=0)
    await update_all(here, unanswered_text("Timeout expired"))
    applied = await apply_and_wait(here, definition(), subscription(), seconds=0)
    assert (applied.pending, applied.refused, len(applied.unanswered)) == (2, (), 2)

    async def update_later() -> None:
        await asyncio.sleep(0.1)
        await update_all(here)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(update_later())
        applied = await apply_and_wait(here, definition(), subscription(), seconds=60)
    assert (applied.pending, applied.errors) == (0, ())


async def test_apply_can_wait_although_no_worker_is_alive(here: World):
    async def start_later() -> None:
        await asyncio.sleep(0.1)
        await start_worker(here)
        await update_all(here)

    plan = (await apply_and_wait(here, definition(), subscription(), seconds=0)).plan
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(start_later())
        applied = await wait_for_schedules(
            plan,
            here.ports.register,
            here.ports.workers,
            timeout_seconds=60,
            wait_without_worker=True,
        )
    assert (applied.pending, applied.has_worker) == (0, True)


async def test_only_a_change_of_timing_touches_a_schedule(here: World):
    await apply_and_wait(here, definition(), subscription(), seconds=0)
    await update_all(here)
    await apply_and_wait(here, definition(timeout="2h"), subscription(params={"a": 1}), seconds=0)
    assert await here.ports.register.unsynced(100) == []
    slower = definition(triggers=[{"name": "hourly", "interval": {"every": "2h"}}, NIGHTLY])
    await apply_and_wait(here, slower, subscription(params={"a": 1}), seconds=0)
    created, deleted = await here.ports.register.unsynced(100)
    assert (created.id, deleted.id) == ("alarm/every 2h", "alarm/every 1h")
    assert (created.wanted is None, deleted.wanted is None) == (False, True)


async def test_concurrent_applies_end_with_the_result_of_one_of_them(here: World):
    await here.apply(definition(), applyset="shop")
    sets = [
        [definition()]
        + [subscription(f"s{number}", params={"by": n}) for number in range(n, n + 3)]
        for n in range(4)
    ]
    await asyncio.gather(
        *(here.apply(*manifests, applyset="shop", prune=True) for manifests in sets)
    )
    present = await here.present()
    live = {
        name: subscription.params["by"]
        for name, subscription in present.subscriptions.items()
        if present.live(name)
    }
    assert live in [{f"s{number}": n for number in range(n, n + 3)} for n in range(4)]
