"""The Timetable port: each nominal time is decided once, and its firing starts once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from activityctl.domain.timing.due_times import jitter_of
from activityctl.ports import WORK_CHANNEL

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
HOURLY = {"every": "1h"}
ALL = {"policy": "fire_all", "window": "1d"}


@pytest_asyncio.fixture(loop_scope="session")
async def hourly(ledger: Any) -> Any:
    """Return a ledger with an hourly trigger, one minute before one o'clock."""
    await ledger.apply(body=HOURLY)
    await ledger.at(NOON + 59 * MINUTE)
    return ledger


async def test_nothing_starts_before_its_time(hourly: Any) -> None:
    assert not await hourly.process_alarm(NOON)
    assert not await hourly.process_alarm(NOON + HOUR)
    assert await hourly.outcomes() == {}


async def test_the_workflow_of_the_alarm_executes_its_firing(hourly: Any) -> None:
    await hourly.at(NOON + HOUR)
    assert await hourly.process_alarm(NOON + HOUR)
    assert await hourly.dispatch() == []
    assert await hourly.next_at() == NOON + 2 * HOUR
    assert (await hourly.schedule()).fired == 1


async def test_an_alarm_for_a_time_that_is_not_due_starts_nothing(hourly: Any) -> None:
    """As when Temporal fires a time twice, or a time that does not exist."""
    await hourly.at(NOON + 90 * MINUTE)
    assert not await hourly.process_alarm(NOON + 90 * MINUTE)
    assert await hourly.process_alarm(NOON + HOUR), "it is decided, and no workflow executes it yet"


