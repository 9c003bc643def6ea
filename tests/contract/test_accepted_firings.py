"""A firing without a run: it is listed and found as a queued run, and cancelled for good."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.accepted import WAITS_FOR_WORKER, cancelled_firing
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.backfill import Backfill
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.domain.values.selection import Selection
from activityctl.errors import NotFoundError, RefusedError
from activityctl.operations.runs.actions import cancel
from activityctl.ports import OpenResult, PostponedFiring

Fire = Callable[..., FiringRequest]


@pytest.fixture
def fire(mine: Subscription, now: datetime) -> Fire:
    def make(key: str, **payload: object) -> FiringRequest:
        return FiringRequest(mine.id, "manual", key, now, payload)

    return make


async def open_run(ports: wiring.Ports, firing: FiringRequest, now: datetime) -> OpenResult:
    """Open the run of the firing, as a worker does."""
    facts = await ports.runs.admission_input(firing.ref)
    assert facts is not None
    change = RunChange(new_run(firing.ref, facts, now))
    return await ports.runs.open(firing.ref.workflow_id, change)


async def test_it_is_listed_by_the_filters_of_runs_and_found_by_its_runs_id(
    ports: wiring.Ports, fire: Fire, mine: Subscription, now: datetime
):
    first, second = fire("first", a=1), fire("second")
    await ports.outbox.add([first], now)
    await ports.outbox.add([second], now + timedelta(minutes=1))
    accepted = ports.run_lists.accepted
    assert [run.firing_key for run in await accepted(Selection())] == ["second", "first"]
    for selection, keys in (
        (Selection(limit=1), ["second"]),
        (Selection(statuses=("failed", "queued")), ["second", "first"]),
        (Selection(statuses=("failed",)), []),
        (Selection(subscription_id=mine.id), ["second", "first"]),
        (Selection(subscription_id="other"), []),
        (Selection(since=now + timedelta(seconds=1)), ["second"]),
        (Selection(run_id=first.ref.run_id), ["first"]),
    ):
        assert [run.firing_key for run in await accepted(selection)] == keys, selection
    for reference in (first.ref.run_id, first.ref.run_id[:13]):
        run = await ports.run_lists.find_run(reference)
        assert (run.id, run.subscription, run.status) == (first.ref.run_id, "mine", "queued")
        assert (run.payload, run.reason, run.created_at) == ({"a": 1}, WAITS_FOR_WORKER, now)
    with pytest.raises(NotFoundError):
        await ports.run_lists.find_run("")


async def test_a_firing_with_a_run_is_not_listed_again(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    firing = fire("k")
    await ports.outbox.add([firing], now)
    async with ports.outbox.claimed(10) as claim:
        await claim.dispatched(claim.firings, now)
    (run,) = await ports.run_lists.accepted(Selection())  # its worker may have gone away
    assert run.reason == WAITS_FOR_WORKER
    assert await open_run(ports, firing, now) is OpenResult.OPENED
    assert await ports.run_lists.accepted(Selection()) == []
    assert (await ports.run_lists.find_run(run.id)).reason is None


async def test_what_a_backfill_holds_is_listed_among_queued_runs_until_it_is_cancelled(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    days = [now - timedelta(days=count) for count in (2, 1)]
    backfill = Backfill(mine.id, "daily", days[0], days[-1], 1)
    async with ports.backfills.locked(mine.id, "daily", days[0], days[-1]) as locked:
        await locked.hold(backfill, days)
    assert await ports.run_lists.accepted(Selection()) == []
    held = await ports.run_lists.accepted(Selection(statuses=("queued",)))
    assert {run.reason for run in held} == {"accepted; waits for its turn in a backfill"}
    done = await cancel(ports.runs, ports.run_lists, held[0].id, now)
    assert done.status is RunStatus.CANCELLED
    assert len(await ports.run_lists.accepted(Selection(statuses=("queued",)))) == 1
    await ports.backfills.cancel(mine.id, "daily")
    assert await ports.run_lists.accepted(Selection(statuses=("queued",))) == []


async def test_the_reason_says_why_it_could_not_be_started(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    await ports.outbox.add([fire("k")], now)
    async with ports.outbox.claimed(10) as claim:
        failed = PostponedFiring(claim.firings[0], timedelta(hours=1), "broken")
        await claim.postponed([failed], now)
    (run,) = await ports.run_lists.accepted(Selection())
    assert run.reason is not None
    assert run.reason.startswith("accepted; could not be started, next try at ")
    assert run.reason.endswith(": broken")


async def test_a_cancelled_firing_ends_as_a_run_and_is_never_started(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    firing = fire("k", a=1)
    await ports.outbox.add([firing], now)
    run = await cancel(ports.runs, ports.run_lists, firing.ref.run_id[:13], now)
    assert run.id == firing.ref.run_id
    found = await ports.run_lists.find_run(run.id)
    assert (found.status, found.ended_at, found.payload) == ("cancelled", now, {"a": 1})
    assert found.reason == "cancelled on request, before it started"
    assert await ports.run_lists.workflow_of(found.id) is None  # Temporal's page has none
    page, _ = await ports.logbook.page(
        LogFilter((run.subscription_id,), run.id), Cursor(), limit=10
    )
    assert [entry.message for entry in page] == [f"run cancelled: {found.reason}"]
    assert await ports.outbox.waiting() == 0
    assert await ports.run_lists.accepted(Selection()) == []
    async with ports.outbox.claimed(10) as claim:
        assert claim.firings == []
    assert await open_run(ports, firing, now) is OpenResult.TAKEN
    with pytest.raises(RefusedError, match="already ended: cancelled"):
        await cancel(ports.runs, ports.run_lists, run.id, now)


async def test_a_firing_that_is_a_run_or_unknown_is_not_cancelled_as_accepted(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    firing = fire("k")
    facts = await ports.runs.admission_input(firing.ref)
    assert cancelled_firing(firing.ref, facts, now) is None
    await ports.outbox.add([firing], now)
    change = cancelled_firing(firing.ref, await ports.runs.admission_input(firing.ref), now)
    assert change is not None
    assert await open_run(ports, firing, now) is OpenResult.OPENED
    assert not await ports.runs.cancel_accepted(firing.ref.workflow_id, change)
    assert not (await ports.run_lists.find_run(firing.ref.run_id)).has_ended


async def test_a_race_of_cancel_and_start_ends_in_one_fate(
    ports: wiring.Ports, fire: Fire, now: datetime
):
    for number in range(20):
        firing = fire(f"k{number}")
        await ports.outbox.add([firing], now)

        async def start(firing: FiringRequest = firing) -> OpenResult | None:
            async with ports.outbox.claimed(10) as claim:
                if not claim.firings:
                    return None
                await claim.dispatched(claim.firings, now)
                return await open_run(ports, firing, now)

        opened, answer = await asyncio.gather(
            start(), cancel(ports.runs, ports.run_lists, firing.ref.run_id, now)
        )
        run = await ports.run_lists.find_run(firing.ref.run_id)
        requests = [run_id for run_id, _ in await ports.runs.cancel_requests()]
        if opened is OpenResult.OPENED:
            assert run.id in requests  # the worker ends it as any run
        else:
            assert (run.status, answer.status) == (RunStatus.CANCELLED, RunStatus.CANCELLED)
            assert run.id not in requests
