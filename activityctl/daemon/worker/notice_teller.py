"""Tells notices: stores the firing of the tasks that tell each, and the event for everybody."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from activityctl.domain.runs.notices import LONGEST_WAIT, QUIET, notice_event, notice_firing
from activityctl.ports import EventStore, Notices, Outbox

_AT_ONCE: Final = 100


class NoticeTeller:
    """Tells what is ready. Several workers can do it at once: each notice is told once."""

    def __init__(
        self,
        notices: Notices,
        events: EventStore,
        outbox: Outbox,
        clock: Callable[[], datetime],
    ) -> None:
        self._notices = notices
        self._events = events
        self._outbox = outbox
        self._clock = clock

    async def tell(self) -> None:
        """Tell every notice that is ready.

        A notice is removed last. If the worker is killed before, its event and its firing are
        stored again, which changes nothing.
        """
        ready = await self._notices.gather(QUIET, LONGEST_WAIT, _AT_ONCE)
        if not ready:
            return
        await self._events.add([notice_event(notice) for notice in ready])
        firings = [firing for each in ready if (firing := notice_firing(each)) is not None]
        if firings:
            await self._outbox.add(firings, self._clock())
        for notice in ready:
            await self._notices.told(notice)
