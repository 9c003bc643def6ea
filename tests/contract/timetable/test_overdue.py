"""The Timetable and ScheduleRegister ports: schedules that nothing wakes, and the silent ones."""

from datetime import UTC, datetime, timedelta
from typing import Any

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
EVERY_MINUTE = {"every": "1m"}


async def overdue(ledger: Any, limit: int = 10) -> list[tuple[str, datetime]]:
    found = await ledger.ports.timetable.overdue(limit)
    return [(one.trigger, one.next_at) for one in found]


async def observe(ledger: Any) -> None:
    """Let Temporal hold all that it shall."""
    for drift in await ledger.ports.register.unsynced(100):
        await ledger.ports.register.mark_synced([drift], ledger.now)


async def silent(ledger: Any) -> list[str]:
    return [one.trigger for one in await ledger.ports.register.silent()]


async def test_a_schedule_is_overdue_two_seconds_after_its_time(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await ledger.at(NOON + MINUTE + 2 * SECOND)
    assert await overdue(ledger) == []
    await ledger.at(NOON + MINUTE + 2.001 * SECOND)
    assert await overdue(ledger) == [("often", NOON + MINUTE)]
    await ledger.wakes(NOON + MINUTE)
    assert await overdue(ledger) == []


async def test_one_that_is_paused_or_goes_is_not_overdue(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await ledger.pause()
    await ledger.at(NOON + HOUR)
    assert await overdue(ledger) == []
    await ledger.resume()
    await ledger.at(NOON + 2 * HOUR)
    assert len(await overdue(ledger)) == 1
    await ledger.apply()
    assert await overdue(ledger) == []


async def test_a_walk_through_the_overdue_ends_though_more_fall_due(ledger: Any) -> None:
    offsets = {"third": "10m", "second": "30m", "first": "50m", "later": "58m", "twin": "30m"}
    triggers = [
        {"name": name, "interval": {"every": "1h", "offset": offset}}
        for name, offset in offsets.items()
    ]
    await ledger.apply(spec={"triggers": triggers})
    await ledger.at(NOON + 55 * MINUTE)
    seen = []
    page = await ledger.ports.timetable.overdue(1)
    while page:
        seen += [(one.trigger, one.late) for one in page]
        await ledger.at(NOON + 59 * MINUTE)
        page = await ledger.ports.timetable.overdue(1, before=page[-1])
    assert seen[0] == ("first", 5 * MINUTE)
    assert {name for name, _ in seen[1:3]} == {"second", "twin"}
    assert seen[3:] == [("third", 49 * MINUTE)]
    assert await overdue(ledger, 1) == [("later", NOON + 58 * MINUTE)]


async def test_one_that_the_timekeeper_alone_wakes_twice_in_a_row_is_silent(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await observe(ledger)
    found = []
    for minutes in (1, 2):
        await ledger.at(NOON + minutes * MINUTE + 3 * SECOND)
        await ledger.wakes(NOON + minutes * MINUTE)
        found.append(await silent(ledger))
    assert found == [[], ["often"]]


async def test_its_own_alarm_ends_the_silence(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await observe(ledger)
    for minutes in (1, 2, 3, 4):
        await ledger.at(NOON + minutes * MINUTE + 3 * SECOND)
        await ledger.wakes(NOON + minutes * MINUTE)
        await ledger.rings(NOON + minutes * MINUTE)
        ledger.started.clear()
        assert await silent(ledger) == []


async def test_to_be_woken_again_for_the_same_time_counts_once(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await observe(ledger)
    await ledger.at(NOON + MINUTE + 3 * SECOND)
    for _ in range(3):
        await ledger.ports.timetable.process_due(ledger.wake_up(NOON + MINUTE))
    assert await silent(ledger) == []


async def test_one_outage_is_no_silence_however_many_times_it_took(ledger: Any) -> None:
    await ledger.apply(body={"every": "1s", "misfire": {"policy": "skip"}})
    await observe(ledger)
    await ledger.at(NOON + 2500 * SECOND)
    await ledger.wakes(NOON + SECOND)
    assert await silent(ledger) == []


async def test_one_that_is_yet_to_be_placed_is_not_silent(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    for minutes in (1, 2, 3):
        await ledger.at(NOON + minutes * MINUTE + 3 * SECOND)
        await ledger.wakes(NOON + minutes * MINUTE)
    assert await silent(ledger) == []
    await observe(ledger)
    assert await silent(ledger) == ["often"]


async def test_around_a_change_of_the_clocks_silence_is_expected(ledger: Any) -> None:
    """The server leaves times out then; Berlin's clocks go on at 01:00 UTC."""
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)
    await ledger.at(change - HOUR)
    await ledger.apply("cron", {"schedule": "30 * * * *", "timezone": "Europe/Berlin"})
    await ledger.apply("cron", {"schedule": "30 1-5 * * *", "timezone": "Europe/Berlin"})
    await observe(ledger)
    for half in (0.5, 1.5):
        await ledger.at(change + half * HOUR + 3 * SECOND)
        await ledger.wakes(change + half * HOUR)
    assert await silent(ledger) == []
    await ledger.at(change + 12 * HOUR)
    assert await silent(ledger) == ["often"]


async def test_a_restart_is_counted_and_begins_anew(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await observe(ledger)
    for minutes in (1, 2):
        await ledger.at(NOON + minutes * MINUTE + 3 * SECOND)
        await ledger.wakes(NOON + minutes * MINUTE)
    (one,) = await ledger.ports.register.silent()
    assert one.wanted is not None
    await ledger.ports.register.mark_restarted(one.id, ledger.now)
    assert await silent(ledger) == []
    assert (await ledger.ports.metrics.snapshot()).restarts == 1
    await ledger.at(NOON + 3 * MINUTE + 3 * SECOND)
    await ledger.wakes(NOON + 3 * MINUTE)
    assert await silent(ledger) == []


async def test_a_pause_or_a_change_forgets_the_silence(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await observe(ledger)
    await ledger.at(NOON + MINUTE + 3 * SECOND)
    await ledger.wakes(NOON + MINUTE)
    await ledger.pause()
    await ledger.resume()
    await observe(ledger)
    await ledger.at(NOON + 2 * MINUTE + 3 * SECOND)
    await ledger.wakes(NOON + 2 * MINUTE)
    assert await silent(ledger) == []
    await ledger.apply(body={"every": "2m"})
    await observe(ledger)
    await ledger.at(NOON + 4 * MINUTE + 3 * SECOND)
    await ledger.wakes(NOON + 4 * MINUTE)
    assert await silent(ledger) == []
