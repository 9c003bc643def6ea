"""Read and follow the log of a subscription.

A notification only says when to read the table again; its content is not used.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime
from typing import Final

from activityctl.domain.values.log import Cursor, LogEntry
from activityctl.errors import NotFoundError, UnreachableError, UsageError
from activityctl.operations.looking.kinds import known_kind, name_of
from activityctl.ports import LOG_CHANNEL, Catalog, Logbook, RunLists, Signals

_PAGE: Final = 500
_PAUSE: Final = 1.0
"""Seconds between two tries to reach a database that does not answer."""


async def log_of(
    catalog: Catalog, lists: RunLists, reference: str, run: str | None
) -> tuple[str, str | None]:
    """Return the ids of the subscription and of the run whose log is wanted.

    `reference` is a subscription or `run/ID`. NotFoundError if one of them does not exist, or if
    the run is of another subscription.
    """
    if (kind := known_kind(reference.partition("/")[0])) == "runs" and "/" in reference:
        if run is not None:
            raise UsageError(f"{reference} and --run cannot be combined", hint="give one of them")
        found = await lists.find_run(name_of(reference, kind))
        return found.subscription_id, found.id
    owner = await catalog.find_subscription(name_of(reference, "subscriptions"))
    if run is None:
        return owner.id, None
    found = await lists.find_run(run)
    if found.subscription_id != owner.id:
        raise NotFoundError(
            f"run of {owner.name}",
            run,
            hint=f"it is a run of {found.subscription}: activityctl logs run/{found.id}",
        )
    return owner.id, found.id


async def read_logs(
    logbook: Logbook,
    subscription_id: str,
    *,
    since: datetime | None = None,
    run_id: str | None = None,
    tail: int | None = None,
) -> AsyncIterator[LogEntry]:
    """Yield the existing entries, oldest first, then end."""
    cursor = Cursor() if tail is None else await logbook.tail(subscription_id, tail, run_id)
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
    on_outage: Callable[[UnreachableError | None], None] = lambda _: None,
    pause_seconds: float = _PAUSE,
) -> AsyncIterator[LogEntry]:
    """Yield every existing and every new entry, oldest first, each exactly once; never end.

    If the database stops answering, go on after the last entry when it answers again. Calls
    `on_outage` once with the error, and once with None when it answers again. Raises
    UnreachableError if it does not answer at the beginning.
    """
    cursor: Cursor | None = None
    is_out = False
    while True:
        try:
            async with signals.listening(LOG_CHANNEL) as payloads, _closed(payloads):
                if cursor is None:
                    cursor = (
                        Cursor()
                        if tail is None
                        else await logbook.tail(subscription_id, tail, run_id)
                    )
                while True:
                    entries, cursor = await logbook.page(
                        subscription_id, cursor, limit=_PAGE, since=since, run_id=run_id
                    )
                    if is_out:
                        is_out = False
                        on_outage(None)
                    for entry in entries:
                        yield entry
                    if len(entries) < _PAGE:
                        await _next_signal(payloads, subscription_id)
        except UnreachableError as error:
            if cursor is None:
                raise
            if not is_out:
                on_outage(error)
            is_out = True
            await asyncio.sleep(pause_seconds)


def _closed(payloads: AsyncIterator[str]) -> AbstractAsyncContextManager[object]:
    return aclosing(payloads)  # type: ignore[type-var]  # an async generator


async def _next_signal(payloads: AsyncIterator[str], subscription_id: str) -> None:
    """Wait for a notification for this subscription, or for one second."""
    async for payload in payloads:
        if payload in {"", subscription_id}:
            return
