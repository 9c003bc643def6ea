"""The Timetable and ScheduleRegister ports: overdue schedules and silent schedules."""

from datetime import UTC, datetime, timedelta
from typing import Any

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
EVERY_MINUTE = {"every": "1m"}
MINUTELY = "alarm/every 1m"


async def overdue(ledger: Any, limit: int = 10) -> list[tuple[str, datetime]]:
    found = await ledger.ports.timetable.overdue(limit)
    return [(alarm.alarm_id, alarm.next_at) for alarm in found]


async def sync_all(ledger: Any) -> None:
    """Mark all schedules as synced with Temporal."""
    for drift in await ledger.ports.register.unsynced(100):
        await ledger.ports.register.mark_synced([drift], ledger.now)


async def silent(ledger: Any) -> list[str]:
    return [alarm.id for alarm in await ledger.ports.register.silent()]


async def test_a_schedule_is_overdue_two_seconds_after_its_time(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await ledger.at(NOON + MINUTE + 2 * SECOND)
    assert await overdue(ledger) == []
    await ledger.at(NOON + MINUTE + 2.001 * SECOND)
    assert await overdue(ledger) == [(MINUTELY, NOON + MINUTE)]
    await ledger.process_wake_up(NOON + MINUTE)
    assert await overdue(ledger) == []


async def test_a_paused_or_removed_schedule_is_not_overdue(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await ledger.pause()
    await ledger.at(NOON + HOUR)
    assert await overdue(ledger) == []
    await ledger.resume()
    await ledger.at(NOON + 2 * HOUR)
    assert len(await overdue(ledger)) == 1
    await ledger.apply()
    assert await overdue(ledger) == []


async def test_the_pages_of_overdue_schedules_end_even_if_more_become_overdue(ledger: Any) -> None:
    offsets = {"third": "10m", "second": "30m", "first": "50m", "later": "58m", "twin": "30m"}
    first, second, third, later = (f"alarm/every 1h offset {m}m" for m in (50, 30, 10, 58))
    triggers = [
        {"name": name, "interval": {"every": "1h", "offset": offset}}
        for name, offset in offsets.items()
    ]
    await ledger.apply(spec={"triggers": triggers})
    await ledger.at(NOON + 55 * MINUTE)
    seen = []
    page = await ledger.ports.timetable.overdue(1)
    while page:
        seen += [(alarm.alarm_id, alarm.late) for alarm in page]
        await ledger.at(NOON + 59 * MINUTE)
        page = await ledger.ports.timetable.overdue(1, before=page[-1])
    assert seen == [(first, 5 * MINUTE), (second, 29 * MINUTE), (third, 49 * MINUTE)]
    assert await overdue(ledger, 1) == [(later, NOON + 58 * MINUTE)]


async def test_a_schedule_that_only_the_timekeeper_wakes_twice_in_a_row_is_silent(
    ledger: Any,
) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await sync_all(ledger)
    found = []
    for minutes in (1, 2):
        await ledger.at(NOON + minutes * MINUTE + 3 * SECOND)
        await ledger.process_wake_up(NOON + minutes * MINUTE)
        found.append(await silent(ledger))
    assert found == [[], [MINUTELY]]


async def test_an_alarm_of_the_schedule_ends_the_silence(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await sync_all(ledger)
    for minutes in (1, 2, 3, 4):
        await ledger.at(NOON + minutes * MINUTE + 3 * SECOND)
        await ledger.process_wake_up(NOON + minutes * MINUTE)
        await ledger.process_alarm(NOON + minutes * MINUTE)
        ledger.started.clear()
        assert await silent(ledger) == []


async def test_several_wake_ups_for_the_same_time_count_once(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await sync_all(ledger)
    await ledger.at(NOON + MINUTE + 3 * SECOND)
    for _ in range(3):
        await ledger.process_wake_up(NOON + MINUTE)
        ledger.started.clear()
    assert await silent(ledger) == []


async def test_one_outage_does_not_make_a_schedule_silent(ledger: Any) -> None:
    await ledger.apply(body={"every": "1s", "misfire": {"policy": "skip"}})
    await sync_all(ledger)
    await ledger.at(NOON + 2500 * SECOND)
    await ledger.process_wake_up(NOON + SECOND)
    assert await silent(ledger) == []


async def test_times_before_temporal_had_the_alarm_do_not_count(ledger: Any) -> None:
    """Its row is there before: it was announced, but its creation failed again and again."""
    await ledger.apply(body=EVERY_MINUTE)
    await ledger.ports.register.announce([MINUTELY])
    found = []
    for minutes in (1, 2, 3, 4):
        if minutes == 3:
            await sync_all(ledger)
        await ledger.at(NOON + minutes * MINUTE + 3 * SECOND)
        await ledger.process_wake_up(NOON + minutes * MINUTE)
        found.append(await silent(ledger))
    assert found == [[], [], [], [MINUTELY]]


async def test_an_alarm_that_temporal_does_not_have_is_not_silent(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    for minutes in (1, 2, 3):
        await ledger.at(NOON + minutes * MINUTE + 3 * SECOND)
        await ledger.process_wake_up(NOON + minutes * MINUTE)
    await sync_all(ledger)
    assert await silent(ledger) == []
    for minutes in (4, 5):
        await ledger.at(NOON + minutes * MINUTE + 3 * SECOND)
        await ledger.process_wake_up(NOON + minutes * MINUTE)
    assert await silent(ledger) == [MINUTELY]


async def test_around_a_clock_change_no_schedule_is_silent(ledger: Any) -> None:
    """The server then skips times; the clocks of Berlin go forward at 01:00 UTC."""
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)
    await ledger.at(change - HOUR)
    await ledger.apply("cron", {"schedule": "30 * * * *", "timezone": "Europe/Berlin"})
    await ledger.apply("cron", {"schedule": "30 1-5 * * *", "timezone": "Europe/Berlin"})
    await sync_all(ledger)
    for half in (0.5, 1.5):
        await ledger.at(change + half * HOUR + 3 * SECOND)
        await ledger.process_wake_up(change + half * HOUR)
    assert await silent(ledger) == []
    await ledger.at(change + 12 * HOUR)
    assert await silent(ledger) == ["alarm/30 1-5 * * * Europe/Berlin"]


async def test_a_restart_is_counted_and_ends_the_silence(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await sync_all(ledger)
    for minutes in (1, 2):
        await ledger.at(NOON + minutes * MINUTE + 3 * SECOND)
        await ledger.process_wake_up(NOON + minutes * MINUTE)
    (schedule,) = await ledger.ports.register.silent()
    assert schedule.wanted is not None
    await ledger.ports.register.mark_restarted(schedule.id, ledger.now)
    assert await silent(ledger) == []
    assert (await ledger.ports.metrics.snapshot()).restarts == 1
    await ledger.at(NOON + 3 * MINUTE + 3 * SECOND)
    await ledger.process_wake_up(NOON + 3 * MINUTE)
    assert await silent(ledger) == []


async def test_a_pause_or_a_change_resets_the_count_of_wake_ups(ledger: Any) -> None:
    await ledger.apply(body=EVERY_MINUTE)
    await sync_all(ledger)
    await ledger.at(NOON + MINUTE + 3 * SECOND)
    await ledger.process_wake_up(NOON + MINUTE)
    await ledger.pause()
    await sync_all(ledger)  # nobody wants the alarm any more, so it goes
    await ledger.resume()
    await sync_all(ledger)
    await ledger.at(NOON + 2 * MINUTE + 3 * SECOND)
    await ledger.process_wake_up(NOON + 2 * MINUTE)
    assert await silent(ledger) == []
    await ledger.apply(body={"every": "2m"})
    await sync_all(ledger)
    await ledger.at(NOON + 4 * MINUTE + 3 * SECOND)
    await ledger.process_wake_up(NOON + 4 * MINUTE)
    assert await silent(ledger) == []
