"""What `next` shows is what the ledger then fires, over nights in which the clocks change."""

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
    "weekday or day": {"schedule": "30 2 1-7 * 0", "dst": {"gap": "shift"}},
}
CASES = [("memory", night, trigger) for night in NIGHTS for trigger in TRIGGERS]
# Postgres settles by the same rules; these show that it keeps what they say.
CASES += [
    ("postgres", "Berlin in spring", "skipped outside"),
    ("postgres", "Berlin in spring", "at a time of day"),
    ("postgres", "Berlin in autumn", "shifted"),
    ("postgres", "Lord Howe in spring", "in a window"),
    ("postgres", "Lord Howe in autumn", "limited"),
]


def shown(night: str) -> tuple[str, datetime, datetime]:
    """The zone, a day and a half before the change, and as much after it."""
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
    """Let the clock jump to whatever comes next; gives each start with its nominal time."""
    starts = []
    while (moment := await next_event(ledger)) is not None and moment <= last:
        await ledger.at(moment)
        nominal = await ledger.next_at()
        if nominal is not None and nominal <= moment and await ledger.rings(nominal):
            starts.append((nominal, moment))
        starts += [(due, moment) for due in await ledger.dispatch()]
    await ledger.at(last)
    return iter(sorted(starts))


async def next_event(ledger: Any) -> datetime | None:
    waits = await ledger.ports.outbox.seconds_to_next()
    dispatched = None if waits is None else ledger.now + timedelta(seconds=waits)
    times = [one for one in (await ledger.next_at(), dispatched) if one is not None]
    return min(times, default=None)


@pytest.mark.parametrize(("ledger", "night", "trigger"), CASES, indirect=["ledger"])
async def test_next_shows_what_fires(ledger: Any, night: str, trigger: str) -> None:
    zone, first, last = shown(night)
    await ledger.at(first)
    await ledger.write(excluded(NIGHTS[night][1]))
    await ledger.apply("cron", {**TRIGGERS[trigger], "timezone": zone})
    ports = ledger.ports
    told = await listed(ports, TimeRange(first, last, 10_000), first)
    assert told
    starts = list(await live_through(ledger, last))
    assert starts == [
        (one.due_at, one.fires_at) for one in told if one.fires_at and one.fires_at <= last
    ]
    refused = [(run.due_at, f"{run.status}: {run.reason}") for run in await ledger.rows()]
    expected = [one for one in told if one.expected_outcome is not ExpectedOutcome.FIRES]
    assert [due for due, _ in refused] == [one.due_at for one in expected]
    for (_, reason), one in zip(refused, expected, strict=True):
        assert str(one.note).endswith(reason)
    late = {one.due_at for one in told if one.fires_at and one.fires_at > last}
    assert await ledger.ports.outbox.waiting() == len(late)
    await ledger._nothing_twice()


@pytest.mark.parametrize("ledger", ["memory"], indirect=True)
async def test_intervals_take_no_notice_of_clocks(ledger: Any) -> None:
    _, first, last = shown("Berlin in spring")
    await ledger.at(first)
    await ledger.apply(body={"every": "90m", "offset": "7m", "jitter": "20m"})
    ports = ledger.ports
    told = await listed(ports, TimeRange(first, last, 10_000), first)
    assert len(told) == 48
    starts = list(await live_through(ledger, last))
    assert starts == [(one.due_at, one.fires_at) for one in told if one.fires_at <= last]


@pytest.mark.parametrize("ledger", ["memory"], indirect=True)
@pytest.mark.parametrize("minutes", [7, 130])
async def test_what_is_settled_late_is_what_next_showed(ledger: Any, minutes: int) -> None:
    """Nothing wakes the ledger in time: each nominal time still has its one fate."""
    zone, first, last = shown("Lord Howe in autumn")
    await ledger.at(first)
    body = {**TRIGGERS["shifted"], "timezone": zone, "misfire": {"policy": "fire_all"}}
    await ledger.apply("cron", body)
    ports = ledger.ports
    told = await listed(ports, TimeRange(first, last, 10_000), first)
    moment = first
    while moment < last:
        moment += timedelta(minutes=minutes)
        await ledger.at(moment)
        for one in await ports.timetable.overdue(10):
            await ledger.wakes(one.next_at)
        await ledger.dispatch()
    due = [one.due_at for one in told]
    assert sorted(one.due for one in ledger.started) == due
    assert await ledger.rows() == []
