"""`next` shows exactly what fires later, also in nights in which the clocks change."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.timing.preview import ExpectedOutcome, Occurrence
from activityctl.operations.looking.upcoming import TimeRange, upcoming

DAY = timedelta(days=1)
NIGHTS = {
    "Berlin in spring": ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    "Berlin in autumn": ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "Lord Howe in spring": ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    "Lord Howe in autumn": ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
}
TRIGGERS: dict[str, dict[str, Any]] = {
    "hourly": {"schedule": "15 * * * *", "jitter": "10m"},
    "often at night": {"schedule": "*/20 1-3 * * *"},
    "shifted": {"schedule": "10,40 1-3 * * *", "dst": {"gap": "shift", "overlap": "both"}},
    "once": {"schedule": "30 */2 * * *", "dst": {"gap": "skip", "overlap": "first"}},
    "in a window": {
        "schedule": "5 * * * *",
        "window": {"from": "02:00", "to": "03:30", "days": "sun,mon"},
    },
    "skipped outside": {
        "schedule": "35 * * * *",
        "window": {"from": "01:30", "to": "02:45", "outside": "skip"},
        "jitter": "90s",
    },
    "missed outside": {
        "schedule": "*/30 0-4 * * *",
        "window": {"from": "01:00", "to": "02:00", "outside": "miss", "timezone": "UTC"},
    },
    "excluded": {"schedule": "20 */3 * * *", "exclude": {"calendars": ["nights"]}},
    "at a time of day": {"schedule": "15 2 * * *"},
    "at a time of day, limited": {"schedule": "15,45 2 * * *", "maxFirings": 3, "jitter": "10s"},
    "limited": {"schedule": "50 1-4 * * *", "maxFirings": 5, "exclude": {"calendars": ["nights"]}},
    "first and last Sunday": {"schedule": "30 2 1-7,25-31 * */7", "dst": {"gap": "shift"}},
    "weekday or day": {"schedule": "30 2 1-7 * 0", "dst": {"gap": "shift"}},
}
CASES = [("memory", night, trigger) for night in NIGHTS for trigger in TRIGGERS]
# Postgres decides by the same rules; these cases check that it stores the decisions.
CASES += [
    ("postgres", "Berlin in spring", "skipped outside"),
    ("postgres", "Berlin in spring", "at a time of day"),
    ("postgres", "Berlin in autumn", "shifted"),
    ("postgres", "Lord Howe in spring", "in a window"),
    ("postgres", "Lord Howe in autumn", "limited"),
]


def shown_range(night: str) -> tuple[str, datetime, datetime]:
    """Return the zone, and the times 36 hours before and after its clock change."""
    zone, change = NIGHTS[night]
    return zone, change - 1.5 * DAY, change + 1.5 * DAY


def excluded(change: datetime) -> ManifestSet:
    days = f'{{"metadata": {{"name": "nights"}}, "spec": {{"days": ["{change:%Y-%m-%d}"]}}}}'
    calendar = DayCalendar.model_validate_json(days)
    return ManifestSet({}, {}, {}, calendars={"nights": calendar})


async def listed(ports: Any, span: TimeRange, now: datetime) -> tuple[Occurrence, ...]:
    found = await upcoming(ports.catalog, ports.register, ports.outbox, "mine", span, now)
    return found.occurrences


async def live_through(ledger: Any, last: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Set the clock to each next event; return the starts with their nominal times."""
    starts = []
    while (moment := await next_event(ledger)) is not None and moment <= last:
        await ledger.at(moment)
        nominal = await ledger.next_at()
        if nominal is not None and nominal <= moment and await ledger.process_alarm(nominal):
            starts.append((nominal, moment))
        starts += [(due, moment) for due in await ledger.dispatch()]
    await ledger.at(last)
    return iter(sorted(starts))


async def next_event(ledger: Any) -> datetime | None:
    waits = await ledger.ports.outbox.seconds_to_next()
    dispatched = None if waits is None else ledger.now + timedelta(seconds=waits)
    times = [time for time in (await ledger.next_at(), dispatched) if time is not None]
    return min(times, default=None)


@pytest.mark.parametrize(("empty_ledger", "night", "trigger"), CASES, indirect=["empty_ledger"])
async def test_next_shows_what_fires(ledger: Any, night: str, trigger: str) -> None:
    zone, first, last = shown_range(night)
    await ledger.at(first)
    await ledger.write(excluded(NIGHTS[night][1]))
    await ledger.apply("cron", {**TRIGGERS[trigger], "timezone": zone})
    ports = ledger.ports
    shown = await listed(ports, TimeRange(first, last, 10_000), first)
    assert shown
    starts = list(await live_through(ledger, last))
    assert starts == [
        (occurrence.due_at, occurrence.fires_at)
        for occurrence in shown
        if occurrence.fires_at and occurrence.fires_at <= last
    ]
    refused = [(run.due_at, f"{run.status}: {run.reason}") for run in await ledger.rows()]
    expected = [
        occurrence
        for occurrence in shown
        if occurrence.expected_outcome is not ExpectedOutcome.FIRES
    ]
    assert [due for due, _ in refused] == [occurrence.due_at for occurrence in expected]
    for (_, reason), occurrence in zip(refused, expected, strict=True):
        assert str(occurrence.note).endswith(reason)
    late = {
        occurrence.due_at
        for occurrence in shown
        if occurrence.fires_at and occurrence.fires_at > last
    }
    assert await ledger.ports.outbox.waiting() == len(late)
    await ledger.check_nothing_twice()


@pytest.mark.parametrize("empty_ledger", ["memory"], indirect=True)
async def test_intervals_ignore_clock_changes(ledger: Any) -> None:
    _, first, last = shown_range("Berlin in spring")
    await ledger.at(first)
    await ledger.apply(body={"every": "90m", "offset": "7m", "jitter": "20m"})
    ports = ledger.ports
    shown = await listed(ports, TimeRange(first, last, 10_000), first)
    assert len(shown) == 48
    starts = list(await live_through(ledger, last))
    assert starts == [
        (occurrence.due_at, occurrence.fires_at)
        for occurrence in shown
        if occurrence.fires_at <= last
    ]


@pytest.mark.parametrize("empty_ledger", ["memory"], indirect=True)
@pytest.mark.parametrize("minutes", [7, 130])
async def test_times_that_are_decided_late_are_those_that_next_showed(
    ledger: Any, minutes: int
) -> None:
    """No wake-up comes in time, and still each nominal time is decided once."""
    zone, first, last = shown_range("Lord Howe in autumn")
    await ledger.at(first)
    body = {**TRIGGERS["shifted"], "timezone": zone, "misfire": {"policy": "fire_all"}}
    await ledger.apply("cron", body)
    ports = ledger.ports
    shown = await listed(ports, TimeRange(first, last, 10_000), first)
    moment = first
    while moment < last:
        moment += timedelta(minutes=minutes)
        await ledger.at(moment)
        for schedule in await ports.timetable.overdue(10):
            await ledger.process_wake_up(schedule.next_at)
        await ledger.dispatch()
    due = [occurrence.due_at for occurrence in shown]
    assert sorted(firing.due for firing in ledger.started) == due
    assert await ledger.rows() == []
