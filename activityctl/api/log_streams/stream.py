"""Stream: what one client has got of the log, and how it gets the rest."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from activityctl.api.log_streams.feed import LogFeed
from activityctl.api.log_streams.lines import Line
from activityctl.api.log_streams.mailbox import Mailbox
from activityctl.api.log_streams.pages import PAGE, LogPages, Look
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.errors import TooSlowError, UnreachableError
from activityctl.operations.runs.follow_logs import too_slow_to_follow

Ask = Callable[[], Awaitable[LogFilter]]
"""Returns what is wanted now, for example because a subscription got a label."""
_ASK_SECONDS: Final = 1.0
"""How often a stream asks what is wanted, if that can change."""
_PAUSE_SECONDS: Final = 1.0
"""Between two tries to reach a database that does not answer."""


class Stream:
    """The lines for one client, in the order of the log, each once.

    It reads pages of the log until it is where the feed is; from then on it gets what the feed
    deals out. Both can bring the same line; the later one is left out.
    """

    def __init__(
        self,
        feed: LogFeed,
        pages: LogPages,
        wanted: LogFilter,
        after: Cursor,
        caller: str,
        ask: Ask | None,
    ) -> None:
        self._feed = feed
        self._pages = pages
        self._wanted = wanted
        self._caller = caller
        self._ask = ask
        self._asked_at = time.monotonic()
        self._mailbox = Mailbox()
        self._has_joined = False
        self._given = after
        """The last line that was given."""
        self._passed = after
        """All that is wanted before or at this position was given."""

    @property
    def has_caught_up(self) -> bool:
        """Whether `take` brings the next lines, else `catch_up`."""
        return self._has_joined and not self._mailbox.must_look and not self._has_to_ask

    @property
    def _has_to_ask(self) -> bool:
        return self._ask is not None and time.monotonic() - self._asked_at >= _ASK_SECONDS

    async def take(self, seconds: float) -> list[Line]:
        """Return the lines that the feed has dealt out; wait up to so many seconds for them."""
        lines = await self._mailbox.take(seconds if self._ask is None else _ASK_SECONDS)
        return self._give([line for line in lines if line.cursor > self._passed])

    async def catch_up(self) -> list[Line]:
        """Do the next step to where the feed is; return the lines that it brings.

        TooSlowError if Postgres has ended the search: the next one would take as long. What else it
        ends is tried again, as after an outage.
        """
        is_searching = False
        try:
            if self._has_to_ask:
                await self._ask_again()
            if not self._has_joined:
                await self._feed.join(self._mailbox, self._wanted)
                self._has_joined = True
            if not self._mailbox.must_look:
                return []
            is_searching = self._wanted.is_search
            return await self._look()
        except UnreachableError as error:
            if is_searching and isinstance(error, TooSlowError):
                raise too_slow_to_follow() from error
            await asyncio.sleep(_PAUSE_SECONDS)
            return []

    def wake(self) -> None:
        """End the wait for lines."""
        self._mailbox.wake()

    def leave(self) -> None:
        """Let the feed forget the stream."""
        self._feed.leave(self._mailbox, self._wanted)

    async def _look(self) -> list[Line]:
        """Read the next page of the log."""
        self._mailbox.begin_to_look()
        position = self._feed.position
        is_read = False
        try:
            look = Look(self._wanted, self._passed, self._feed.reads)
            lines = self._give(await self._pages.read(look, self._caller))
            is_read = len(lines) < PAGE
        finally:
            self._mailbox.must_look |= not is_read
        if is_read:
            self._passed = max(self._passed, position)
        return lines

    async def _ask_again(self) -> None:
        assert self._ask is not None  # noqa: S101  # there is something to ask
        wanted = await self._ask()
        self._asked_at = time.monotonic()
        if wanted.subscription_ids is self._wanted.subscription_ids or wanted == self._wanted:
            return
        self.leave()
        self._wanted = wanted
        self._has_joined = False
        self._mailbox.must_look = True
        self._passed = self._given

    def _give(self, lines: list[Line]) -> list[Line]:
        if lines:
            self._given = self._passed = lines[-1].cursor
        return lines
