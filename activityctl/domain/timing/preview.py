"""Occurrence: a due time of the future, as `next` shows it; `misfires` decides past ones."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from activityctl.domain.timing.cron import CronCalendar
from activityctl.domain.timing.due_times import (
    DueTime,
    due_times,
    jitter_of,
    missing_time_text,
    nominal_times,
)
from activityctl.domain.timing.misfires import ScheduleProgress, timezone_of
from activityctl.domain.timing.trigger import CronTrigger, Trigger
from activityctl.domain.timing.wall_time import offset_periods, wall_calendar
from activityctl.domain.timing.window import DaysByCalendar, find_start
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.moment import format_moment
from activityctl.frozen_dataclass import frozen_dataclass

_SECOND: Final = timedelta(seconds=1)
_LONGEST_GAP: Final = timedelta(days=1)
"""The longest gap of a zone: Samoa skipped a whole day in 2011."""


class ExpectedOutcome(StrEnum):
    """What will happen at a due time."""

    FIRES = "fires"
    SKIPPED = "skipped"
    MISSED = "missed"
    PAUSED = "paused"


@frozen_dataclass
class Occurrence:
    """A due time of a trigger, with its outcome if nothing changes until then."""

    trigger: str
    due_at: datetime
    """The nominal time, in UTC."""
    local: datetime
    """The nominal time in the trigger's zone."""
    expected_outcome: ExpectedOutcome
    fires_at: datetime | None
    """When it starts, with window and jitter applied; None if it does not fire."""
    note: str | None
    """What moves or prevents the firing, or that it is the last one."""


def occurrences(
    subscription_id: str,
    triggers: Mapping[str, Trigger],
    after: datetime,
    calendars: DaysByCalendar,
    progress: Mapping[str, ScheduleProgress],
) -> Iterator[Occurrence]:
    """Yield the due times of the triggers strictly after `after`, by due time, then by trigger.

    The rules are those of `misfires.decide_due_times`: same times, days, windows and jitter. A
    trigger's progress tells since when its firings count for maxFirings, and how many have
    fired until then. Without a progress they count from `after`.
    """
    by_trigger = (
        _trigger_occurrences(
            (subscription_id, name),
            trigger,
            after,
            calendars,
            progress.get(name, ScheduleProgress(after)),
        )
        for name, trigger in triggers.items()
    )
    return heapq.merge(*by_trigger, key=lambda found: (found.due_at, found.trigger))


def as_paused(occurrence: Occurrence) -> Occurrence:
    """Return the occurrence for a paused subscription: one that would fire is paused."""
    if occurrence.expected_outcome is not ExpectedOutcome.FIRES:
        return occurrence
    return replace(
        occurrence, expected_outcome=ExpectedOutcome.PAUSED, fires_at=None, note="paused"
    )


def occurrence_view(subscription: str, occurrence: Occurrence) -> View:
    """Return the JSON form of an occurrence, as in `next -o json`."""
    return {
        "subscription": subscription,
        "trigger": occurrence.trigger,
        "dueAt": format_timestamp(occurrence.due_at),
        "localTime": occurrence.local.isoformat(timespec="seconds"),
        "firesAt": format_timestamp(occurrence.fires_at),
        "note": occurrence.note,
    }


def _trigger_occurrences(
    owner: tuple[str, str],
    trigger: Trigger,
    after: datetime,
    calendars: DaysByCalendar,
    progress: ScheduleProgress,
) -> Iterator[Occurrence]:
    limit, fired = trigger.max_firings, progress.fired
    start = after if limit is None else min(after, progress.cursor)
    for due in due_times(trigger, start):
        occurrence = _occurrence(owner, trigger, due, calendars)
        if limit is not None and due.at > progress.cursor:
            if fired >= limit:
                return
            fired += occurrence.expected_outcome is ExpectedOutcome.FIRES
            if fired >= limit:
                note = _joined(occurrence.note, "last: maxFirings reached")
                occurrence = replace(occurrence, note=note)
        if due.at > after:
            yield occurrence


def waiting_occurrence(
    owner: tuple[str, str],
    trigger: Trigger | None,
    times: tuple[datetime, datetime],
    calendars: DaysByCalendar,
) -> Occurrence:
    """Return the occurrence of a firing that is decided and has not started.

    `owner` is the subscription's id and the trigger's name. `times` are the nominal time and
    when the firing starts. The trigger is None if it was deleted; else it gives the reason.
    """
    nominal, fires_at = times
    note = f"waits until {format_moment(fires_at)}"
    zone = ZoneInfo("UTC" if trigger is None else timezone_of(trigger))
    local = nominal.astimezone(zone)
    waiting = Occurrence(owner[1], nominal, local, ExpectedOutcome.FIRES, fires_at, note)
    if trigger is None or next(nominal_times(trigger, nominal - _SECOND), None) != nominal:
        return waiting
    computed = _occurrence(owner, trigger, DueTime(nominal), calendars)
    if computed.fires_at != fires_at:  # the trigger was changed since; its note does not apply
        return waiting
    return replace(waiting, note=_joined(note, computed.note))


def _occurrence(
    owner: tuple[str, str], trigger: Trigger, due: DueTime, calendars: DaysByCalendar
) -> Occurrence:
    nominal, local = due.at, due.at.astimezone(ZoneInfo(timezone_of(trigger)))
    if due.missing_local_time is not None:
        skipped = f"skipped: {due.skip_reason}"
        return Occurrence(owner[1], nominal, local, ExpectedOutcome.SKIPPED, None, skipped)
    clock = _clock_note(trigger, nominal, local) if isinstance(trigger, CronTrigger) else None
    start = find_start(trigger, nominal, timezone_of(trigger), calendars)
    reason = None if start.reason is None else f"{start.outcome}: {start.reason}"
    if start.starts_at is None:
        outcome = ExpectedOutcome.MISSED if start.outcome == "missed" else ExpectedOutcome.SKIPPED
        return Occurrence(owner[1], nominal, local, outcome, None, _joined(clock, reason))
    jitter = jitter_of(*owner, nominal, trigger.jitter)
    delay = f"jitter {format_duration(jitter)}" if jitter else None
    note = _joined(clock, reason, delay)
    return Occurrence(
        owner[1], nominal, local, ExpectedOutcome.FIRES, start.starts_at + jitter, note
    )


def _joined(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note) or None


def _clock_note(trigger: CronTrigger, nominal: datetime, local: datetime) -> str | None:
    """Return how a clock change affects the firing; None if it does not."""
    if not _matches(wall_calendar(trigger.schedule).calendar, local):
        missing = nominal + _offset_before(local.tzinfo, nominal)
        return f"shifted: {missing_time_text(missing)}"
    if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
        return f"repeated hour: {'second' if local.fold else 'first'}"
    return None


def _matches(calendar: CronCalendar, local: datetime) -> bool:
    has_time = local.hour in calendar.hours and local.minute in calendar.minutes
    return has_time and local.second == 0 and calendar.has_day(local.date())


def _offset_before(zone: object, nominal: datetime) -> timedelta:
    """Return the offset that the zone had before its last change."""
    assert isinstance(zone, ZoneInfo)  # noqa: S101  # `local` was made with one
    *_, last = offset_periods(zone, nominal - 2 * _LONGEST_GAP, nominal + _SECOND)
    return last.before
