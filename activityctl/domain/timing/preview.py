"""Occurrence: what `next` shows of a nominal time to come; what has come is `settlement`'s."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from activityctl.domain.timing.cron import CronCalendar
from activityctl.domain.timing.due_times import DueTime, due_times, jitter_of, nominal_times
from activityctl.domain.timing.misfires import ScheduleProgress, timezone_of
from activityctl.domain.timing.trigger import CronTrigger, Trigger
from activityctl.domain.timing.wall_time import offset_periods, wall_calendar
from activityctl.domain.timing.window import DaysByCalendar, find_start
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.moment import format_moment

_SECOND: Final = timedelta(seconds=1)
_LONGEST_GAP: Final = timedelta(days=1)
"""Samoa left out a whole day in 2011."""


class ExpectedOutcome(StrEnum):
    """What will become of a nominal time."""

    FIRES = "fires"
    SKIPPED = "skipped"
    MISSED = "missed"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A nominal time of a trigger, with what will become of it as things stand."""

    trigger: str
    due_at: datetime
    """The nominal time, UTC."""
    local: datetime
    """The same in the trigger's zone."""
    expected_outcome: ExpectedOutcome
    fires_at: datetime | None
    """When it may start: after its window has opened, and jitter. None when it never does."""
    note: str | None
    """What moves, excludes or ends it."""


def occurrences(
    subscription_id: str,
    triggers: Mapping[str, Trigger],
    after: datetime,
    calendars: DaysByCalendar,
    progress: Mapping[str, ScheduleProgress],
) -> Iterator[Occurrence]:
    """Yield what the triggers are due strictly after `after`, by due time, then by trigger.

    They are those of `settlement`, which decides what fires: same times, days, windows and
    jitter. A trigger's progress says from when on its firings count towards maxFirings, and
    how many have fired by then; without any they count from `after`.
    """
    each = (
        _of_trigger(
            (subscription_id, name),
            trigger,
            after,
            calendars,
            progress.get(name, ScheduleProgress(after)),
        )
        for name, trigger in triggers.items()
    )
    return heapq.merge(*each, key=lambda one: (one.due_at, one.trigger))


def as_paused(one: Occurrence) -> Occurrence:
    """Return it as it is while its subscription is paused: it does not fire."""
    if one.expected_outcome is not ExpectedOutcome.FIRES:
        return one
    return replace(one, expected_outcome=ExpectedOutcome.PAUSED, fires_at=None, note="paused")


def occurrence_view(subscription: str, one: Occurrence) -> View:
    """Return an occurrence as `next -o json` lists it."""
    return {
        "subscription": subscription,
        "trigger": one.trigger,
        "dueAt": format_timestamp(one.due_at),
        "localTime": one.local.isoformat(timespec="seconds"),
        "firesAt": format_timestamp(one.fires_at),
        "note": one.note,
    }


def _of_trigger(
    owner: tuple[str, str],
    trigger: Trigger,
    after: datetime,
    calendars: DaysByCalendar,
    progress: ScheduleProgress,
) -> Iterator[Occurrence]:
    limit, fired = trigger.max_firings, progress.fired
    start = after if limit is None else min(after, progress.cursor)
    for due in due_times(trigger, start):
        one = _occurrence(owner, trigger, due, calendars)
        if limit is not None and due.at > progress.cursor:
            if fired >= limit:
                return
            fired += one.expected_outcome is ExpectedOutcome.FIRES
            if fired >= limit:
                one = replace(one, note=_joined(one.note, "last: maxFirings reached"))
        if due.at > after:
            yield one


def waiting_occurrence(
    owner: tuple[str, str],
    trigger: Trigger | None,
    times: tuple[datetime, datetime],
    calendars: DaysByCalendar,
) -> Occurrence:
    """Return a firing that was decided on and has yet to start.

    `owner` is the subscription's id and the trigger's name, `times` the nominal time and when it
    starts. The trigger, None when it is gone, tells why it waits.
    """
    nominal, fires_at = times
    note = f"waits until {format_moment(fires_at)}"
    zone = ZoneInfo("UTC" if trigger is None else timezone_of(trigger))
    local = nominal.astimezone(zone)
    one = Occurrence(owner[1], nominal, local, ExpectedOutcome.FIRES, fires_at, note)
    if trigger is None or next(nominal_times(trigger, nominal - _SECOND), None) != nominal:
        return one
    # A trigger that was changed since would tell of something else.
    told = _occurrence(owner, trigger, DueTime(nominal), calendars)
    return replace(one, note=_joined(note, told.note)) if told.fires_at == fires_at else one


def _occurrence(
    owner: tuple[str, str], trigger: Trigger, due: DueTime, calendars: DaysByCalendar
) -> Occurrence:
    nominal, local = due.at, due.at.astimezone(ZoneInfo(timezone_of(trigger)))
    if due.missing_local_time is not None:
        missing = f"skipped: {due.skip_reason}"
        return Occurrence(owner[1], nominal, local, ExpectedOutcome.SKIPPED, None, missing)
    clock = _clock_note(trigger, nominal, local) if isinstance(trigger, CronTrigger) else None
    verdict = find_start(trigger, nominal, timezone_of(trigger), calendars)
    reason = None if verdict.reason is None else f"{verdict.outcome}: {verdict.reason}"
    if verdict.starts_at is None:
        outlook = ExpectedOutcome.MISSED if verdict.outcome == "missed" else ExpectedOutcome.SKIPPED
        return Occurrence(owner[1], nominal, local, outlook, None, _joined(clock, reason))
    jitter = jitter_of(*owner, nominal, trigger.jitter)
    moved = f"jitter {format_duration(jitter)}" if jitter else None
    note = _joined(clock, reason, moved)
    return Occurrence(
        owner[1], nominal, local, ExpectedOutcome.FIRES, verdict.starts_at + jitter, note
    )


def _joined(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note) or None


def _clock_note(trigger: CronTrigger, nominal: datetime, local: datetime) -> str | None:
    """Say what a change of the clocks does to it."""
    if not _names(wall_calendar(trigger.schedule).calendar, local):
        meant = nominal + _offset_before(local.tzinfo, nominal)
        return f"shifted: {meant:%H:%M} does not exist that day"
    if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
        return f"comes twice: {'second' if local.fold else 'first'}"
    return None


def _names(calendar: CronCalendar, local: datetime) -> bool:
    is_time = local.hour in calendar.hours and local.minute in calendar.minutes
    return is_time and local.second == 0 and calendar.has_day(local.date())


def _offset_before(zone: object, nominal: datetime) -> timedelta:
    """Return the offset that a zone had before its last change."""
    assert isinstance(zone, ZoneInfo)  # noqa: S101  # `local` was made with one
    *_, last = offset_periods(zone, nominal - 2 * _LONGEST_GAP, nominal + _SECOND)
    return last.before
