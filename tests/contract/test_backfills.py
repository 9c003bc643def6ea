"""The Backfills port: each firing is held once, and they are released in order, a few at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.backfill import Backfill, BackfillProgress, PastTimes
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRef, FiringRequest, firing_key
from activityctl.ports import WORK_CHANNEL, OpenResult

FIRST = datetime(2026, 3, 1, 8, tzinfo=UTC)
DAYS = [FIRST + timedelta(days=number) for number in range(10)]
LAST = DAYS[-1]

Finish = Callable[..., Awaitable[None]]


@pytest.fixture
def make_backfill(mine: Subscription) -> Callable[..., Backfill]:
    def make(**changes: Any) -> Backfill:
        wanted = {"trigger": "daily", "first": FIRST, "last": LAST, "max_parallel": 2, **changes}
        return Backfill(mine.id, **wanted)

    return make


@pytest.fixture
def backfill(make_backfill: Callable[..., Backfill]) -> Backfill:
    return make_backfill()


@pytest.fixture
def finish(ports: wiring.Ports, mine: Subscription) -> Finish:
    """Open a run of the trigger `daily` with that due time and status."""

    async def make(
        nominal: datetime, status: RunStatus = RunStatus.SUCCEEDED, *, key: str | None = None
    ) -> None:
        ref = FiringRequest(mine.id, "daily", key or f"backfill-{firing_key(nominal)}", nominal).ref
        facts = await ports.runs.admission_input(ref)
        assert facts is not None
        has_ended = status not in {RunStatus.RUNNING, RunStatus.QUEUED}
        run = Run(
            id=ref.run_id,
            subscription_id=mine.id,
            subscription=mine.name,
            definition=mine.definition,
            revision_id=facts.revision.id,
            trigger="daily",
            firing_key=ref.firing_key,
            due_at=nominal,
            status=status,
            created_at=nominal,
            ended_at=nominal if has_ended else None,
        )
        assert await ports.runs.open(ref.workflow_id, RunChange(run)) is OpenResult.OPENED

    return make


async def hold(ports: wiring.Ports, backfill: Backfill, nominals: Sequence[datetime]) -> int:
    async with ports.backfills.locked(
        backfill.subscription_id, backfill.trigger, backfill.first, backfill.last
    ) as locked:
        return await locked.hold(backfill, nominals)


async def past(ports: wiring.Ports, mine: Subscription) -> PastTimes:
    return await ports.backfills.past(mine.id, "daily", FIRST, LAST)


async def progress(ports: wiring.Ports, mine: Subscription) -> BackfillProgress:
    anything = Backfill(mine.id, "daily", FIRST, FIRST, 1)
    return await ports.backfills.progress(anything, DAYS)


async def claimed(ports: wiring.Ports) -> list[FiringRef]:
    async with ports.outbox.claimed(100) as claim:
        return list(claim.firings)


async def dispatch(ports: wiring.Ports) -> list[datetime]:
    """Start the firings that may start, as the dispatcher does; return their nominal times."""
    async with ports.outbox.claimed(100) as claim:
        await claim.dispatched(claim.firings, datetime.now(UTC))
        return sorted(firing.due for firing in claim.firings)


# ---- the past ------------------------------------------------------------------------


async def test_without_runs_and_firings_the_past_is_empty(ports: wiring.Ports, mine: Subscription):
    found = await past(ports, mine)
    assert (found.runs, found.firing, found.held) == ({}, frozenset(), frozenset())


async def test_the_past_has_the_runs_of_each_time_including_both_ends(
    ports: wiring.Ports, mine: Subscription, finish: Finish
):
    await finish(FIRST, RunStatus.MISSED, key="a")
    await finish(FIRST, RunStatus.FAILED)
    await finish(LAST, RunStatus.RUNNING)
    await finish(FIRST - timedelta(seconds=1))
    await finish(LAST + timedelta(seconds=1))
    assert (await past(ports, mine)).runs == {
        FIRST: {RunStatus.MISSED, RunStatus.FAILED},
        LAST: {RunStatus.RUNNING},
    }
    other = await ports.backfills.past(mine.id, "other", FIRST, LAST)
    assert other.runs == {}


async def test_a_scheduled_firing_is_in_the_past_before_it_has_a_run(
    ports: wiring.Ports, mine: Subscription
):
    own = FiringRequest(mine.id, "daily", firing_key(DAYS[3]), DAYS[3])
    await ports.outbox.add([own], datetime.now(UTC))
    assert (await past(ports, mine)).firing == {DAYS[3]}


async def test_the_past_is_decided_up_to_the_cursor_or_to_now_while_paused(
    ports: wiring.Ports, mine: Subscription
):
    begun = datetime.now(UTC)
    active = (await past(ports, mine)).decided_until
    await asyncio.sleep(0.02)
    assert (await past(ports, mine)).decided_until == active
    assert active <= begun
    await ports.catalog.set_subscription_status(
        mine.id, SubscriptionStatus.PAUSED, datetime.now(UTC)
    )
    await asyncio.sleep(0.02)
    asked = datetime.now(UTC)
    assert asked <= (await past(ports, mine)).decided_until <= datetime.now(UTC)


# ---- holding -------------------------------------------------------------------------


async def test_held_firings_are_not_claimable(
    ports: wiring.Ports, mine: Subscription, backfill: Backfill
):
    assert await hold(ports, backfill, DAYS) == 10
    assert await claimed(ports) == []
    assert (await past(ports, mine)).held == set(DAYS)
    assert await progress(ports, mine) == BackfillProgress(held=10)


async def test_a_repeat_adds_only_new_times(
    ports: wiring.Ports, mine: Subscription, backfill: Backfill
):
    assert await hold(ports, backfill, DAYS[:4]) == 4
    assert await hold(ports, backfill, DAYS[2:6]) == 2
    assert (await progress(ports, mine)).total == 6


async def test_a_repeat_does_not_change_released_firings(
    ports: wiring.Ports, mine: Subscription, backfill: Backfill
):
    await hold(ports, backfill, DAYS[:3])
    assert await ports.backfills.release(100) == 2
    assert await hold(ports, backfill, DAYS[:3]) == 0
    assert await progress(ports, mine) == BackfillProgress(held=1, starting=2)
    found = await past(ports, mine)
    assert (found.firing, found.held) == (set(DAYS[:2]), {DAYS[2]})


async def test_concurrent_holds_hold_each_time_once(
    ports: wiring.Ports, mine: Subscription, backfill: Backfill
):
    counts = await asyncio.gather(*(hold(ports, backfill, DAYS) for _ in range(4)))
    assert sorted(counts) == [0, 0, 0, 10]
    assert (await progress(ports, mine)).total == 10


async def test_nothing_is_held_when_the_block_fails_first(ports: wiring.Ports, mine: Subscription):
    async def fail() -> None:
        async with ports.backfills.locked(mine.id, "daily", FIRST, LAST):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert (await progress(ports, mine)).total == 0


async def test_a_hold_and_a_release_wake_the_dispatcher(ports: wiring.Ports, backfill: Backfill):
    async with ports.signals.listening(WORK_CHANNEL) as payloads:
        await hold(ports, backfill, DAYS)
        async with asyncio.timeout(60):
            assert [payload async for payload in _until(payloads, "queue")][-1] == "queue"
        await ports.backfills.release(10)
        async with asyncio.timeout(60):
            assert [payload async for payload in _until(payloads, "firing")][-1] == "firing"


async def _until(payloads: Any, wanted: str) -> Any:
    async for payload in payloads:
        yield payload
        if payload == wanted:
            return


# ---- releasing -----------------------------------------------------------------------


async def test_without_a_backfill_nothing_is_released(ports: wiring.Ports):
    assert await ports.backfills.release(100) == 0


async def test_firings_are_released_in_order_as_slots_become_free(
    ports: wiring.Ports, backfill: Backfill, finish: Finish
):
    await hold(ports, backfill, [DAYS[2], DAYS[0], DAYS[1], DAYS[3]])
    assert await ports.backfills.release(100) == 2
    assert await dispatch(ports) == DAYS[:2]
    assert await ports.backfills.release(100) == 0
    await finish(DAYS[0])
    await finish(DAYS[1], RunStatus.RUNNING)
    assert await ports.backfills.release(100) == 1
    assert await dispatch(ports) == [DAYS[2]]
    await finish(DAYS[2], RunStatus.FAILED)
    assert await ports.backfills.release(100) == 1
    assert await dispatch(ports) == [DAYS[3]]
    assert await ports.backfills.release(100) == 0


async def test_a_release_takes_no_more_than_its_limit(ports: wiring.Ports, make_backfill: Any):
    await hold(ports, make_backfill(max_parallel=8), DAYS)
    assert await ports.backfills.release(3) == 3
    assert await dispatch(ports) == DAYS[:3]
    assert await ports.backfills.release(100) == 5


async def test_each_backfill_has_its_own_slots(
    ports: wiring.Ports, make_backfill: Any, finish: Finish
):
    early = make_backfill(last=DAYS[4], max_parallel=1)
    late = make_backfill(first=DAYS[5], max_parallel=3)
    await hold(ports, late, DAYS[5:])
    await hold(ports, early, DAYS[:5])
    assert await ports.backfills.release(100) == 4
    assert await dispatch(ports) == [DAYS[0], *DAYS[5:8]]
    for nominal in (DAYS[0], DAYS[5]):
        await finish(nominal, RunStatus.RUNNING)
    for nominal in DAYS[6:8]:
        await finish(nominal)
    assert await ports.backfills.release(100) == 2
    assert await dispatch(ports) == DAYS[8:]


async def test_overlapping_backfills_start_their_times_in_order(
    ports: wiring.Ports, make_backfill: Any, finish: Finish
):
    await hold(ports, make_backfill(max_parallel=2), DAYS)
    await hold(ports, make_backfill(first=DAYS[4], last=DAYS[6], max_parallel=3), DAYS[4:7])
    started: list[datetime] = []
    for _ in range(len(DAYS)):
        await ports.backfills.release(100)
        begun = await dispatch(ports)
        started += begun
        for nominal in begun:
            await finish(nominal)
    assert started == DAYS


async def test_a_cancelled_backfill_does_not_delay_another(ports: wiring.Ports, make_backfill: Any):
    await hold(ports, make_backfill(last=DAYS[6]), DAYS[:2])
    late = make_backfill(first=DAYS[5])
    await ports.backfills.cancel(late.subscription_id, None)
    await hold(ports, late, DAYS[5:])
    assert await ports.backfills.release(100) == 2
    assert await dispatch(ports) == DAYS[5:7]


async def test_concurrent_releases_keep_to_the_limit(
    ports: wiring.Ports, mine: Subscription, make_backfill: Any
):
    await hold(ports, make_backfill(max_parallel=3), DAYS)
    counts = await asyncio.gather(*(ports.backfills.release(100) for _ in range(5)))
    assert sum(counts) == 3
    assert await progress(ports, mine) == BackfillProgress(held=7, starting=3)


async def test_a_repeat_changes_how_many_run_at_the_same_time(
    ports: wiring.Ports, make_backfill: Any
):
    await hold(ports, make_backfill(max_parallel=1), DAYS)
    assert await ports.backfills.release(100) == 1
    await hold(ports, make_backfill(max_parallel=4), DAYS)
    assert await ports.backfills.release(100) == 3


async def test_a_newer_backfill_takes_over_held_firings(
    ports: wiring.Ports, mine: Subscription, make_backfill: Any
):
    await hold(ports, make_backfill(max_parallel=1), DAYS)
    wider = make_backfill(last=LAST + timedelta(hours=1), max_parallel=5)
    assert await hold(ports, wider, DAYS) == 0
    assert await ports.backfills.release(100) == 5
    assert (await progress(ports, mine)).total == 10


# ---- progress and cancellation -------------------------------------------------------


async def test_progress_counts_runs_by_status_and_no_firings_of_others(
    ports: wiring.Ports, mine: Subscription, make_backfill: Any, finish: Finish
):
    await hold(ports, make_backfill(max_parallel=4), DAYS)
    await ports.backfills.release(100)
    await finish(DAYS[0])
    await finish(DAYS[1], RunStatus.FAILED)
    await finish(DAYS[2], RunStatus.RUNNING)
    await finish(DAYS[9], RunStatus.MISSED, key=firing_key(DAYS[9]))
    found = await progress(ports, mine)
    assert found == BackfillProgress(
        held=6,
        starting=1,
        runs={RunStatus.SUCCEEDED: 1, RunStatus.FAILED: 1, RunStatus.RUNNING: 1},
    )
    assert (found.total, found.ended, found.failed, found.is_over) == (10, 2, 1, False)
    other = Backfill(mine.id, "daily", DAYS[0], DAYS[1], 1)
    part = await ports.backfills.progress(other, DAYS[:2])
    assert (part.total, part.is_over) == (2, True)


async def test_progress_counts_its_own_firings_and_those_of_named_times(
    ports: wiring.Ports, make_backfill: Any
):
    early, late = make_backfill(last=DAYS[4]), make_backfill(first=DAYS[3])
    await hold(ports, early, DAYS[:5])
    await hold(ports, late, DAYS[5:])
    assert (await ports.backfills.progress(early, ())).total == 5
    assert (await ports.backfills.progress(late, ())).total == 5
    assert (await ports.backfills.progress(late, [DAYS[3], DAYS[7]])).total == 6
    elsewhere = make_backfill(trigger="other")
    assert (await ports.backfills.progress(elsewhere, DAYS)).total == 0


async def test_a_cancelled_backfill_releases_no_more(
    ports: wiring.Ports, mine: Subscription, backfill: Backfill, finish: Finish
):
    await hold(ports, backfill, DAYS)
    await ports.backfills.release(100)
    assert await ports.backfills.cancel(mine.id, None) == 8
    await dispatch(ports)
    await finish(DAYS[0])
    await finish(DAYS[1])
    assert await ports.backfills.release(100) == 0
    found = await progress(ports, mine)
    assert (found.cancelled, found.held, found.is_over) == (8, 0, True)
    assert await ports.backfills.cancel(mine.id, None) == 0


async def test_a_repeat_opens_a_cancelled_backfill_again(
    ports: wiring.Ports, mine: Subscription, backfill: Backfill
):
    await hold(ports, backfill, DAYS)
    await ports.backfills.cancel(mine.id, "daily")
    assert await hold(ports, backfill, DAYS) == 0
    assert await progress(ports, mine) == BackfillProgress(held=10)
    assert await ports.backfills.release(100) == 2


async def test_the_backfills_of_one_trigger_can_be_cancelled_alone(
    ports: wiring.Ports, mine: Subscription, make_backfill: Any
):
    await hold(ports, make_backfill(), DAYS)
    await hold(ports, make_backfill(trigger="other"), DAYS[:3])
    assert await ports.backfills.cancel(mine.id, "other") == 3
    assert (await progress(ports, mine)).held == 10
    assert await ports.backfills.cancel("no-such-subscription", None) == 0
