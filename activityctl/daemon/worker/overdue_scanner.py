"""The overdue scanner: starts the work on due times when no alarm of Temporal's woke us."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from activityctl.domain.timing.firing import FiringCause, Ringing
from activityctl.errors import RefusedError
from activityctl.ports import WAKE_AFTER, OverdueAlarm, RunStarter, Timetable

_LOG = logging.getLogger(__name__)
_AT_ONCE: Final = 100
_FEW: Final = 10
"""Up to this many overdue alarms are rung at once, more only after a delay."""
_BUSY_FOR: Final = timedelta(seconds=10)
"""When many alarms are due at once, Temporal may need this long to wake us for all."""


class OverdueScanner:
    """Rings overdue alarms; several can work at once, and each due time is decided once."""

    def __init__(self, timetable: Timetable, starter: RunStarter) -> None:
        self._timetable = timetable
        self._starter = starter
        # Kept in memory only: a new worker begins a new round, which has all of them.
        self._last: OverdueAlarm | None = None

    async def wake(self) -> int:
        """Start a workflow for each overdue alarm, which decides what is due; return how many.

        A call takes at most _AT_ONCE alarms, the next call continues after them: alarms that stay
        overdue do not block the others. UnreachableError while Temporal does not answer; nothing
        is decided until it does, because no run could start.
        """
        overdue = await self._next()
        starts = [self._ring(alarm) for alarm in overdue]
        for result in await asyncio.gather(*starts, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        return len(overdue)

    async def _ring(self, overdue: OverdueAlarm) -> None:
        _LOG.info("alarm overdue", extra={"alarm": overdue.alarm_id})
        due_at = overdue.next_at.isoformat()
        try:
            await self._starter.ring(Ringing(overdue.alarm_id, due_at, FiringCause.WAKE_UP))
        except RefusedError as error:
            _LOG.warning("could not ring an alarm: %s", error, extra={"alarm": overdue.alarm_id})

    async def _next(self) -> list[OverdueAlarm]:
        """Return the next overdue alarms of this round, or the first of a new round."""
        newest = await self._timetable.overdue(_FEW + 1)
        if len(newest) <= _FEW:
            self._last = None
            return newest
        # Waking them all now would double the work of a busy server.
        late_by = _BUSY_FOR if newest[-1].late <= _BUSY_FOR else WAKE_AFTER
        found = await self._timetable.overdue(_AT_ONCE, late_by=late_by, before=self._last)
        self._last = found[-1] if len(found) == _AT_ONCE else None
        return found
