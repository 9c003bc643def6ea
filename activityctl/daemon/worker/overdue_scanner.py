"""The overdue scanner: starts the work on due times when Temporal's schedule did not wake us."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from activityctl.domain.timing.firing import FiringCause, FiringRef, firing_key
from activityctl.domain.values import ids
from activityctl.errors import RefusedError
from activityctl.ports import WAKE_AFTER, OverdueSchedule, RunStarter, Timetable

_LOG = logging.getLogger(__name__)
_AT_ONCE: Final = 100
_FEW: Final = 10
"""Up to this many overdue schedules are woken at once, more only after a delay."""
_BUSY_FOR: Final = timedelta(seconds=10)
"""When many schedules are due at once, Temporal may need this long to wake us for all."""


class OverdueScanner:
    """Wakes overdue schedules; several can work at once, and each due time is decided once."""

    def __init__(self, timetable: Timetable, starter: RunStarter) -> None:
        self._timetable = timetable
        self._starter = starter
        # Kept in memory only: a new worker begins a new round, which has all of them.
        self._last: OverdueSchedule | None = None

    async def wake(self) -> int:
        """Start a workflow for each overdue schedule, which decides its due times; return how many.

        A call takes at most _AT_ONCE schedules, the next call continues after them: schedules
        that stay overdue do not block the others. UnreachableError while Temporal does not
        answer; nothing is decided until it does, because no run could start.
        """
        overdue = await self._next()
        firings = [self._firing(schedule) for schedule in overdue]
        starts = [self._start(firing) for firing in firings]
        for result in await asyncio.gather(*starts, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        return len(overdue)

    async def _start(self, firing: FiringRef) -> None:
        try:
            await self._starter.start(firing)
        except RefusedError as error:
            owner = {"subscription": firing.subscription_id}
            _LOG.warning("could not wake a schedule: %s", error, extra=owner)

    async def _next(self) -> list[OverdueSchedule]:
        """Return the next overdue schedules of this round, or the first of a new round."""
        newest = await self._timetable.overdue(_FEW + 1)
        if len(newest) <= _FEW:
            self._last = None
            return newest
        # Waking them all now would double the work of a busy server.
        late_by = _BUSY_FOR if newest[-1].late <= _BUSY_FOR else WAKE_AFTER
        found = await self._timetable.overdue(_AT_ONCE, late_by=late_by, before=self._last)
        self._last = found[-1] if len(found) == _AT_ONCE else None
        return found

    def _firing(self, overdue: OverdueSchedule) -> FiringRef:
        key = firing_key(overdue.next_at)
        owner = (overdue.subscription_id, overdue.trigger)
        _LOG.info("schedule overdue", extra={"subscription": owner[0], "trigger": owner[1]})
        workflow_id = ids.wake_up_workflow_id(*owner, key)
        return FiringRef(*owner, key, overdue.next_at.isoformat(), workflow_id, FiringCause.WAKE_UP)
