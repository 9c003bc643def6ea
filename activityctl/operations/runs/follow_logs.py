"""Read and follow the log of a subscription.

A notification only says when to read the table again; its content is not used.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Final

from activityctl.domain.values.log import Cursor, LogEntry
from activityctl.ports import LOG_CHANNEL, Logbook, Signals

_PAGE: Final = 500


async def read_logs(
    logbook: Logbook,
    subscription_id: str,
    *,
    since: datetime | None = None,
    run_id: str | None = None,
    tail: int | None = None,
) -> AsyncIterator[LogEntry]:
    """Yield the existing entries, oldest first, then end."""
    cursor = Cursor() if tail is None else await logbook.tail(subscription_id, tail)
    while True:
        entries, cursor = await logbook.page(
            subscription_id, cursor, limit=_PAGE, since=since, run_id=run_id
        )
        for entry in entries:
            yield entry
        if len(entries) < _PAGE:
            return


async def follow_logs(
    logbook: Logbook,
    signals: Signals,
    subscription_id: str,
    *,
    since: datetime | None = None,
    run_id: str | None = None,
    tail: int | None = None,
) -> AsyncIterator[LogEntry]:
    """Yield every existing and every new entry, oldest first, each exactly once; never end."""
    async with signals.listening(LOG_CHANNEL) as payloads:
        cursor = Cursor() if tail is None else await logbook.tail(subscription_id, tail)
        async with aclosing(payloads):  # type: ignore[type-var]  # an async generator
            while True:
                entries, cursor = await logbook.page(
                    subscription_id, cursor, limit=_PAGE, since=since, run_id=run_id
                )
                for entry in entries:
                    yield entry
                if len(entries) == _PAGE:
                    continue
                async for payload in payloads:
                    if payload in {"", subscription_id}:
                        break
