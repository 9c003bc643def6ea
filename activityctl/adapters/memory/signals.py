"""Wake-up hints within one process, and the workers' signs of life, in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.worker import WorkerBeat

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
        workers = self._state.workers
        known = workers.get(worker.id, worker)
        for key in [
            key for key, one in workers.items() if worker.seen_at - one.seen_at > _FORGOTTEN_AFTER
        ]:
            del workers[key]
        workers[worker.id] = replace(known, seen_at=worker.seen_at)

    async def leave(self, worker_id: str) -> None:
        """Say that this worker has stopped."""
        self._state.workers.pop(worker_id, None)

    async def alive(self, since: datetime) -> list[WorkerBeat]:
        """Return the workers heard of since then, the longest at work first."""
        found = [one for one in self._state.workers.values() if one.seen_at >= since]
        return sorted(found, key=lambda one: one.started_at)