async def test_the_dispatcher_starts_the_firings_that_the_caller_does_not(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    await ledger.at(NOON + 3 * HOUR)
    async with ledger.ports.signals.listening(WORK_CHANNEL) as payloads:
        assert await ledger.process_alarm(NOON + 2 * HOUR)
        assert await anext(payloads) == "firing"
    assert await ledger.dispatch() == [NOON + HOUR, NOON + 3 * HOUR]
    assert await ledger.dispatch() == []


@pytest.mark.parametrize("callers", [2, 8])
async def test_simultaneous_callers_decide_a_time_once(ledger: Any, callers: int) -> None:
    """Several callers may start, but all of them the same firing: its run is opened once."""
    body = {"every": "1m", "misfire": {"policy": "fire_once"}}
    await ledger.apply(body=body)
    await ledger.at(NOON + 5 * MINUTE)
    nominals = [NOON + number * MINUTE for number in range(1, 6)]
    asked = [ledger.alarm(nominal) for nominal in nominals for _ in range(callers)]
    answers = await asyncio.gather(
        *(ledger.ports.timetable.process_due(firing) for firing in asked)
    )
    started = {firing.firing_key for firing, starts in zip(asked, answers, strict=True) if starts}
    assert started == {"2026-03-02T12:05:00Z"}
    assert [f"{run.due_at:%H:%M}" for run in await ledger.rows()] == [
        "12:01",
        "12:02",
        "12:03",
        "12:04",
    ]
    assert (await ledger.schedule()).fired == 1
    assert len(await ledger.log()) == 4


async def test_a_caller_that_lost_its_answer_executes_its_run_when_it_asks_again(
    hourly: Any,
) -> None:
    await hourly.at(NOON + HOUR)
    firing = hourly.alarm(NOON + HOUR)
    for seconds in (0, 0.5, 1, 2, 600):
        await hourly.at(NOON + HOUR + seconds * SECOND)
        assert await hourly.ports.timetable.process_due(firing)
    assert await hourly.dispatch() == []
    assert (await hourly.schedule()).fired == 1


async def test_a_caller_ahead_of_the_clock_executes_its_run_when_it_asks_again(
    hourly: Any,
) -> None:
    """Temporal's clock is a little ahead, and the worker dies before it gets the answer."""
    firing = hourly.alarm(NOON + HOUR)
    for ahead in (1.5, 1.2, 0.5, 0):
        await hourly.at(NOON + HOUR - ahead * SECOND)
        assert await hourly.ports.timetable.process_due(firing), ahead
    assert await hourly.dispatch() == []


@pytest.mark.parametrize("ahead", [timedelta(milliseconds=1), SECOND, 2 * SECOND])
async def test_an_alarm_slightly_ahead_of_the_clock_is_on_time(
    hourly: Any, ahead: timedelta
) -> None:
    await hourly.at(NOON + HOUR - ahead)
    assert await hourly.process_alarm(NOON + HOUR)
    await hourly.at(NOON + HOUR + 5 * SECOND)
    assert not await hourly.process_wake_up(NOON + HOUR) or hourly.started.pop()
    assert await hourly.rows() == []
    assert (await hourly.schedule()).fired == 1


async def test_no_run_is_early_if_temporal_is_far_ahead(hourly: Any) -> None:
    await hourly.at(NOON + HOUR - 2.1 * SECOND)
    for ahead in range(1, 5):
        assert not await hourly.process_alarm(NOON + ahead * HOUR)
    assert await hourly.dispatch() == []
    await hourly.at(NOON + HOUR + 3 * SECOND)
    (overdue,) = await hourly.ports.timetable.overdue(10)
    assert overdue.next_at == NOON + HOUR
    assert await hourly.process_wake_up(overdue.next_at)
    assert await hourly.outcomes() == {NOON + HOUR: "fires"}


async def test_an_alarm_behind_the_clock_finds_its_time_decided(hourly: Any) -> None:
    await hourly.at(NOON + HOUR + 3 * SECOND)
    assert await hourly.process_wake_up(NOON + HOUR)
    await hourly.at(NOON + 2 * HOUR - MINUTE)
    assert await hourly.process_alarm(NOON + HOUR), "the same run, which is opened once"
    assert (await hourly.schedule()).fired == 1


async def test_nothing_fires_again_if_the_clock_is_set_back(hourly: Any) -> None:
    await hourly.at(NOON + HOUR)
    assert await hourly.process_alarm(NOON + HOUR)
    await hourly.at(NOON)
    assert not await hourly.process_alarm(NOON)
    await hourly.at(NOON + HOUR + SECOND)
    assert await hourly.process_wake_up(NOON + HOUR)
    assert (await hourly.schedule()).fired == 1
    assert await hourly.dispatch() == []


async def test_a_firing_with_jitter_waits_in_the_outbox(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "jitter": "30m"})
    nominal = NOON + HOUR
    starts = nominal + jitter_of(ledger.owner, "often", nominal, 30 * MINUTE)
    assert starts > nominal
    await ledger.at(nominal)
    assert not await ledger.process_alarm(nominal)
    assert await ledger.ports.outbox.seconds_to_next() == pytest.approx(
        (starts - nominal).total_seconds()
    )
    await ledger.at(starts - timedelta(milliseconds=1))
    assert await ledger.dispatch() == []
    assert not await ledger.process_alarm(nominal)
    await ledger.at(starts)
    assert await ledger.dispatch() == [nominal]


async def test_a_firing_outside_its_window_waits_in_the_outbox(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "window": {"from": "15:30", "to": "16:00"}})
    await ledger.at(NOON + HOUR)
    assert not await ledger.process_alarm(NOON + HOUR)
    await ledger.at(NOON + 2 * HOUR)
    assert not await ledger.process_alarm(NOON + 2 * HOUR)
    await ledger.at(NOON + 3.5 * HOUR - SECOND)
    assert await ledger.dispatch() == []
    await ledger.at(NOON + 3.5 * HOUR)
    assert await ledger.dispatch() == [NOON + HOUR, NOON + 2 * HOUR]


async def test_a_caller_that_asks_after_the_jitter_executes_its_run(ledger: Any) -> None:
    """The dispatcher does not start it again."""
    await ledger.apply(body={**HOURLY, "jitter": "30m"})
    await ledger.at(NOON + HOUR)
    assert not await ledger.process_alarm(NOON + HOUR)
    await ledger.at(NOON + 1.5 * HOUR)
    assert await ledger.process_alarm(NOON + HOUR)
    assert await ledger.dispatch() == []


async def test_unknown_and_removed_schedules_decide_nothing(ledger: Any) -> None:
    assert not await ledger.process_alarm(NOON)
    await ledger.apply(body=HOURLY)
    await ledger.apply()
    await ledger.at(NOON + HOUR)
    assert not await ledger.process_alarm(NOON + HOUR)
    assert await ledger.rows() == []
