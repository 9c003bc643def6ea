"""The port of traces: where spans go, and how a call gets its header."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from activityctl.domain.runs.tracing import Span


class SpanSink(Protocol):
    """Takes spans that have ended. It never waits and never raises."""

    is_open: bool
    """Whether anybody wants spans."""

    def add(self, span: Span) -> None:
        """Take the span; it may be lost."""
        ...


class NoSpans:
    """Takes no spans."""

    is_open = False

    def add(self, span: Span) -> None:
        """Do nothing."""


Outgoing = Callable[[str], AbstractAsyncContextManager[str | None]]
"""`async with outgoing(name) as header:` makes one call; the header is its `traceparent`."""


@asynccontextmanager
async def untraced(_name: str) -> AsyncIterator[str | None]:
    """Give no header: the default of `TaskCall.outgoing`."""
    yield None
