"""LogPages: pages of the log for streams that begin, or have to look into the log themselves."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
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


_Key = tuple[Look, str | None]
"""A look, and who needs a place for its search; None if it is no search, so that all share it."""


def _searcher(look: Look, caller: str) -> str | None:
    return caller if look.wanted.is_search else None


@dataclass(slots=True)
class _Together:
    """Looks from one place that differ only in the text."""

    texts: list[str] = field(default_factory=list)
    reading: "asyncio.Task[Mapping[str, list[Line]] | None] | None" = None


class LogPages:
    """Reads a page once for all streams that ask for it at the same time.

    Those that differ only in their regular expression share a page and a search, too. What takes
    a place of a caller among the searches, only the streams of this caller share.

    A page that was begun before the feed's last reading is not shared: it may lack what the feed
    has dealt out, and what the stream has forgotten.
    """

    def __init__(self, logbook: Logbook, searches: Searches) -> None:
        self._logbook = logbook
        self._searches = searches
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._readings: dict[_Key, asyncio.Task[list[Line]]] = {}
        self._together: dict[_Key, _Together] = {}
        self._together_from = float("-inf")

    async def read(self, look: Look, caller: str) -> list[Line]:
        """Return the next lines, at most PAGE; fewer if there are no more now."""
        key = look, _searcher(look, caller)
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = asyncio.create_task(self._read(look, caller))
            reading.add_done_callback(lambda ended: self._forget(key, ended))
        return await asyncio.shield(reading)

    async def _read(self, look: Look, caller: str) -> list[Line]:
        text = look.wanted.text
        if text is not None and time.monotonic() >= self._together_from:
            place = replace(look, wanted=replace(look.wanted, text=None))
            key = place, _searcher(place, caller)
            together = self._together.get(key)
            if together is None:
                together = self._together[key] = _Together()
                work = self._read_together(place, caller, together.texts)
                together.reading = asyncio.create_task(work)
            if text not in together.texts:  # as that of another caller
                together.texts.append(text)
            assert together.reading is not None  # noqa: S101  # it was made with the object
            found = await together.reading
            if found is not None:
                return found[text]
        async with self._place(look, caller):
            entries, _ = await self._logbook.page(look.wanted, look.after, limit=PAGE)
        return [Line(entry) for entry in entries]

    async def _read_together(
        self, place: Look, caller: str, texts: list[str]
    ) -> Mapping[str, list[Line]] | None:
        """Return the lines of each text; None if each has to read a page of its own."""
        async with self._place(place, caller):
            # Who comes later may need what is not read now.
            del self._together[place, _searcher(place, caller)]
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

    def _place(self, look: Look, caller: str) -> AbstractAsyncContextManager[None]:
        return self._searches.awaited_place(caller) if look.wanted.is_search else self._places

    def _forget(self, key: _Key, ended: asyncio.Task[list[Line]]) -> None:
        del self._readings[key]
        if not ended.cancelled():
            ended.exception()  # so that asyncio does not complain if no stream waits any more
