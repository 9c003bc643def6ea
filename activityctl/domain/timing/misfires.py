"""Decides whether each due time runs, is skipped or is missed; each is decided exactly once.

`due_times` computes when a trigger is due, and `window` whether a firing may start then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from typing import Final, assert_never

from activityctl.domain.timing.due_times import DueTime, due_times, jitter_of, nominal_times
from activityctl.domain.timing.options import Misfire, MisfirePolicy
from activityctl.domain.timing.trigger import CronTrigger, Trigger
from activityctl.domain.timing.window import DaysByCalendar, StartResult, find_start
from activityctl.domain.values import ids
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.log import Level, LogEntry
from activityctl.domain.values.moment import format_moment
from activityctl.frozen_dataclass import frozen_dataclass

MISFIRE_GRACE: Final = timedelta(seconds=30)
"""A firing that is decided within this time has not misfired, if no later firing is due yet.

The time counts from when the firing may start. A worker that is replaced or killed is back
within it.
"""
_MAX_SINGLE_ENTRIES: Final = 10
"""The most refused firings that get a log entry each; more of them get one entry together."""
_INSTANT: Final = timedelta.resolution
MAX_CLOCK_SKEW: Final = timedelta(seconds=2)
"""How far Temporal's clock may be ahead of Postgres' clock; earlier wake-ups are too early."""
MAX_TIMES_AT_ONCE: Final = 1_000
"""The most due times decided in one transaction; an interval of 1s has 86,400 a day."""


class DueOutcome(StrEnum):
    """The decision on a due time."""

    FIRES = "fires"
    SKIPPED = "skipped"
    MISSED = "missed"


@frozen_dataclass
class DecidedTime:
    """A due time with its outcome: when its firing starts, or why it does not."""

    nominal: datetime
    outcome: DueOutcome
    fires_at: datetime | None = None
    reason: str | None = None


@frozen_dataclass
class ScheduleProgress:
    """The progress of a schedule: every due time up to `cursor` is decided."""

    cursor: datetime
    fired: int = 0
    """The number of firings since the trigger was last changed, for maxFirings.

    A firing that never began and is missed later is subtracted again.
    """


@frozen_dataclass
class DueTimeDecisions:
    """The decisions on due times, ascending, and the progress of the schedule after them."""

    times: tuple[DecidedTime, ...]
    progress: ScheduleProgress
    next_at: datetime | None
    """The first nominal time that is not decided; None if there will be none."""
    decided_at: datetime
    is_complete: bool = True
    """False if more times are due than are decided at once; then decide again."""

    def starts_now(self, nominal: datetime) -> bool:
        """Return whether the firing of that nominal time is decided and starts at once."""
        return any(
            decided.nominal == nominal
            and decided.fires_at is not None
            and decided.fires_at <= self.decided_at
            for decided in self.times
        )

    @property
    def refused(self) -> tuple[DecidedTime, ...]:
        """The times that do not fire."""
        return tuple(decided for decided in self.times if decided.fires_at is None)


def decide_until(now: datetime, alarm: datetime | None) -> datetime:
    """Return the moment up to which due times are decided: now, or the time of the alarm.

    Temporal's clock may be MAX_CLOCK_SKEW ahead of Postgres' clock. An alarm that is further
    ahead is too early.
    """
    return alarm if alarm is not None and now < alarm <= now + MAX_CLOCK_SKEW else now


def decide_due_times(
    owner: tuple[str, str],
    trigger: Trigger,
    progress: ScheduleProgress,
    now: datetime,
    calendars: DaysByCalendar,
    *,
    at_once: int = MAX_TIMES_AT_ONCE,
) -> DueTimeDecisions:
    """Decide each due time after the cursor and up to `now`.

    `owner` is the subscription's id and the trigger's name, which determine the jitter. A
    firing is on time if it is decided within MISFIRE_GRACE of when it may start and no later
    firing is due yet. Else it misfired, and the trigger's policy decides. A misfired firing
    that still runs starts when a firing due now may start: inside its window and not on an
    excluded day. A time of day that does not exist is skipped; it is never the latest firing
    of the policy fire_once.
    """
    reader = _DueTimeReader(trigger, progress.cursor)
    due = reader.take_until(now, at_once)
    is_complete = not reader.has_until(now)
    starts = [(time.at, _find_due_start(trigger, time, calendars)) for time in due]
    latest = _latest_started(starts, now) if is_complete else None
    present = (now, _find_start(trigger, now, calendars))
    decided = [_decide_due_time(owner, trigger, start, latest, present) for start in starts]
    kept, fired = _until_max_firings(decided, trigger.max_firings, progress.fired)
    is_spent = trigger.max_firings is not None and fired >= trigger.max_firings
    cursor = now if is_complete else due[-1].at
    return DueTimeDecisions(
        tuple(kept),
        ScheduleProgress(max(cursor, progress.cursor), fired),
        None if is_spent else reader.next_nominal(),
        now,
        is_complete or is_spent,
    )


def late_start_reason(
    trigger: Trigger,
    times: tuple[datetime, datetime],
    now: datetime,
    calendars: DaysByCalendar,
    *,
    is_followed: bool,
) -> str | None:
    """Return why a firing that did not start when it should is missed; None if it may start.

    `times` are its nominal time and when it should have started. Its due time was decided in
    time, then an outage prevented the start. After MISFIRE_GRACE it counts as misfired.
    """
    nominal, fires_at = times
    if now - fires_at <= MISFIRE_GRACE:
        return None
    late = now - (_find_start(trigger, nominal, calendars).starts_at or nominal)
    refusal = _misfire_reason(trigger.misfire, late, is_latest=not is_followed)
    present = _find_start(trigger, now, calendars)
    if refusal is None and present.outcome == "starts":
        return None
    shown = format_duration(late - late % timedelta(seconds=1))
    why = refusal or f"; a firing now would be {present.reason}"
    return f"not started in time, {shown} late{why}"


def has_later_start(
    trigger: Trigger,
    progress: ScheduleProgress,
    nominal: datetime,
    now: datetime,
    calendars: DaysByCalendar,
) -> bool:
    """Return whether a later nominal time that is not decided yet can start by now."""
    following = next_nominal_time(trigger, replace(progress, cursor=max(progress.cursor, nominal)))
    if following is None:
        return False
    later = takewhile(lambda time: time <= now, nominal_times(trigger, following - _INSTANT))
    starts = (_find_start(trigger, time, calendars).starts_at for time in later)
    return any(start is not None and start <= now for start in starts)


def next_nominal_time(trigger: Trigger, progress: ScheduleProgress) -> datetime | None:
    """Return the first nominal time after the cursor; None if there will be none."""
    if trigger.max_firings is not None and progress.fired >= trigger.max_firings:
        return None
    return next(nominal_times(trigger, progress.cursor), None)


def timezone_of(trigger: Trigger) -> str:
    """Return the time zone of a trigger's days and hours."""
    return trigger.timezone if isinstance(trigger, CronTrigger) else "UTC"


