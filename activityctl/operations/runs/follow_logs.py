"""Read and follow the log of subscriptions, or of one run.

A notification only says when to read the table again; its content is not used.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final

from activityctl.domain.values.log import Cursor, LogEntry, LogFilter
from activityctl.errors import TooSlowError, UnreachableError
from activityctl.ports import LOG_CHANNEL, Logbook, Signals

_PAGE: Final = 500
_PAUSE: Final = 1.0
"""Seconds between two tries to reach a database that does not answer."""
_ASKS_EVERY: Final = 1.0
_HELD_BACK: Final = 0.02
"""Seconds until the next look, while an open transaction holds an entry back: nothing tells when
it ends."""
_PATIENCE: Final = 50
"""So many such looks are made, then one each second: the transaction may be a long one."""


async def read_logs(
    logbook: Logbook, wanted: LogFilter, *, tail: int | None = None
) -> AsyncIterator[LogEntry]:
    """Yield the existing entries, oldest first, then end."""
    entries, cursor = await _first(logbook, wanted, tail)
    for entry in entries:
        yield entry
    if tail is not None and tail <= _PAGE:
        return
    while True:
        entries, cursor = await logbook.page(wanted, cursor, limit=_PAGE)
        for entry in entries:
            yield entry
        if len(entries) < _PAGE:
            return


async def follow_logs(  # noqa: PLR0913  # where to begin, and what to do meanwhile
    logbook: Logbook,
    signals: Signals,
    wanted: LogFilter,
    *,
    tail: int | None = None,
    after: Cursor | None = None,
    on_outage: Callable[[UnreachableError | None], None] = lambda _: None,
    has_ended: Callable[[], bool] = lambda: False,
    ask_again: Callable[[], Awaitable[LogFilter]] | None = None,
    pause_seconds: float = _PAUSE,
) -> AsyncIterator[LogEntry]:
    """Yield every existing and every new entry, oldest first, each exactly once.

    Ends when `has_ended` says so, which is asked at least once a second; else never. If the
    database stops answering, go on after the last entry when it answers again. Calls `on_outage`
    once with the error, and once with None when it answers again. Raises UnreachableError if it
    does not answer at the beginning, and TooSlowError if it ends the search: the next one would
    take as long. What else it ends is an outage. With `after`, begins after this position.

    `ask_again` says once a second what is wanted from then on, for example because a subscription
    got a label; of what is new in it, the entries after the last one are yielded.
    """
    cursor = after
    first: list[LogEntry] = []
    asked = _Wanted(wanted, ask_again)
    is_out = False
    while not has_ended():
        is_searching = False
        try:
            async with signals.listening(LOG_CHANNEL) as payloads, _closed(payloads):
                if cursor is None:
                    is_searching = wanted.is_search
                    first, cursor = await _first(logbook, wanted, tail)
                waiting = _Waiting(asked, payloads)
                while not has_ended():
                    is_searching = False
                    wanted = await asked.now()
                    # Asked first: what commits after that has a notification, which waits.
                    is_held_back = await logbook.is_held_back(wanted)
                    is_searching = wanted.is_search
                    entries, cursor = await logbook.page(wanted, cursor, limit=_PAGE)
                    if is_out:
                        is_out = False
                        on_outage(None)
                    for entry in (*first, *entries):
                        yield entry
                    first = []
                    if len(entries) < _PAGE:
                        await waiting.for_more(found_some=bool(entries), is_held_back=is_held_back)
        except UnreachableError as error:
            _require_outage(error, is_searching=is_searching, has_begun=cursor is not None)
            if not is_out:
                on_outage(error)
            is_out = True
            await asyncio.sleep(pause_seconds)


def too_slow_to_follow() -> TooSlowError:
    """Return the error for a log that cannot be followed with this filter."""
    return TooSlowError(
        "searching the log for this takes too long: Postgres has ended the search",
        hint="follow only new entries (tail 0), or choose a later time (since) or a simpler "
        "expression (grep)",
    )


def _require_outage(error: UnreachableError, *, is_searching: bool, has_begun: bool) -> None:
    """Raise the error unless the log is followed on when Postgres answers again."""
    if is_searching and isinstance(error, TooSlowError):
        raise too_slow_to_follow() from error
    if not has_begun:
        raise error


async def _first(
    logbook: Logbook, wanted: LogFilter, tail: int | None
) -> tuple[list[LogEntry], Cursor]:
    """Return the entries to begin with, and the cursor after which to go on."""
    if tail is None:
        return [], Cursor()
    if tail > _PAGE:
        return [], await logbook.tail(wanted, tail)
    return await logbook.last(wanted, tail)


def _closed(payloads: AsyncIterator[str]) -> AbstractAsyncContextManager[object]:
    return aclosing(payloads)  # type: ignore[type-var]  # an async generator


class _Wanted:
    """What is wanted, which may change while the log is followed."""

    def __init__(
        self, wanted: LogFilter, ask_again: Callable[[], Awaitable[LogFilter]] | None
    ) -> None:
        self.latest = wanted
        self._ask_again = ask_again
        self._asked_at = time.monotonic()

    async def now(self) -> LogFilter:
        """Return what is wanted; ask again if the answer is older than a second."""
        if self._ask_again is not None and time.monotonic() - self._asked_at >= _ASKS_EVERY:
            self.latest = await self._ask_again()
            self._asked_at = time.monotonic()
        return self.latest


class _Waiting:
    """Waits until it is time to look at the log again."""

    def __init__(self, wanted: _Wanted, payloads: AsyncIterator[str]) -> None:
        self._wanted = wanted
        self._payloads = payloads
        self._looks = 0

    async def for_more(self, *, found_some: bool, is_held_back: bool) -> None:
        """Wait for a notification for one of the subscriptions, or for one second.

        While an open transaction holds an entry back, wait only for a moment.
        """
        self._looks = 0 if found_some else self._looks + 1
        if is_held_back and self._looks < _PATIENCE:
            await asyncio.sleep(_HELD_BACK)
            return
        self._looks = 0
        async for payload in self._payloads:
            if not payload or payload in self._wanted.latest.subscription_ids:
                return
