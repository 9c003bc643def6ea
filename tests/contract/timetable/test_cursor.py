"""The Timetable port: from when on times count, after applies, pauses and resumes."""

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


async def test_a_new_schedule_counts_from_its_apply(ledger: Any) -> None:
    await ledger.at(NOON + HOUR)
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    assert await ledger.next_at() == NOON + 2 * HOUR
    assert not await ledger.rings(NOON + HOUR)
    await ledger.at(NOON + 2 * HOUR)
    assert await ledger.rings(NOON + 2 * HOUR)
    assert await ledger.dispatch() == []


async def test_another_timing_counts_from_its_apply(ledger: Any) -> None:
    await ledger.apply(body={"every": "7d", "misfire": ALL})
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    assert await ledger.next_at() == NOON + 2 * HOUR
    await ledger.at(NOON + 2 * HOUR)
    await ledger.rings(NOON + 2 * HOUR)
    await ledger.dispatch()
    assert await ledger.fates() == {NOON + 2 * HOUR: "fires"}


async def test_what_was_due_before_a_change_goes_by_the_old_trigger(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "misfire": {"policy": "skip"}})
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    assert await ledger.told() == ["13:00:00 missed: settled 30m late; misfire policy skip"]
    await ledger.at(NOON + 150 * MINUTE)
    await ledger.wakes(NOON + 2 * HOUR)
    assert await ledger.dispatch() == []
    assert [one.due for one in ledger.started] == [NOON + 2 * HOUR]


@pytest.mark.parametrize("milliseconds", [400, 700])
async def test_a_firing_due_while_an_apply_is_at_work_is_not_lost(
    ledger: Any, milliseconds: int
) -> None:
    """The apply begins before the time has come and is written after it."""
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    await ledger.at(NOON + HOUR - SECOND)
    if not hasattr(ledger.clock, "ticking"):
        pytest.skip("in memory an apply takes no time")
    async with ledger.clock.ticking(timedelta(milliseconds=milliseconds)):
        await ledger.apply(body={**HOURLY, "misfire": {"policy": "skip"}})
    await ledger.at(NOON + HOUR + 10 * SECOND)
    await ledger.rings(NOON + HOUR)
    await ledger.dispatch()
    assert await ledger.fates() == {NOON + HOUR: "fires"}


async def test_a_change_of_misfire_alone_leaves_temporal_alone(ledger: Any) -> None:
    await ledger.apply(body=HOURLY)
    for drift in await ledger.ports.register.unsynced(10):
        await ledger.ports.register.mark_synced([drift], ledger.now)
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    assert await ledger.ports.register.unsynced(10) == []
    await ledger.at(NOON + HOUR)
    assert await ledger.rings(NOON + HOUR)


async def test_a_removed_trigger_is_settled_and_then_due_no_more(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "misfire": {"policy": "skip"}})
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.apply()
    assert await ledger.told() == ["13:00:00 missed: settled 30m late; misfire policy skip"]
    await ledger.at(NOON + 4 * HOUR)
    assert not await ledger.rings(NOON + 4 * HOUR)
    assert await ledger.next_at() is None
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    assert await ledger.next_at() == NOON + 5 * HOUR
    assert len(await ledger.rows()) == 1


async def test_a_trigger_that_is_turned_off_and_on_counts_from_then(ledger: Any) -> None:
    body = {**HOURLY, "misfire": ALL}
    await ledger.apply(body=body)
    await ledger.apply(body=body, triggers={"often": None})
    await ledger.at(NOON + 3.5 * HOUR)
    assert await ledger.next_at() is None
    await ledger.apply(body=body)
    assert await ledger.next_at() == NOON + 4 * HOUR
    assert await ledger.dispatch() == []
    assert await ledger.rows() == []


async def test_a_deleted_subscription_that_returns_counts_from_then(ledger: Any) -> None:
    body = {**HOURLY, "misfire": {"policy": "skip"}}
    await ledger.apply(body=body)
    await ledger.at(NOON + 90 * MINUTE)
    catalog = ledger.ports.catalog
    await delete(catalog, "Subscription", "mine", lambda: ledger.now, UNKNOWN_ORIGIN)
    assert len(await ledger.rows()) == 1, "what was due before it went"
    await ledger.at(NOON + 5.5 * HOUR)
    assert not await ledger.rings(NOON + 5 * HOUR)
    await ledger.apply(body=body)
    assert await ledger.next_at() == NOON + 6 * HOUR
    assert len(await ledger.rows()) == 1


