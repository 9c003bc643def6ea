"""Wake-up signals within one process, and the heartbeats of workers, in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from activityctl.adapters.memory.state import MemoryState, WorkerRow
from activityctl.domain.runs.worker import COUNTS_AS_ALIVE, WorkerBeat

_SILENCE_SECONDS: Final = 1.0
_REMOVED_AFTER: Final = timedelta(days=1)


class MemorySignals:
    """Implements the Signals port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    @asynccontextmanager
    async def listening(self, channel: str) -> AsyncIterator[AsyncIterator[str]]:
        """Iterate over the payloads of a channel; yield "" after each second without one."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._state.listeners[channel].append(queue)

        async def payloads() -> AsyncIterator[str]:
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), _SILENCE_SECONDS)
                except TimeoutError:
                    yield ""

        try:
            yield payloads()
        finally:
            self._state.listeners[channel].remove(queue)


class MemoryWorkers:
    """Implements the Workers port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def beat(self, worker: WorkerBeat) -> bool:
        """Record that this worker is alive; remove workers not heard of for a day.

        Return True: what is in memory is never restored.
        """
        workers, now = self._state.workers, self._state.clock()
        for key in [key for key, row in workers.items() if now - row.seen_at > _REMOVED_AFTER]:
            del workers[key]
        known = workers.get(worker.id)
        started_at = known.beat.started_at if known else worker.started_at
        workers[worker.id] = WorkerRow(replace(worker, started_at=started_at), now)
        return True

    async def server_time(self) -> datetime:
        """Return the time by the clock that all ports use."""
        return self._state.clock()

    async def require_space(self) -> None:
        """Do nothing: there is no disk."""

    async def leave(self, worker_id: str) -> None:
        """Record that this worker has stopped."""
        self._state.workers.pop(worker_id, None)

    async def alive(self, within: timedelta = COUNTS_AS_ALIVE) -> list[WorkerBeat]:
        """Return the workers heard of within that time, the one that started first at the front."""
        now = self._state.clock()
        found = [
            row.beat for row in self._state.workers.values() if abs(now - row.seen_at) <= within
        ]
        return sorted(found, key=lambda beat: beat.started_at)
