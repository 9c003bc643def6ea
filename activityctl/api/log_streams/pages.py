"""LogPages: pages of the log for streams that begin, or have to look into the log themselves."""

import asyncio
from dataclasses import dataclass
from typing import Final

from activityctl.api.log_streams.lines import Line
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.ports import Logbook

PAGE: Final = 100
_AT_ONCE: Final = 4
"""So many pages are read at the same time; other requests need connections to Postgres too."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a stream asks for."""

    wanted: LogFilter
    after: Cursor
    reads: int
    """How often the feed had read the log when the stream began to look."""


class LogPages:
    """Reads a page once for all streams that ask for it at the same time.

    A page that was begun before the feed's last reading is not shared: it may lack what the feed
    has dealt out, and what the stream has forgotten.
    """

    def __init__(self, logbook: Logbook) -> None:
        self._logbook = logbook
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._readings: dict[Look, asyncio.Task[list[Line]]] = {}

    async def read(self, look: Look) -> list[Line]:
        """Return the next lines, at most PAGE; fewer if there are no more now."""
        reading = self._readings.get(look)
        if reading is None:
            reading = self._readings[look] = asyncio.create_task(self._read(look))
            reading.add_done_callback(lambda ended: self._forget(look, ended))
        return await asyncio.shield(reading)

    async def _read(self, look: Look) -> list[Line]:
        async with self._places:
            entries, _ = await self._logbook.page(look.wanted, look.after, limit=PAGE)
        return [Line(entry) for entry in entries]

    def _forget(self, look: Look, ended: asyncio.Task[list[Line]]) -> None:
        del self._readings[look]
        if not ended.cancelled():
            ended.exception()  # so that asyncio does not complain if no stream waits any more
