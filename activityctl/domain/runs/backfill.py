"""Backfill: which past nominal times are to run after all, and how far their runs have come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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

MOST_FIRINGS: Final = 10_000
"""A backfill of more is a slip of the pen, or better made in parts."""
MOST_LOOKED_AT: Final = 250_000
"""Nominal times among which one backfill chooses; a second's interval has 86,400 a day."""

_GOOD_ENDS: Final = frozenset({RunStatus.SUCCEEDED, RunStatus.SKIPPED})


@dataclass(frozen=True, slots=True)
class Backfill:
    """A wish for runs of a trigger's nominal times from `first` to `last`, both included."""

    subscription_id: ids.SubscriptionId
    trigger: str
    first: datetime
    last: datetime
    max_parallel: int
    """How many of its runs may be at work at once."""

    @property
    def id(self) -> str:
        """The same for the same trigger and stretch of time."""
        first, last = firing_key(self.first), firing_key(self.last)
        return ids.backfill_id(self.subscription_id, self.trigger, first, last)

    def firing(self, nominal: datetime) -> FiringRequest:
        """Return its firing of a nominal time: the same one in every backfill of the trigger."""
        key = f"backfill-{firing_key(nominal)}"
        return FiringRequest(self.subscription_id, self.trigger, key, nominal)


@dataclass(frozen=True, slots=True)
class PastTimes:
    """What is recorded of a trigger's nominal times in a stretch of time."""

    decided_until: datetime
    """What is due later is still its schedule's to decide, or lies in the future."""
    runs: Mapping[datetime, frozenset[RunStatus]] = field(default_factory=dict)
    """How the runs of each time stand."""
    firing: frozenset[datetime] = frozenset()
    """Those that fire by their schedule, or whose backfill has been released."""
    held: frozenset[datetime] = frozenset()
    """Those that a backfill still holds back, a cancelled one too."""

    @property
    def under_way(self) -> frozenset[datetime]:
        """Those that have begun, or are about to, and have not ended."""
        begun = {nominal for nominal, statuses in self.runs.items() if statuses - ENDED_RUNS}
        return frozenset(begun) | (self.firing - self.runs.keys())


@dataclass(frozen=True, slots=True)
class BackfillChoice:
    """The nominal times that a backfill runs, and those that it leaves alone, with the reason."""

    to_run: tuple[datetime, ...]
    left_out: tuple[tuple[datetime, str], ...]


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """How far the firings of backfills have come."""

    held: int = 0
    """Waiting for a place among max_parallel."""
    cancelled: int = 0
    """Held by a backfill that was cancelled: never released."""
    starting: int = 0
    """Released, without a run yet."""
    runs: Mapping[RunStatus, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Every firing."""
        return self.held + self.cancelled + self.starting + sum(self.runs.values())

    @property
    def ended(self) -> int:
        """Those about which nothing will change."""
        return self.cancelled + sum(self.runs.get(status, 0) for status in ENDED_RUNS)

    @property
    def failed(self) -> int:
        """Those whose run has ended otherwise than well."""
        return sum(self.runs.get(status, 0) for status in ENDED_RUNS - _GOOD_ENDS)

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.ended == self.total


def nominals_between(trigger: Trigger, first: datetime, last: datetime) -> tuple[datetime, ...]:
    """Return the nominal times from `first` to `last`, both included.

    RefusedError when there are more than MOST_LOOKED_AT.
    """
    found: list[datetime] = []
    for nominal in nominal_times(trigger, first - timedelta(microseconds=1)):
        if nominal > last:
            break
        if len(found) == MOST_LOOKED_AT:
            raise RefusedError(
                f"the trigger is due more than {MOST_LOOKED_AT:,} times in that range",
                hint="narrow the range with --from and --to",
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
    """Take each nominal time that has no run but perhaps a `missed` one, and may start.

    With `only_missed`, take only those that have a `missed` run. RefusedError for more than
    MOST_FIRINGS.
    """
    taken: list[datetime] = []
    left: list[tuple[datetime, str]] = []
    for nominal in nominals:
        reason = _left_out_reason(trigger, nominal, past, calendars, only_missed=only_missed)
        if reason is not None:
            left.append((nominal, reason))
            continue
        if len(taken) == MOST_FIRINGS:
            raise RefusedError(
                f"that range has more than {MOST_FIRINGS:,} firings to run",
                hint="narrow it with --from and --to",
            )
        taken.append(nominal)
    return BackfillChoice(tuple(taken), tuple(left))


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
        return "not settled yet: its schedule decides"
    if only_missed and not statuses:
        return "was not missed"
    verdict = find_start(trigger, nominal, timezone_of(trigger), calendars)
    return f"{verdict.outcome}: {verdict.reason}" if verdict.starts_at is None else None


def progress_view(progress: BackfillProgress) -> View:
    """Return how far it has come as JSON; every status of a run is a key."""
    runs = {status.value: progress.runs.get(status, 0) for status in RunStatus}
    runs[RunStatus.CANCELLED.value] += progress.cancelled
    return {
        "total": progress.total,
        "held": progress.held,
        "starting": progress.starting,
        **{name: count for name, count in runs.items() if name != RunStatus.MISSED.value},
    }


def choice_view(choice: BackfillChoice) -> View:
    """Return what is taken and what is left alone as JSON."""
    return {
        "firings": [format_timestamp(nominal) for nominal in choice.to_run],
        "leftAlone": [
            {"dueAt": format_timestamp(nominal), "reason": why} for nominal, why in choice.left_out
        ],
    }
