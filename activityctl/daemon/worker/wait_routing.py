"""Give events to the tasks that wait for them, also events that came before the wait was known."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from activityctl.domain.cel.evaluator import Evaluator, evaluating_with
from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.routing.event_waits import EventAnswer, EventWaitIndex
from activityctl.domain.values.ids import TaskId
from activityctl.ports import Routing, WaitsVersion

LOOK_AT_ONCE: Final = 500
"""The most stored events that are looked at for one wait in one transaction."""


class WaitRouter:
    """Finds the events that end waits. Their index is built again when the open waits change."""

    def __init__(self, evaluator: Callable[[], Evaluator | None]) -> None:
        self._evaluator = evaluator
        self._index = EventWaitIndex(())
        self._version: WaitsVersion | None = None

    async def answers(
        self, routing: Routing, events: Sequence[ArrivedEvent]
    ) -> tuple[list[EventAnswer], dict[TaskId, int | None]]:
        """Return the answers, and how far each wait has looked at older events; None for all.

        `events` are those that are routed now. Every other stored event is routed already, or
        will be, so a wait misses none.
        """
        if routing.waits_version != self._version:
            waits = await routing.event_waits() if routing.waits_version.count else []
            self._index = await asyncio.to_thread(EventWaitIndex, waits)
            self._version = routing.waits_version
        looking = [wait for wait in self._index.waits if wait.looks_after is not None]
        answers: dict[TaskId, EventAnswer] = {}
        looked: dict[TaskId, int | None] = {}
        for wait in looking:
            older = await routing.older_events(wait, LOOK_AT_ONCE)
            found = await self._matched(EventWaitIndex([wait]), older)
            answers |= {answer.task_id: answer for answer in found}
            looked[wait.task_id] = older[-1].position if len(older) == LOOK_AT_ONCE else None
        for answer in await self._matched(self._index, events):
            answers.setdefault(answer.task_id, answer)
        if looked:
            self._version = None  # what was looked at is read again
        return list(answers.values()), looked

    async def _matched(
        self, index: EventWaitIndex, events: Sequence[ArrivedEvent]
    ) -> list[EventAnswer]:
        if not index.waits or not events:
            return []
        with evaluating_with(self._evaluator()):
            return await asyncio.to_thread(index.answers, events)
