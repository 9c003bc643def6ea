"""The ledger of nominal times: how each is settled, and how past ones are run later."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from activityctl.domain.runs.backfill import Backfill, BackfillProgress, PastTimes
from activityctl.domain.timing.firing import FiringRef

WAKE_AFTER: Final = timedelta(seconds=2)
"""Temporal wakes us within a tenth of this, unless it is busy, away or does not know that time."""


@dataclass(frozen=True, slots=True)
class OverdueSchedule:
    """A schedule whose next nominal time has passed without a wake-up."""

    subscription_id: str
    trigger: str
    next_at: datetime
    late: timedelta
    """How long ago that was when it was looked at."""


class Timetable(Protocol):
    """How far each schedule has come; every nominal time is settled once, by Postgres' clock."""

    async def process_due(self, firing: FiringRef) -> bool:
        """Give every nominal time that has come its fate, in one transaction.

        True when the caller's workflow carries its own firing on now. False when that time is
        not due, was settled otherwise, or starts later and by the dispatcher; or when an outage
        came between and it is too late: it is missed then, as its misfire policy has it.
        A firing that the dispatcher starts was settled before; nothing else is, then.
        """
        ...

    async def overdue(
        self,
        limit: int,
        *,
        late_by: timedelta = WAKE_AFTER,
        before: OverdueSchedule | None = None,
    ) -> list[OverdueSchedule]:
        """Return schedules that nothing woke within that long of their next nominal time.

        The latest of these times come first. `before` gives those that come after that one:
        what falls due meanwhile is not among them, so a walk through all has an end.
        """
        ...


class LockedPastTimes(Protocol):
    """A trigger's past that no settlement changes until the block ends."""

    past: PastTimes

    async def hold(self, backfill: Backfill, nominals: Sequence[datetime]) -> int:
        """Record the backfill with its firings held back; return how many of them are new.

        What another backfill still holds goes over to this one; a cancelled one is open again.
        """
        ...


class Backfills(Protocol):
    """Runs of past nominal times, a few at a time; stretches of time include both ends."""

    async def past(
        self, subscription_id: str, trigger: str, first: datetime, last: datetime
    ) -> PastTimes:
        """Return what is recorded of the trigger's nominal times in that stretch."""
        ...

    def locked(
        self, subscription_id: str, trigger: str, first: datetime, last: datetime
    ) -> AbstractAsyncContextManager[LockedPastTimes]:
        """Hold the trigger's schedule while a backfill is chosen and recorded."""
        ...

    async def progress(self, wanted: Backfill, also: Collection[datetime]) -> BackfillProgress:
        """Return how far the backfill's firings have come.

        And those of the trigger's other backfills that are due at one of the times `also`.
        """
        ...

    async def cancel(self, subscription_id: str, trigger: str | None) -> int:
        """Let no held firing be released, of one trigger or of all; return how many those are."""
        ...

    async def release(self, limit: int) -> int:
        """Let the next held firings start, in the order of their times; return how many.

        As long as fewer than max_parallel of a backfill are released without an ended run. Where
        the stretches of a trigger's backfills overlap, none overtakes a time that another holds.
        """
        ...
