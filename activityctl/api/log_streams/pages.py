"""LogPages: pages of the log for streams that begin, or have to look into the log themselves."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from activityctl.api.log_streams.lines import Line
from activityctl.api.log_streams.searches import Searches
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.errors import TooSlowError, UnstorableError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Logbook

PAGE: Final = 100
_AT_ONCE: Final = 4
"""So many pages are read at the same time; other requests need connections to Postgres too."""


_WORTH_IT: Final = 3
"""So many regular expressions at the same place are searched for in one statement."""
_ALONE_SECONDS: Final = 10.0
"""After a search for several that took too long, each is made alone for a while: the one that is
slow must not hold up the others."""


@frozen_dataclass
class Look:
    """What a stream asks for."""

    wanted: LogFilter
    after: Cursor
    reads: int
    """How often the feed had read the log when the stream began to look."""


@dataclass(slots=True)
class _Together:
    """Looks from one place that differ only in the text."""

    texts: list[str] = field(default_factory=list)
    reading: "asyncio.Task[Mapping[str, list[Line]] | None] | None" = None


class LogPages:
    """Reads a page once for all streams that ask for it at the same time.

    Those that differ only in their regular expression share a page and a search, too.

    A page that was begun before the feed's last reading is not shared: it may lack what the feed
    has dealt out, and what the stream has forgotten.
    """

    def __init__(self, logbook: Logbook, searches: Searches) -> None:
        self._logbook = logbook
        self._searches = searches
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._readings: dict[Look, asyncio.Task[list[Line]]] = {}
        self._together: dict[Look, _Together] = {}
        self._together_from = float("-inf")

    async def read(self, look: Look) -> list[Line]:
        """Return the next lines, at most PAGE; fewer if there are no more now."""
        reading = self._readings.get(look)
        if reading is None:
            reading = self._readings[look] = asyncio.create_task(self._read(look))
            reading.add_done_callback(lambda ended: self._forget(look, ended))
        return await asyncio.shield(reading)

    async def _read(self, look: Look) -> list[Line]:
        text = look.wanted.text
        if text is not None and time.monotonic() >= self._together_from:
            place = replace(look, wanted=replace(look.wanted, text=None))
            together = self._together.get(place)
            if together is None:
                together = self._together[place] = _Together()
                together.reading = asyncio.create_task(self._read_together(place, together.texts))
            together.texts.append(text)
            assert together.reading is not None  # noqa: S101  # it was made with the object
            found = await together.reading
            if found is not None:
                return found[text]
        async with self._searches.places if look.wanted.is_search else self._places:
            entries, _ = await self._logbook.page(look.wanted, look.after, limit=PAGE)
        return [Line(entry) for entry in entries]

    async def _read_together(
        self, place: Look, texts: list[str]
    ) -> Mapping[str, list[Line]] | None:
        """Return the lines of each text; None if each has to read a page of its own."""
        async with self._places:
            del self._together[place]  # who comes later may need what is not read now
            if len(texts) < _WORTH_IT:
                return None
            entries, _ = await self._logbook.page(place.wanted, place.after, limit=PAGE)
            if len(entries) == PAGE:  # a page of one text reaches further
                return None
            lines = [Line(entry) for entry in entries]
            try:
                found = await self._logbook.matches(texts, [each.message for each in entries])
            except (TooSlowError, UnstorableError):
                self._together_from = time.monotonic() + _ALONE_SECONDS
                return None
        return {
            text: [lines[number] for number in numbers]
            for text, numbers in zip(texts, found, strict=True)
        }

    def _forget(self, look: Look, ended: asyncio.Task[list[Line]]) -> None:
        del self._readings[look]
        if not ended.cancelled():
            ended.exception()  # so that asyncio does not complain if no stream waits any more
