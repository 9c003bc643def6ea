"""Settlement: the one fate of every nominal time that has come, decided once and for all.

When a trigger is due is in `firing`, whether it may start then in `window`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from typing import Final, assert_never

from activityctl.domain.timing.due_times import DueTime, due_times, jitter_of, nominal_times
from activityctl.domain.timing.firing import FiringCause, FiringRef
from activityctl.domain.timing.options import Misfire, MisfirePolicy
from activityctl.domain.timing.trigger import CronTrigger, Trigger
from activityctl.domain.timing.window import DaysByCalendar, StartResult, find_start
from activityctl.domain.values import ids
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.log import Level, LogEntry
from activityctl.domain.values.moment import format_moment

MISFIRE_GRACE: Final = timedelta(seconds=30)
"""A firing settled this much after it may start has not misfired, if none followed it since.

A worker that is replaced or killed is back within it.
"""
_TOLD_ONE_BY_ONE: Final = 10
_INSTANT: Final = timedelta.resolution
MAX_CLOCK_SKEW: Final = timedelta(seconds=2)
"""How far Temporal's clock may be ahead of Postgres' before a wake-up counts as too early."""
MAX_TIMES_AT_ONCE: Final = 1_000
"""Nominal times settled in one transaction; an interval of 1s has 86,400 of them a day."""


class DueOutcome(StrEnum):
    """What becomes of a nominal time."""

    FIRES = "fires"
    SKIPPED = "skipped"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class DecidedTime:
    """A nominal time with its fate: when it starts, or why it does not."""

    nominal: datetime
    outcome: DueOutcome
    fires_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleProgress:
    """How far a schedule has come: every nominal time up to `cursor` has its fate."""

    cursor: datetime
    fired: int = 0
    """How many have fired since the trigger was last changed; maxFirings counts them.

    One that never began and is missed after all is taken off again.
    """


@dataclass(frozen=True, slots=True)
class DueTimeDecisions:
    """The fates of nominal times in their order, and how far the schedule has come by them."""

    times: tuple[DecidedTime, ...]
    progress: ScheduleProgress
    next_at: datetime | None
    """The first nominal time without a fate; None when none will come."""
    settled_at: datetime
    is_complete: bool = True
    """False when more have come due than are settled at once; settle again."""

    def starts_now(self, nominal: datetime) -> bool:
        """Whether that time is among those settled, and starts at once."""
        return any(
            fated.nominal == nominal
            and fated.fires_at is not None
            and fated.fires_at <= self.settled_at
            for fated in self.times
        )

    @property
    def refused(self) -> tuple[DecidedTime, ...]:
        """The times that do not fire."""
        return tuple(fated for fated in self.times if fated.fires_at is None)


def decide_until(now: datetime, alarm: datetime | None) -> datetime:
    """Return the moment up to which to settle: now, or the time that an alarm names.

    Temporal's clock may be SKEW ahead of Postgres'; an alarm further ahead is too early.
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
    """Give each nominal time after the cursor and up to `now` its fate.

    `owner` is the subscription's id and the trigger's name, from which the jitter follows.
    A firing is on time when it is settled within MISFIRE_GRACE of when it may start and none that
    followed it has come meanwhile; else it misfired, and the trigger's policy decides. What is
    made up for starts where a firing due now might: in its window, on no excluded day.
    A time of day that the clocks jump over is skipped, and is nobody's latest.
    """
    coming = _DueTimeReader(trigger, progress.cursor)
    due = coming.take_until(now, at_once)
    is_complete = not coming.has_until(now)
    placed = [(one.at, _find_due_start(trigger, one, calendars)) for one in due]
    latest = _latest(placed, now) if is_complete else None
    present = (now, _find_start(trigger, now, calendars))
    fated = [_decide_one(owner, trigger, one, latest, present) for one in placed]
    kept, fired = _until_max_firings(fated, trigger.max_firings, progress.fired)
    is_spent = trigger.max_firings is not None and fired >= trigger.max_firings
    cursor = now if is_complete else due[-1].at
    return DueTimeDecisions(
        tuple(kept),
        ScheduleProgress(max(cursor, progress.cursor), fired),
        None if is_spent else coming.next_nominal(),
        now,
        is_complete or is_spent,
    )


def count_wake_ups(wakes: int, settlement: DueTimeDecisions, caller: FiringRef | None) -> int:
    """Return how often in a row the timekeeper had to wake a schedule, after this settlement.

    A call by the schedule's own alarm ends the row. However many transactions it takes to settle
    an outage, one wake-up counts once.
    """
    if caller is None:
        return wakes
    if caller.cause is not FiringCause.WAKE_UP:
        return 0
    return wakes + (settlement.is_complete and bool(settlement.times))


