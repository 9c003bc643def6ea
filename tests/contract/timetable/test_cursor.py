"""The Timetable port: since when times are due, after applies, pauses and resumes."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.gitops.history import UNKNOWN_ORIGIN
from activityctl.operations.gitops.history import delete

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
HOURLY = {"every": "1h"}
ALL = {"policy": "fire_all", "window": "30d"}
EVERY_DAY_AT_NINE = {"schedule": "0 9 * * *"}

Act = Callable[[Any], Awaitable[object]]


async def test_a_new_schedule_is_due_from_its_apply_on(ledger: Any) -> None:
    await ledger.at(NOON + HOUR)
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    assert await ledger.next_at() == NOON + 2 * HOUR
    assert not await ledger.process_alarm(NOON + HOUR)
    await ledger.at(NOON + 2 * HOUR)
    assert await ledger.process_alarm(NOON + 2 * HOUR)
    assert await ledger.dispatch() == []


async def test_a_changed_timing_is_due_from_its_apply_on(ledger: Any) -> None:
    await ledger.apply(body={"every": "7d", "misfire": ALL})
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    assert await ledger.next_at() == NOON + 2 * HOUR
    await ledger.at(NOON + 2 * HOUR)
    await ledger.process_alarm(NOON + 2 * HOUR)
    await ledger.dispatch()
    assert await ledger.outcomes() == {NOON + 2 * HOUR: "fires"}


async def test_times_before_a_change_are_decided_by_the_old_trigger(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "misfire": {"policy": "skip"}})
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    assert await ledger.reasons() == ["13:00:00 missed: decided 30m late; misfire policy skip"]
    await ledger.at(NOON + 150 * MINUTE)
    await ledger.process_wake_up(NOON + 2 * HOUR)
    assert await ledger.dispatch() == []
    assert [firing.due for firing in ledger.started] == [NOON + 2 * HOUR]


@pytest.mark.parametrize("milliseconds", [400, 700])
async def test_a_firing_due_during_an_apply_is_not_lost(ledger: Any, milliseconds: int) -> None:
    """The apply begins before the nominal time and is written after it."""
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    await ledger.at(NOON + HOUR - SECOND)
    if not hasattr(ledger.clock, "ticking"):
        pytest.skip("in memory an apply takes no time")
    async with ledger.clock.ticking(timedelta(milliseconds=milliseconds)):
        await ledger.apply(body={**HOURLY, "misfire": {"policy": "skip"}})
    await ledger.at(NOON + HOUR + 10 * SECOND)
    await ledger.process_alarm(NOON + HOUR)
    await ledger.dispatch()
    assert await ledger.outcomes() == {NOON + HOUR: "fires"}


async def test_a_change_of_misfire_only_leaves_the_schedule_synced(ledger: Any) -> None:
    await ledger.apply(body=HOURLY)
    for drift in await ledger.ports.register.unsynced(10):
        await ledger.ports.register.mark_synced([drift], ledger.now)
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    assert await ledger.ports.register.unsynced(10) == []
    await ledger.at(NOON + HOUR)
    assert await ledger.process_alarm(NOON + HOUR)


async def test_past_times_of_a_removed_trigger_are_decided_and_no_more_follow(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "misfire": {"policy": "skip"}})
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.apply()
    assert await ledger.reasons() == ["13:00:00 missed: decided 30m late; misfire policy skip"]
    await ledger.at(NOON + 4 * HOUR)
    assert not await ledger.process_alarm(NOON + 4 * HOUR)
    assert await ledger.next_at() is None
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    assert await ledger.next_at() == NOON + 5 * HOUR
    assert len(await ledger.rows()) == 1


async def test_a_trigger_that_is_enabled_again_is_due_from_then_on(ledger: Any) -> None:
    body = {**HOURLY, "misfire": ALL}
    await ledger.apply(body=body)
    await ledger.apply(body=body, triggers={"often": None})
    await ledger.at(NOON + 3.5 * HOUR)
    assert await ledger.next_at() is None
    await ledger.apply(body=body)
    assert await ledger.next_at() == NOON + 4 * HOUR
    assert await ledger.dispatch() == []
    assert await ledger.rows() == []


async def test_a_subscription_that_is_created_again_is_due_from_then_on(ledger: Any) -> None:
    body = {**HOURLY, "misfire": {"policy": "skip"}}
    await ledger.apply(body=body)
    await ledger.at(NOON + 90 * MINUTE)
    catalog = ledger.ports.catalog
    await delete(catalog, "Subscription", "mine", lambda: ledger.now, UNKNOWN_ORIGIN)
    assert len(await ledger.rows()) == 1, "the time that was due before the delete"
    await ledger.at(NOON + 5.5 * HOUR)
    assert not await ledger.process_alarm(NOON + 5 * HOUR)
    await ledger.apply(body=body)
    assert await ledger.next_at() == NOON + 6 * HOUR
    assert len(await ledger.rows()) == 1


async def test_a_pause_decides_the_times_before_it(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "misfire": {"policy": "skip"}})
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.pause()
    assert await ledger.reasons() == ["13:00:00 missed: decided 30m late; misfire policy skip"]
    await ledger.at(NOON + 4 * HOUR)
    assert not await ledger.process_alarm(NOON + 4 * HOUR)
    assert await ledger.next_at() is None
    assert len(await ledger.rows()) == 1


async def test_after_a_resume_only_new_times_are_due(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    await ledger.pause()
    await ledger.at(NOON + 3.5 * HOUR)
    await ledger.resume()
    assert await ledger.next_at() == NOON + 4 * HOUR
    await ledger.at(NOON + 4 * HOUR)
    assert await ledger.process_alarm(NOON + 4 * HOUR)
    await ledger.dispatch()
    assert await ledger.outcomes() == {NOON + 4 * HOUR: "fires"}


@pytest.mark.parametrize(
    ("policy", "outcomes"),
    [
        ("skip", ["missed", "missed", "missed"]),
        ("fire_once", ["missed", "missed", "fires"]),
        ("fire_all", ["fires", "fires", "fires"]),
    ],
)
async def test_a_resume_with_catch_up_follows_the_misfire_policy(
    ledger: Any, policy: str, outcomes: list[str]
) -> None:
    await ledger.apply(body={**HOURLY, "misfire": {"policy": policy, "window": "1d"}})
    await ledger.at(NOON + MINUTE)
    await ledger.pause()
    await ledger.at(NOON + 3.5 * HOUR)
    await ledger.resume(catch_up=True)
    assert await ledger.next_at() == NOON + HOUR
    await ledger.process_wake_up(NOON + HOUR)
    await ledger.dispatch()
    assert sorted((await ledger.outcomes()).items()) == [
        (NOON + number * HOUR, outcome) for number, outcome in enumerate(outcomes, 1)
    ]


async def test_an_apply_during_a_pause_keeps_the_times_to_catch_up(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "misfire": {"policy": "skip"}})
    await ledger.pause()
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    await ledger.at(NOON + 150 * MINUTE)
    await ledger.resume(catch_up=True)
    await ledger.process_wake_up(NOON + HOUR)
    await ledger.dispatch()
    assert await ledger.outcomes() == {NOON + HOUR: "fires", NOON + 2 * HOUR: "fires"}


async def test_a_timing_changed_during_a_pause_is_caught_up_from_its_apply_on(ledger: Any) -> None:
    await ledger.apply(body={"every": "10m", "misfire": ALL})
    await ledger.pause()
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    await ledger.at(NOON + 150 * MINUTE)
    await ledger.resume(catch_up=True)
    await ledger.process_wake_up(NOON + 2 * HOUR)
    await ledger.dispatch()
    assert await ledger.outcomes() == {NOON + 2 * HOUR: "fires"}


async def test_after_a_resume_by_manifest_only_new_times_are_due(ledger: Any) -> None:
    body = {**HOURLY, "misfire": ALL}
    await ledger.apply(body=body, paused=True)
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.apply(body=body, paused=False)
    assert await ledger.next_at() == NOON + 2 * HOUR


async def test_max_firings_are_counted_until_the_trigger_changes(ledger: Any) -> None:
    body = {**HOURLY, "maxFirings": 2}
    await ledger.apply(body=body)
    for hours in range(1, 5):
        await ledger.at(NOON + hours * HOUR)
        assert await ledger.process_alarm(ledger.now) is (hours <= 2)
    assert (await ledger.schedule()).fired == 2
    assert await ledger.next_at() is None
    await ledger.apply(body=body, params={"x": 1}, spec={"description": "new words"})
    assert (await ledger.schedule()).fired == 2
    await ledger.apply(body={**body, "maxFirings": 3})
    assert (await ledger.schedule()).fired == 0
    for hours in range(5, 9):
        await ledger.at(NOON + hours * HOUR)
        assert await ledger.process_alarm(ledger.now) is (hours <= 7)


async def test_the_count_for_max_firings_continues_after_a_pause(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "maxFirings": 2})
    await ledger.at(NOON + HOUR)
    assert await ledger.process_alarm(ledger.now)
    await ledger.pause()
    await ledger.resume()
    await ledger.at(NOON + 3 * HOUR)
    assert await ledger.process_alarm(ledger.now)
    assert await ledger.next_at() is None


async def test_an_apply_without_changes_does_not_move_the_cursor(ledger: Any) -> None:
    body = {**HOURLY, "misfire": ALL}
    await ledger.apply(body=body)
    await ledger.at(NOON + 2.5 * HOUR)
    assert (await ledger.apply(body=body)).is_empty
    assert await ledger.next_at() == NOON + HOUR
