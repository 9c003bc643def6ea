"""Ports for nominal times: deciding the due ones, and running past ones later (backfill)."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import field
from datetime import datetime, timedelta
from typing import Final, Protocol

from activityctl.domain.runs.admission import ClaimedFacts
from activityctl.domain.runs.backfill import Backfill, BackfillProgress, PastTimes
from activityctl.domain.timing.firing import FiringCause, FiringRef, Ringing
from activityctl.domain.values.ids import RunId
from activityctl.frozen_dataclass import frozen_dataclass

WAKE_AFTER: Final = timedelta(seconds=2)
"""How late an alarm may be before it counts as overdue.

Temporal usually wakes us within a tenth of this time, unless it is busy, down or does not know
the due time.
"""


@frozen_dataclass
class OverdueAlarm:
    """An alarm that did not ring for a nominal time that has passed."""

    alarm_id: str
    next_at: datetime
    """The latest nominal time that has passed, of those that come next for a schedule."""
    late: timedelta
    """How long ago `next_at` was when the alarm was read."""


@frozen_dataclass
class ServedSchedule:
    """An active schedule that an alarm serves; its names are for people."""

    subscription_id: str
    trigger: str
    revision_id: str
    subscription: str
    definition: str

    def firing(self, ringing: Ringing, workflow_id: str) -> FiringRef:
        """Return the firing of the alarm's time, to be run by that workflow."""
        return FiringRef(
            self.subscription_id,
            self.trigger,
            ringing.key,
            ringing.due_at,
            workflow_id,
            FiringCause.OUTBOX,
            self.subscription,
            self.definition,
        )


@frozen_dataclass
class RingResult:
    """What became of due times of an alarm."""

    is_complete: bool
    """False if more of them are to be decided; then ask again."""
    until: datetime
    """What is due after this moment is not decided, unless with earlier times."""
    firings: Sequence[FiringRef]
    """The firings that the workflow of the caller runs itself, also those of its earlier calls."""
    facts: Mapping[RunId, ClaimedFacts] = field(default_factory=dict)
    """What their admissions need, by run id, of those that have little data."""


class Timetable(Protocol):
    """The cursors of all schedules; each nominal time is decided once, by Postgres' clock."""

    async def served(self, alarm_id: str, limit: int) -> list[ServedSchedule]:
        """Return active schedules of the alarm, in order."""
        ...

    async def ring(
        self,
        ringing: Ringing,
        carries: Collection[ServedSchedule],
        workflow_id: str,
        until: datetime | None = None,
    ) -> RingResult:
        """Decide nominal times of the schedules of the alarm that are due at its time, or by now.

        A call decides those of some hundred schedules, in one transaction. The next call gets
        `until` of the last result, so that the calls come to an end. The dispatcher starts
        the firings, except those of the alarm's time that start at once and belong to the
        schedules in `carries`: the workflow of the caller runs them. If its answer is lost, it asks
        again, and gets them again, whatever has become of their schedules.
        """
        ...

    async def claim(
        self, ringing: Ringing, carries: Collection[ServedSchedule], workflow_id: str
    ) -> list[FiringRef]:
        """Take over firings of the alarm's time that were decided by somebody else.

        Or by an earlier call whose answer was lost. A firing that starts later, or not at all, is
        not among them.
        """
        ...

    async def process_due(self, firing: FiringRef) -> bool:
        """Decide every nominal time of one schedule that is due, in one transaction.

        Returns True if the workflow of the caller must run its own firing now. Returns False if
        its time is not due, has another outcome, or starts later through the dispatcher. Returns
        False too if it is too late after an outage: the firing is then missed according to its
        misfire policy. For a firing that was decided before, nothing more is decided.
        """
        ...

    async def overdue(
        self,
        limit: int,
        *,
        late_by: timedelta = WAKE_AFTER,
        before: OverdueAlarm | None = None,
    ) -> list[OverdueAlarm]:
        """Return alarms that did not ring within this time after a nominal time.

        The latest nominal times come first. With `before`, only the alarms after that one are
        returned. Alarms that become overdue meanwhile are not among them, so reading all
        pages comes to an end. An alarm that is being rung is left out.
        """
        ...


class LockedPastTimes(Protocol):
    """The past nominal times of a trigger; no decision changes them until the block ends."""

    past: PastTimes

    async def hold(self, backfill: Backfill, nominals: Sequence[datetime]) -> int:
        """Record the backfill with held firings; return how many of the firings are new.

        Firings that another backfill still holds move to this one. A cancelled backfill becomes
        open again.
        """
        ...


class Backfills(Protocol):
    """Backfills: runs of past nominal times, a few at a time; time ranges include both ends."""

    async def past(
        self, subscription_id: str, trigger: str, first: datetime, last: datetime
    ) -> PastTimes:
        """Return the records of the trigger's nominal times in this range."""
        ...

    def locked(
        self, subscription_id: str, trigger: str, first: datetime, last: datetime
    ) -> AbstractAsyncContextManager[LockedPastTimes]:
        """Lock the trigger's schedule while a backfill is chosen and recorded."""
        ...

    async def progress(self, wanted: Backfill, also: Collection[datetime]) -> BackfillProgress:
        """Return how far the firings of the backfill are.

        Includes firings of the trigger's other backfills that are due at one of the times `also`.
        """
        ...

    async def cancel(self, subscription_id: str, trigger: str | None) -> int:
        """Stop the release of all held firings, of one trigger or of all its triggers.

        Returns how many firings were held.
        """
        ...

    async def release(self, limit: int) -> int:
        """Release the next held firings, in the order of their times; return how many.

        A backfill has at most `max_parallel` released firings whose run has not ended. If the
        ranges of two backfills of a trigger overlap, no firing overtakes an earlier time that the
        other one holds.
        """
        ...