async def test_pause_settles_what_was_due_before(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "misfire": {"policy": "skip"}})
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.pause()
    assert await ledger.told() == ["13:00:00 missed: settled 30m late; misfire policy skip"]
    await ledger.at(NOON + 4 * HOUR)
    assert not await ledger.rings(NOON + 4 * HOUR)
    assert await ledger.next_at() is None
    assert len(await ledger.rows()) == 1


async def test_resume_begins_anew(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    await ledger.pause()
    await ledger.at(NOON + 3.5 * HOUR)
    await ledger.resume()
    assert await ledger.next_at() == NOON + 4 * HOUR
    await ledger.at(NOON + 4 * HOUR)
    assert await ledger.rings(NOON + 4 * HOUR)
    await ledger.dispatch()
    assert await ledger.fates() == {NOON + 4 * HOUR: "fires"}


@pytest.mark.parametrize(
    ("policy", "fates"),
    [
        ("skip", ["missed", "missed", "missed"]),
        ("fire_once", ["missed", "missed", "fires"]),
        ("fire_all", ["fires", "fires", "fires"]),
    ],
)
async def test_a_resume_that_catches_up_goes_by_the_misfire_policy(
    ledger: Any, policy: str, fates: list[str]
) -> None:
    await ledger.apply(body={**HOURLY, "misfire": {"policy": policy, "window": "1d"}})
    await ledger.at(NOON + MINUTE)
    await ledger.pause()
    await ledger.at(NOON + 3.5 * HOUR)
    await ledger.resume(catch_up=True)
    assert await ledger.next_at() == NOON + HOUR
    await ledger.wakes(NOON + HOUR)
    await ledger.dispatch()
    assert sorted((await ledger.fates()).items()) == [
        (NOON + number * HOUR, fate) for number, fate in enumerate(fates, 1)
    ]


async def test_an_apply_during_a_pause_leaves_what_is_to_be_caught_up(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "misfire": {"policy": "skip"}})
    await ledger.pause()
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    await ledger.at(NOON + 150 * MINUTE)
    await ledger.resume(catch_up=True)
    await ledger.wakes(NOON + HOUR)
    await ledger.dispatch()
    assert await ledger.fates() == {NOON + HOUR: "fires", NOON + 2 * HOUR: "fires"}


async def test_another_timing_during_a_pause_is_caught_up_from_its_apply(ledger: Any) -> None:
    await ledger.apply(body={"every": "10m", "misfire": ALL})
    await ledger.pause()
    await ledger.at(NOON + 90 * MINUTE)
    await ledger.apply(body={**HOURLY, "misfire": ALL})
    await ledger.at(NOON + 150 * MINUTE)
    await ledger.resume(catch_up=True)
    await ledger.wakes(NOON + 2 * HOUR)
    await ledger.dispatch()
    assert await ledger.fates() == {NOON + 2 * HOUR: "fires"}


async def test_a_manifest_that_resumes_begins_anew(ledger: Any) -> None:
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
        assert await ledger.rings(ledger.now) is (hours <= 2)
    assert (await ledger.schedule()).fired == 2
    assert await ledger.next_at() is None
    await ledger.apply(body=body, params={"x": 1}, spec={"description": "new words"})
    assert (await ledger.schedule()).fired == 2
    await ledger.apply(body={**body, "maxFirings": 3})
    assert (await ledger.schedule()).fired == 0
    for hours in range(5, 9):
        await ledger.at(NOON + hours * HOUR)
        assert await ledger.rings(ledger.now) is (hours <= 7)


async def test_max_firings_go_on_over_a_pause(ledger: Any) -> None:
    await ledger.apply(body={**HOURLY, "maxFirings": 2})
    await ledger.at(NOON + HOUR)
    assert await ledger.rings(ledger.now)
    await ledger.pause()
    await ledger.resume()
    await ledger.at(NOON + 3 * HOUR)
    assert await ledger.rings(ledger.now)
    assert await ledger.next_at() is None


async def test_an_apply_that_changes_nothing_moves_nothing(ledger: Any) -> None:
    body = {**HOURLY, "misfire": ALL}
    await ledger.apply(body=body)
    await ledger.at(NOON + 2.5 * HOUR)
    assert (await ledger.apply(body=body)).is_empty
    assert await ledger.next_at() == NOON + HOUR
