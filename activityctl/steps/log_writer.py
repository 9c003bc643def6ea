"""LogWriter: writes the entries of runs, and keeps them in order while Postgres is away.

What changes a run is not written here: that has its own tries.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from activityctl.domain.values.failure_kind import OUTAGE_PAUSES, Tries, failure_text, is_outage
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.plurals import count_noun
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Logbook

_LOG = logging.getLogger(__name__)
MOST_ENTRIES: Final = 1_000
"""How many entries of an attempt wait at most; the further ones are counted."""
MOST_BYTES: Final = 1 << 20
MOST_BYTES_IN_ALL: Final = 64 << 20
"""Of all attempts, or lookups, of one writer together."""
_AT_ONCE: Final = 100
_PATIENCE: Final = 1.0
"""Seconds for which an attempt waits for an entry to be written; then it goes on without."""
STOPPED_SECONDS: Final = 2.0
"""For how long the end of a stopped attempt waits for its entries."""
_LAST_SECONDS: Final = 5.0
"""For how long a worker that ends tries to write what waits."""
_TICK: Final = timedelta(microseconds=1)
_SAME_TIME: Final = timedelta(seconds=1)
"""An entry that is older than the last one by more was dated after the clock was set back."""
_NAMES: Final = ("task", "index", "taskId", "attempt")

Store = Callable[[], Awaitable[None]]
"""Writes an entry with what belongs to it, unless an earlier try has written them."""


@frozen_dataclass
class _Waiting:
    entry: LogEntry
    size: int
    store: Store | None = None
    """Writes the entry with what belongs to it; None for an entry alone."""
    is_note: bool = False
    """Whether it takes the place of an entry that was refused."""


@dataclass
class _Backlog:
    """The entries of one attempt that are not written yet, oldest first."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    size: int = 0
    left_out: int = 0
    last_left_out: LogEntry | None = None
    tried: int = 0
    """How many of the first ones a failed try may have written."""
    at_once: int = _AT_ONCE
    is_away: bool = False
    """Whether Postgres was away at the last try."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nobody is to wait for entries to be written."""
    tries: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced by another, after each try."""
    writing: asyncio.Task[None] | None = None

    def add(self, entry: LogEntry, size: int, store: Store | None = None) -> None:
        """Add the entry."""
        self.waiting.append(_Waiting(entry, size, store))
        self.size += size

    def leave_out(self, entry: LogEntry) -> None:
        """Count an entry that is not kept."""
        self.left_out += 1
        self.last_left_out = entry

    def add_note(self) -> None:
        """Add an entry that says how many are missing, if some are."""
        if self.last_left_out is not None:
            what = count_noun(self.left_out, "entry", "entries")
            message = f"{what} of the log could not be kept here: Postgres was away for too long"
            note = _note(self.last_left_out, message, self.left_out)
            self.left_out, self.last_left_out = 0, None
            self.add(note, len(message))

    def refuse(self) -> None:
        """Replace the first one, which Postgres does not take, by an entry that says so."""
        refused = self.waiting[0]
        self.drop(1)
        if not refused.is_note:
            message = "1 entry of the log could not be kept here: Postgres refused it"
            note = _Waiting(_note(refused.entry, message, 1), len(message), is_note=True)
            self.waiting.appendleft(note)
            self.size += note.size
            self.tried += 1  # those after it may have been written

    def batch(self) -> list[_Waiting]:
        """Return what is to be written next: what was tried already alone."""
        first = self.waiting[0]
        if first.store is not None:
            return [first]
        most = min(self.at_once, self.tried or _AT_ONCE, len(self.waiting))
        batch: list[_Waiting] = []
        for waiting in self.waiting:
            if len(batch) == most or waiting.store is not None:
                break
            batch.append(waiting)
        return batch

    def drop(self, count: int) -> None:
        """Forget the first ones."""
        self.size -= sum(self.waiting.popleft().size for _ in range(count))
        self.tried = max(self.tried - count, 0)
        if not self.tried:
            self.at_once = _AT_ONCE

    def end_try(self, *, is_away: bool) -> None:
        """Tell those who wait how a try has ended."""
        self.is_away = is_away
        if is_away:
            self.released.set()
        else:
            self.released.clear()
        self.tries.set()
        self.tries = asyncio.Event()


@asynccontextmanager
async def log_writer(logbook: Logbook) -> AsyncIterator["LogWriter"]:
    """Lend a writer, and close it after the block."""
    log = LogWriter(logbook)
    try:
        yield log
    finally:
        await log.close()


class LogWriter:
    """Writes log entries. The entries of one attempt, or of one lookup, keep their order."""

    def __init__(
        self, logbook: Logbook, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._logbook = logbook
        self._sleep = sleep
        self._tries = Tries()
        self._backlogs: dict[str, _Backlog] = {}
        self._last_time = datetime.fromtimestamp(0, UTC)
        """Of an entry. The next one gets a later one, by which a repeated write knows it."""

    async def write(self, entry: LogEntry, store: Store | None = None) -> None:
        """Write the entry, with `store` if something belongs to it; never raise for a failure.

        While Postgres is away the entry waits in memory, and this returns after a second at most.
        Beyond the bounds it is then counted, and an entry says so; one with `store` is always kept.
        While Postgres is only slow, this waits for room.
        """
        key, size = _key(entry), len(entry.message) + len(str(entry.metadata))
        try:
            while store is None and self._is_full(key, size) and not self._backlogs[key].is_away:
                await self._backlogs[key].tries.wait()
        finally:  # also the entry of an attempt that is cancelled meanwhile is kept
            backlog = self._take(key, entry, size, store)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await backlog.released.wait()
        backlog.released.set()

    def _take(self, key: str, entry: LogEntry, size: int, store: Store | None) -> _Backlog:
        if timedelta(0) <= self._last_time - entry.created_at < _SAME_TIME:
            entry = replace(entry, created_at=self._last_time + _TICK)
        self._last_time = entry.created_at
        backlog = self._backlogs.setdefault(key, _Backlog())
        if store is None and backlog.is_away and self._is_full(key, size):
            backlog.leave_out(entry)
        else:
            backlog.add_note()
            backlog.add(entry, size, store)
        if backlog.writing is None:
            backlog.writing = asyncio.create_task(self._write_all(key, backlog))
        return backlog

    async def settle(self, key: str, seconds: float | None = None) -> None:
        """Wait until the entries of the task are written.

        Without `seconds` as long as it takes.
        """
        if (backlog := self._backlogs.get(key)) is not None and backlog.writing is not None:
            await asyncio.wait({backlog.writing}, timeout=seconds)

    async def close(self) -> None:
        """Write what still waits, for some seconds; what is lost then is told in the own log."""
        writing = [each.writing for each in self._backlogs.values() if each.writing is not None]
        if writing:
            await asyncio.wait(writing, timeout=_LAST_SECONDS)
        for key, backlog in list(self._backlogs.items()):
            count = len(backlog.waiting) + backlog.left_out
            lost = count_noun(count, "entry", "entries")
            _LOG.error("lost from the log of a run: %s", lost, extra={"of": key})
            if backlog.writing is not None:
                backlog.writing.cancel()

    async def _write_all(self, key: str, backlog: _Backlog) -> None:
        """Write what waits, as often as it takes."""
        failures = 0
        try:
            while backlog.waiting or backlog.left_out:
                if not backlog.waiting:
                    backlog.add_note()
                batch = backlog.batch()
                try:
                    await self._store(batch)
                except Exception as error:  # noqa: BLE001  # logged; it ends or is given up
                    failures += 1
                    backlog.tried = max(backlog.tried, len(batch))
                    if await self._gives_up(key, backlog, batch, error, failures):
                        backlog.refuse()
                else:
                    failures = 0
                    self._tries.forget(key)
                    backlog.drop(len(batch))
                    backlog.end_try(is_away=False)
        finally:
            del self._backlogs[key]
            backlog.tries.set()
            backlog.released.set()

    def _is_full(self, key: str, size: int) -> bool:
        """Return whether one more entry of this size is beyond the bounds; one alone never is."""
        backlog = self._backlogs.get(key)
        if backlog is None or not backlog.waiting:
            return False
        if len(backlog.waiting) >= MOST_ENTRIES or backlog.size + size > MOST_BYTES:
            return True
        in_all = sum(each.size for each in self._backlogs.values())
        return in_all + size > MOST_BYTES_IN_ALL

    async def _store(self, batch: list[_Waiting]) -> None:
        if (store := batch[0].store) is not None:
            await store()
        else:
            await self._logbook.append([each.entry for each in batch])

    async def _gives_up(
        self, key: str, backlog: _Backlog, batch: list[_Waiting], error: Exception, failures: int
    ) -> bool:
        """Return whether the only entry of the batch is refused for good; otherwise wait."""
        _LOG.warning(
            "cannot write to the log of a run, will be retried: %s",
            failure_text(error),
            extra={"of": key},
        )
        if not is_outage(error):
            if len(batch) > 1:  # one of them may be the reason
                backlog.at_once = 1
                return False
            if self._tries.is_last(key, error):
                self._tries.forget(key)
                return True
        backlog.end_try(is_away=True)
        await self._sleep(OUTAGE_PAUSES.pause(failures, 0.5).total_seconds())
        return False


def _note(about: LogEntry, message: str, left_out: int) -> LogEntry:
    """Return the entry that says that some are missing."""
    facts = {key: about.metadata[key] for key in _NAMES if key in about.metadata}
    metadata = {**facts, "leftOut": left_out}
    return replace(about, level="warning", message=message, metadata=metadata)


def _key(entry: LogEntry) -> str:
    """Return what the entry is about: a task if it names one, otherwise a run."""
    return str(entry.metadata.get("taskId") or entry.run_id)
