"""Wake-up hints within one process, and the workers' signs of life, in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Final

from activityctl.adapters.memory.state import MemoryState, WorkerRow
from activityctl.domain.runs.worker import COUNTS_AS_ALIVE, WorkerBeat

_SILENCE: Final = 1.0
_FORGOTTEN_AFTER: Final = timedelta(days=1)


class MemorySignals:
    """The Signals port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    @asynccontextmanager
    async def listening(self, channel: str) -> AsyncIterator[AsyncIterator[str]]:
        """Iterate over the payloads of a channel; an empty text every second of silence."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._state.listeners[channel].append(queue)

        async def payloads() -> AsyncIterator[str]:
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), _SILENCE)
                except TimeoutError:
                    yield ""

        try:
            yield payloads()
        finally:
            self._state.listeners[channel].remove(queue)


class MemoryWorkers:
    """The Workers port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def beat(self, worker: WorkerBeat) -> None:
        """Say that this worker lives; those silent for a day are forgotten."""
        workers, now = self._state.workers, self._state.clock()
        known = workers.get(worker.id, WorkerRow(worker, now))
        for key in [key for key, one in workers.items() if now - one.seen_at > _FORGOTTEN_AFTER]:
            del workers[key]
        workers[worker.id] = replace(known, seen_at=now)

    async def leave(self, worker_id: str) -> None:
        """Say that this worker has stopped."""
        self._state.workers.pop(worker_id, None)

    async def alive(self, within: timedelta = COUNTS_AS_ALIVE) -> list[WorkerBeat]:
        """Return the workers heard of within that long, the longest at work first."""
        since = self._state.clock() - within
        found = [one.beat for one in self._state.workers.values() if one.seen_at >= since]
        return sorted(found, key=lambda one: one.started_at)