class _DueTimeReader:
    """Reads the due times of a trigger in order, and looks ahead to the next one."""

    def __init__(self, trigger: Trigger, after: datetime) -> None:
        self._times: Iterator[DueTime] = due_times(trigger, after)
        self._head = next(self._times, None)

    def has_until(self, now: datetime) -> bool:
        return self._head is not None and self._head.at <= now

    def take_until(self, now: datetime, limit: int) -> list[DueTime]:
        taken: list[DueTime] = []
        while self._head is not None and self._head.at <= now and len(taken) < limit:
            taken.append(self._head)
            self._head = next(self._times, None)
        return taken

    def next_nominal(self) -> datetime | None:
        # Nothing wakes us for a skipped time: it is decided together with the next nominal time.
        while self._head is not None and self._head.missing_local_time is not None:
            self._head = next(self._times, None)
        return None if self._head is None else self._head.at


def _find_due_start(trigger: Trigger, due: DueTime, calendars: DaysByCalendar) -> StartResult:
    if due.missing_local_time is not None:
        return StartResult(None, "skipped", due.skip_reason)
    return _find_start(trigger, due.at, calendars)


def _find_start(trigger: Trigger, nominal: datetime, calendars: DaysByCalendar) -> StartResult:
    return find_start(trigger, nominal, timezone_of(trigger), calendars)


