"""Backfill: chooses the nominal times of the past that are run, and counts their progress."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.runs.run import ENDED_RUNS, RunStatus
from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.firing import FiringRequest, firing_key
from activityctl.domain.timing.misfires import timezone_of
from activityctl.domain.timing.trigger import Trigger
from activityctl.domain.timing.window import DaysByCalendar, find_start
from activityctl.domain.values import ids
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.errors import RefusedError
from activityctl.frozen_dataclass import frozen_dataclass

MOST_FIRINGS: Final = 10_000
"""A larger backfill is probably a typing error; if it is not, make it in several parts."""
MOST_LOOKED_AT: Final = 250_000
"""Nominal times that one backfill chooses from; an interval of one second has 86,400 a day."""

_GOOD_ENDS: Final = frozenset({RunStatus.SUCCEEDED, RunStatus.SKIPPED})


@frozen_dataclass
class Backfill:
    """A request to run a trigger's nominal times from `first` to `last`, both included."""

    subscription_id: ids.SubscriptionId
    trigger: str
    first: datetime
    last: datetime
    max_parallel: int
    """How many of its runs may be open at the same time."""

    @property
    def id(self) -> str:
        """The id; it is the same for the same trigger and time range."""
        first, last = firing_key(self.first), firing_key(self.last)
        return ids.backfill_id(self.subscription_id, self.trigger, first, last)

    def firing(self, nominal: datetime) -> FiringRequest:
        """Return the firing of a nominal time; it is the same in every backfill of the trigger."""
        key = f"backfill-{firing_key(nominal)}"
        return FiringRequest(self.subscription_id, self.trigger, key, nominal)


@frozen_dataclass
class PastTimes:
    """What Postgres knows of a trigger's nominal times in a time range."""

    decided_until: datetime
    """Nominal times after this one are still decided by the schedule, or lie in the future."""
    runs: Mapping[datetime, frozenset[RunStatus]] = field(default_factory=dict)
    """The statuses of the runs of each nominal time."""
    firing: frozenset[datetime] = frozenset()
    """Nominal times that their schedule starts, or that a backfill has released."""
    held: frozenset[datetime] = frozenset()
    """Nominal times that a backfill holds, also a cancelled one."""

    @property
    def under_way(self) -> frozenset[datetime]:
        """The nominal times whose run is open or is about to start."""
        has_open_run = {nominal for nominal, statuses in self.runs.items() if statuses - ENDED_RUNS}
        return frozenset(has_open_run) | (self.firing - self.runs.keys())


@frozen_dataclass
class BackfillChoice:
    """The nominal times that a backfill runs, and those that it leaves out, with the reasons."""

    to_run: tuple[datetime, ...]
    left_out: tuple[tuple[datetime, str], ...]


@frozen_dataclass
class BackfillProgress:
    """How many firings of backfills are in each state."""

    held: int = 0
    """Not released yet, because of max_parallel."""
    cancelled: int = 0
    """Held by a backfill that was cancelled; they are never released."""
    starting: int = 0
    """Released, but without a run so far."""
    runs: Mapping[RunStatus, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The number of all firings."""
        return self.held + self.cancelled + self.starting + sum(self.runs.values())

    @property
    def ended(self) -> int:
        """The number of firings that will not change any more."""
        return self.cancelled + sum(self.runs.get(status, 0) for status in ENDED_RUNS)

    @property
    def failed(self) -> int:
        """The number of firings whose run has ended but neither succeeded nor was skipped."""
        return sum(self.runs.get(status, 0) for status in ENDED_RUNS - _GOOD_ENDS)

    @property
    def is_over(self) -> bool:
        """Whether every firing has ended."""
        return self.ended == self.total


def nominals_between(trigger: Trigger, first: datetime, last: datetime) -> tuple[datetime, ...]:
    """Return the nominal times from `first` to `last`, both included.

    Raises RefusedError when there are more than MOST_LOOKED_AT.
    """
    found: list[datetime] = []
    for nominal in nominal_times(trigger, first - timedelta(microseconds=1)):
        if nominal > last:
            break
        if len(found) == MOST_LOOKED_AT:
            raise RefusedError(
                f"the trigger is due more than {MOST_LOOKED_AT:,} times in that range",
                hint="narrow the range with --since and --until",
            )
        found.append(nominal)
    return tuple(found)


def choose(
    trigger: Trigger,
    nominals: Sequence[datetime],
    past: PastTimes,
    calendars: DaysByCalendar,
    *,
    only_missed: bool,
) -> BackfillChoice:
    """Choose each nominal time that may start and has no run, or only a `missed` one.

    With `only_missed`, choose only those that have a `missed` run. Raises RefusedError when more
    than MOST_FIRINGS are chosen.
    """
    to_run: list[datetime] = []
    left_out: list[tuple[datetime, str]] = []
    for nominal in nominals:
        reason = _left_out_reason(trigger, nominal, past, calendars, only_missed=only_missed)
        if reason is not None:
            left_out.append((nominal, reason))
            continue
        if len(to_run) == MOST_FIRINGS:
            raise RefusedError(
                f"there are more than {MOST_FIRINGS:,} firings to run in that range",
                hint="narrow the range with --since and --until",
            )
        to_run.append(nominal)
    return BackfillChoice(tuple(to_run), tuple(left_out))


def _left_out_reason(
    trigger: Trigger,
    nominal: datetime,
    past: PastTimes,
    calendars: DaysByCalendar,
    *,
    only_missed: bool,
) -> str | None:
    statuses = past.runs.get(nominal, frozenset())
    if others := sorted(statuses - {RunStatus.MISSED}):
        return f"has a run: {', '.join(others)}"
    if nominal in past.firing:
        return "is about to run"
    if nominal > past.decided_until:
        return "not decided yet; left to its schedule"
    if only_missed and not statuses:
        return "was not missed"
    start = find_start(trigger, nominal, timezone_of(trigger), calendars)
    return f"{start.outcome}: {start.reason}" if start.starts_at is None else None


def progress_view(progress: BackfillProgress) -> View:
    """Return the progress as JSON, with a key for every status of a run except `missed`."""
    runs = {status.value: progress.runs.get(status, 0) for status in RunStatus}
    runs[RunStatus.CANCELLED.value] += progress.cancelled
    return {
        "total": progress.total,
        "held": progress.held,
        "starting": progress.starting,
        **{name: count for name, count in runs.items() if name != RunStatus.MISSED.value},
    }


def choice_view(choice: BackfillChoice) -> View:
    """Return the chosen times, and those left out with the reason, as JSON."""
    return {
        "firings": [format_timestamp(nominal) for nominal in choice.to_run],
        "leftAlone": [
            {"dueAt": format_timestamp(nominal), "reason": reason}
            for nominal, reason in choice.left_out
        ],
    }