def late_start_reason(
    trigger: Trigger,
    times: tuple[datetime, datetime],
    now: datetime,
    calendars: DaysByCalendar,
    *,
    is_followed: bool,
) -> str | None:
    """Return why a firing that was to start and did not, starts no more; None if it still may.

    `times` are its nominal time and when it was to start. Settled in time, it was cut off by an
    outage: over MISFIRE_GRACE later it is one that misfired.
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
    return f"cut off, {shown} late{refusal or f'; now it is {present.reason}'}"


def has_later_start(
    trigger: Trigger,
    progress: ScheduleProgress,
    nominal: datetime,
    now: datetime,
    calendars: DaysByCalendar,
) -> bool:
    """Whether a nominal time without a fate follows that one, and can start by now."""
    following = next_nominal_time(trigger, replace(progress, cursor=max(progress.cursor, nominal)))
    if following is None:
        return False
    later = takewhile(lambda one: one <= now, nominal_times(trigger, following - _INSTANT))
    starts = (_find_start(trigger, one, calendars).starts_at for one in later)
    return any(moment is not None and moment <= now for moment in starts)


def next_nominal_time(trigger: Trigger, progress: ScheduleProgress) -> datetime | None:
    """Return the first nominal time after the cursor; None when none will come."""
    if trigger.max_firings is not None and progress.fired >= trigger.max_firings:
        return None
    return next(nominal_times(trigger, progress.cursor), None)


def timezone_of(trigger: Trigger) -> str:
    """Return the time zone in which a trigger's days and hours are read."""
    return trigger.timezone if isinstance(trigger, CronTrigger) else "UTC"


class _DueTimeReader:
    """What a trigger is due with the next one in view."""

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
        # What is left out before it wakes nobody: it is settled with it.
        while self._head is not None and self._head.missing_local_time is not None:
            self._head = next(self._times, None)
        return None if self._head is None else self._head.at


def _find_due_start(trigger: Trigger, due: DueTime, calendars: DaysByCalendar) -> StartResult:
    if due.missing_local_time is not None:
        return StartResult(None, "skipped", due.skip_reason)
    return _find_start(trigger, due.at, calendars)


def _find_start(trigger: Trigger, nominal: datetime, calendars: DaysByCalendar) -> StartResult:
    return find_start(trigger, nominal, timezone_of(trigger), calendars)


def _latest(placed: Sequence[tuple[datetime, StartResult]], now: datetime) -> datetime | None:
    """Return the last nominal time that could start by now."""
    able = [
        nominal
        for nominal, verdict in placed
        if verdict.starts_at is not None and verdict.starts_at <= now
    ]
    return able[-1] if able else None


def _decide_one(
    owner: tuple[str, str],
    trigger: Trigger,
    placed: tuple[datetime, StartResult],
    latest: datetime | None,
    present: tuple[datetime, StartResult],
) -> DecidedTime:
    (nominal, verdict), (now, verdict_now) = placed, present
    if verdict.starts_at is None:
        fate = DueOutcome.MISSED if verdict.outcome == "missed" else DueOutcome.SKIPPED
        return DecidedTime(nominal, fate, reason=verdict.reason)
    fires_at = verdict.starts_at + jitter_of(*owner, nominal, trigger.jitter)
    late = now - verdict.starts_at
    if late < timedelta(0) or (nominal == latest and late <= MISFIRE_GRACE):
        return DecidedTime(nominal, DueOutcome.FIRES, fires_at)
    refusal = _misfire_reason(trigger.misfire, late, is_latest=nominal == latest)
    if refusal is None and verdict_now.starts_at is not None:
        return DecidedTime(nominal, DueOutcome.FIRES, max(fires_at, verdict_now.starts_at))
    shown = format_duration(late - late % timedelta(seconds=1))
    why = refusal or f"; now it is {verdict_now.reason}"
    return DecidedTime(nominal, DueOutcome.MISSED, reason=f"settled {shown} late{why}")


def _misfire_reason(misfire: Misfire, late: timedelta, *, is_latest: bool) -> str | None:
    """Return why a firing that misfired is not made up for; None when it may be."""
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
    fated: Sequence[DecidedTime], limit: int | None, fired: int
) -> tuple[list[DecidedTime], int]:
    """Keep what comes until as many have fired as may; what comes later is not due at all."""
    kept = []
    for one in fated:
        if limit is not None and fired >= limit:
            break
        fired += one.outcome is DueOutcome.FIRES
        kept.append(one)
    return kept, fired


def skipped_log_entries(
    owner: tuple[str, str], refused: Sequence[DecidedTime], now: datetime
) -> list[LogEntry]:
    """Return what the log says of firings that do not start: one line each, or one for many."""
    subscription, name = owner
    if len(refused) <= _TOLD_ONE_BY_ONE:
        return [_entry(subscription, name, one, now) for one in refused]
    first, last = refused[0].nominal, refused[-1].nominal
    missed = sum(one.outcome is DueOutcome.MISSED for one in refused)
    message = (
        f"{len(refused)} firings of {name} from {format_moment(first)} to {format_moment(last)} "
        f"did not start: {missed} missed, {len(refused) - missed} skipped; "
        f"the last: {refused[-1].reason}"
    )
    metadata = {"trigger": name, "missed": missed, "skipped": len(refused) - missed}
    return [LogEntry(subscription, None, message, "warning", now, metadata)]


def _entry(subscription: str, name: str, one: DecidedTime, now: datetime) -> LogEntry:
    key = format_moment(one.nominal)
    message = f"run {one.outcome.value}: {one.reason}"
    metadata = {"trigger": name, "firingKey": key, "status": one.outcome.value}
    level: Level = "warning" if one.outcome is DueOutcome.MISSED else "info"
    return LogEntry(
        subscription, ids.run_id(subscription, name, key), message, level, now, metadata
    )
