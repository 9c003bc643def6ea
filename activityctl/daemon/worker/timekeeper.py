"""The timekeeper: wakes schedules that nothing woke, so that no nominal time passes in silence."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from activityctl.domain.timing.firing import FiringCause, FiringRef, firing_key
from activityctl.domain.values import ids
from activityctl.ports import WAKE_AFTER, OverdueSchedule, RunStarter, Timetable

_LOG = logging.getLogger(__name__)
_AT_ONCE: Final = 100
_FEW: Final = 10
_BUSY_FOR: Final = timedelta(seconds=10)
"""When many schedules are due at once, Temporal needs seconds to wake us for each."""


class Timekeeper:
    """Any number of them may work; a wake-up settles a time once, whoever asks for it."""

    def __init__(self, timetable: Timetable, starter: RunStarter) -> None:
        self._timetable = timetable
        self._starter = starter
        # Not kept elsewhere: a worker that is replaced begins a round, which has them all too.
        self._last: OverdueSchedule | None = None

    async def wake(self) -> int:
        """Start a workflow for overdue schedules, which settles each; return how many.

        At most _AT_ONCE a turn, and all of them in a round of turns: however many cannot be
        settled, the others' turn comes. UnreachableError while Temporal is away: nothing is
        settled before it is back, since nothing could start.
        """
        overdue = await self._next()
        await asyncio.gather(*(self._starter.start(self._firing(one)) for one in overdue))
        return len(overdue)

    async def _next(self) -> list[OverdueSchedule]:
        """Return the next ones of this round, else the first of another."""
        newest = await self._timetable.overdue(_FEW + 1)
        if len(newest) <= _FEW:
            self._last = None
            return newest
        # A wake-up of each would double the work of a busy server.
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
