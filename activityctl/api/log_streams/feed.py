"""LogFeed: reads what is new in the log once, for all streams that follow it.

Each stream gets what its filter admits. What only Postgres can decide, the stream reads itself.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from activityctl.api.log_streams.lines import Line
from activityctl.api.log_streams.mailbox import Mailbox
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.domain.values.log_rule import LogRule
from activityctl.errors import UnreachableError
from activityctl.ports import LOG_CHANNEL, Logbook, Signals

_PAGE: Final = 200
_IDLE_SECONDS: Final = 10.0
"""How often the log is looked at without a notification, because one may be lost in an outage."""
_PAUSE_SECONDS: Final = 1.0
"""Between two tries to reach a database that does not answer."""
_HELD_BACK_SECONDS: Final = 0.02
"""Until the next look, while an open transaction holds an entry back: nothing tells when it
ends."""
_PATIENCE: Final = 50
"""So many such looks are made, then one each second: the transaction may be a long one."""


class _Audience:
    """The streams with the same filter."""

    def __init__(self, wanted: LogFilter) -> None:
        self.rule = LogRule(wanted)
        self.mailboxes: set[Mailbox] = set()

    def deal(self, lines: Iterable[Line]) -> None:
        verdicts = [(line, self.rule.verdict(line.entry)) for line in lines]
        admitted = [line for line, verdict in verdicts if verdict]
        is_all = all(verdict is not None for _, verdict in verdicts)
        if admitted or not is_all:
            for mailbox in self.mailboxes:
                mailbox.deal(admitted, is_all=is_all)


class LogFeed:
    """The one reader. It works while there is a stream."""

    def __init__(self, logbook: Logbook, signals: Signals) -> None:
        self._logbook = logbook
        self._signals = signals
        self._audiences: dict[LogFilter, _Audience] = {}
        self._owners: frozenset[str] = frozenset()
        self._position: Cursor | None = None
        self._is_held_back = False
        self._vain_looks = 0
        self._has_news = asyncio.Event()
        self._reading = asyncio.Lock()
        self._work: list[asyncio.Task[None]] = []
        self.reads = 0
        """How often the log was read."""

    @property
    def position(self) -> Cursor:
        """All that comes before or here, every stream has got or has to look for."""
        return self._position or Cursor()

    async def join(self, mailbox: Mailbox, wanted: LogFilter) -> None:
        """Deal out to the mailbox what comes after the position of now.

        UnreachableError if Postgres does not answer.
        """
        async with self._reading:
            if self._position is None or wanted not in self._audiences:
                await self._read()  # a stream looks itself for what came before
            audience = self._audiences.setdefault(wanted, _Audience(wanted))
            audience.mailboxes.add(mailbox)
            self._owners |= audience.rule.owners
            if not self._work:
                self._start()

    def leave(self, mailbox: Mailbox, wanted: LogFilter) -> None:
        """Deal out nothing more to the mailbox."""
        audience = self._audiences.get(wanted)
        if audience is None:
            return
        audience.mailboxes.discard(mailbox)
        if audience.mailboxes:
            return
        del self._audiences[wanted]
        owners = (each.rule.owners for each in self._audiences.values())
        self._owners = frozenset().union(*owners)
        if not self._audiences:
            self._stop()

    def _start(self) -> None:
        self._work = [asyncio.create_task(self._listen()), asyncio.create_task(self._follow())]
        for task in self._work:
            task.add_done_callback(self._end)

    def _stop(self) -> None:
        for task in self._work:
            task.cancel()
        self._work = []
        self._position = None

    def _end(self, task: asyncio.Task[None]) -> None:
        """End all streams with the error that has ended the reader."""
        if task.cancelled() or task not in self._work:
            return
        self._stop()
        for audience in self._audiences.values():
            for mailbox in audience.mailboxes:
                mailbox.wake(task.exception())

    async def _listen(self) -> None:
        """Hear of new entries. A notification only says when to read; it may be for others."""
        while True:
            with suppress(UnreachableError):
                async with self._signals.listening(LOG_CHANNEL) as payloads:
                    self._has_news.set()  # what came before is looked for now
                    async for payload in payloads:
                        if payload in self._owners:
                            self._has_news.set()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds_to_wait()):
                    await self._has_news.wait()
            self._has_news.clear()
            try:
                async with self._reading:
                    await self._read()
            except UnreachableError:
                await asyncio.sleep(_PAUSE_SECONDS)
                self._has_news.set()

    def _seconds_to_wait(self) -> float:
        if not self._is_held_back:
            return _IDLE_SECONDS
        return _HELD_BACK_SECONDS if self._vain_looks < _PATIENCE else _PAUSE_SECONDS

    async def _read(self) -> None:
        """Read on to the end, and deal out."""
        is_full = True
        while is_full:
            owners = sorted(self._owners) if self._position else []
            news = await self._logbook.news(owners, self.position, limit=_PAGE)
            self._position = news.cursor
            self._is_held_back = news.is_held_back
            self._vain_looks = 0 if news.entries else self._vain_looks + 1
            self.reads += 1
            self._deal([Line(entry) for entry in news.entries])
            is_full = len(news.entries) == _PAGE

    def _deal(self, lines: Sequence[Line]) -> None:
        by_owner = _by_owner(lines)
        for audience in self._audiences.values():
            owners = audience.rule.owners & by_owner.keys()
            if len(owners) == 1:
                audience.deal(by_owner[next(iter(owners))])
            elif owners:
                audience.deal(line for line in lines if line.entry.subscription_id in owners)


def _by_owner(lines: Sequence[Line]) -> Mapping[str, list[Line]]:
    found: defaultdict[str, list[Line]] = defaultdict(list)
    for line in lines:
        found[line.entry.subscription_id].append(line)
    return found