def _latest_started(
    starts: Sequence[tuple[datetime, StartResult]], now: datetime
) -> datetime | None:
    """Return the last nominal time that may start by now."""
    started = [
        nominal
        for nominal, start in starts
        if start.starts_at is not None and start.starts_at <= now
    ]
    return started[-1] if started else None


def _decide_due_time(
    owner: tuple[str, str],
    trigger: Trigger,
    due: tuple[datetime, StartResult],
    latest: datetime | None,
    present: tuple[datetime, StartResult],
) -> DecidedTime:
    (nominal, start), (now, start_now) = due, present
    if start.starts_at is None:
        outcome = DueOutcome.MISSED if start.outcome == "missed" else DueOutcome.SKIPPED
        return DecidedTime(nominal, outcome, reason=start.reason)
    fires_at = start.starts_at + jitter_of(*owner, nominal, trigger.jitter)
    late = now - start.starts_at
    if late < timedelta(0) or (nominal == latest and late <= MISFIRE_GRACE):
        return DecidedTime(nominal, DueOutcome.FIRES, fires_at)
    refusal = _misfire_reason(trigger.misfire, late, is_latest=nominal == latest)
    if refusal is None and start_now.starts_at is not None:
        return DecidedTime(nominal, DueOutcome.FIRES, max(fires_at, start_now.starts_at))
    shown = format_duration(late - late % timedelta(seconds=1))
    why = refusal or f"; a firing now would be {start_now.reason}"
    return DecidedTime(nominal, DueOutcome.MISSED, reason=f"decided {shown} late{why}")


def _misfire_reason(misfire: Misfire, late: timedelta, *, is_latest: bool) -> str | None:
    """Return why a misfired firing does not run; None if it may run late."""
    if late > misfire.window and misfire.policy is not MisfirePolicy.SKIP:
        return f", over the misfire window of {format_duration(misfire.window)}"
    match misfire.policy:
        case MisfirePolicy.FIRE_ALL:
            return None
        case MisfirePolicy.SKIP:
            return "; misfire policy skip"
        case MisfirePolicy.FIRE_ONCE:
            return None if is_latest else "; misfire policy fire_once: a later firing runs"
        case other:
            assert_never(other)


def _until_max_firings(
    decided: Sequence[DecidedTime], limit: int | None, fired: int
) -> tuple[list[DecidedTime], int]:
    """Return the times up to the firing that reaches maxFirings; later times are not due."""
    kept = []
    for time in decided:
        if limit is not None and fired >= limit:
            break
        fired += time.outcome is DueOutcome.FIRES
        kept.append(time)
    return kept, fired


def skipped_log_entries(
    owner: tuple[str, str], refused: Sequence[DecidedTime], now: datetime
) -> list[LogEntry]:
    """Return the log entries of firings that do not start: one each, or one for all if many."""
    subscription, name = owner
    if len(refused) <= _MAX_SINGLE_ENTRIES:
        return [_log_entry(subscription, name, decided, now) for decided in refused]
    first, last = refused[0].nominal, refused[-1].nominal
    missed = sum(decided.outcome is DueOutcome.MISSED for decided in refused)
    message = (
        f"{len(refused)} firings of {name} from {format_moment(first)} to {format_moment(last)} "
        f"did not start: {missed} missed, {len(refused) - missed} skipped; "
        f"last reason: {refused[-1].reason}"
    )
    metadata = {"trigger": name, "missed": missed, "skipped": len(refused) - missed}
    return [LogEntry(subscription, None, message, "warning", now, metadata)]


def _log_entry(subscription: str, name: str, decided: DecidedTime, now: datetime) -> LogEntry:
    key = format_moment(decided.nominal)
    message = f"run {decided.outcome.value}: {decided.reason}"
    metadata = {"trigger": name, "firingKey": key, "status": decided.outcome.value}
    level: Level = "warning" if decided.outcome is DueOutcome.MISSED else "info"
    return LogEntry(
        subscription, ids.run_id(subscription, name, key), message, level, now, metadata
    )
