"""Ports for nominal times: deciding the due ones, and running past ones later (backfill)."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from activityctl.domain.runs.backfill import Backfill, BackfillProgress, PastTimes
from activityctl.domain.timing.firing import FiringRef

WAKE_AFTER: Final = timedelta(seconds=2)
"""How late a wake-up may be before a schedule counts as overdue.

Temporal usually wakes us within a tenth of this time, unless it is busy, down or does not know
the due time.
"""


@dataclass(frozen=True, slots=True)
class OverdueSchedule:
    """A schedule whose next nominal time has passed without a wake-up."""

    subscription_id: str
    trigger: str
    next_at: datetime
    late: timedelta
    """How long ago `next_at` was when the schedule was read."""


class Timetable(Protocol):
    """The cursors of all schedules; each nominal time is decided once, by Postgres' clock."""

    async def process_due(self, firing: FiringRef) -> bool:
        """Decide every nominal time that is due, in one transaction.

        Returns True if the workflow of the caller must run its own firing now. Returns False if
        its time is not due, has another outcome, or starts later through the dispatcher. Returns
        False too if it is too late after an outage: the firing is then missed according to its
        misfire policy. For a firing that the dispatcher starts, nothing more is decided, because
        it was decided before.
        """
        ...

    async def overdue(
        self,
        limit: int,
        *,
        late_by: timedelta = WAKE_AFTER,
        before: OverdueSchedule | None = None,
    ) -> list[OverdueSchedule]:
        """Return schedules that were not woken within this time after their next nominal time.

        The latest nominal times come first. With `before`, only the schedules after that one are
        returned. Schedules that become overdue meanwhile are not among them, so reading all
        pages comes to an end.
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
