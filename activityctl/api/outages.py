"""Outages of Postgres in a request that waits: the wait goes on, and what is stored stays known."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from activityctl.errors import OutcomeUnknownError, TooSlowError, UnreachableError

Found = TypeVar("Found")
_PAUSE: Final = 0.5
"""Seconds until Postgres is asked again."""


async def through_outages(work: Callable[[float], Awaitable[Found]], seconds: float) -> Found:
    """Return what the work returns, which may wait so many seconds; begin it again in an outage.

    Raises UnreachableError if time is up in the outage, and TooSlowError at once.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    left = seconds
    while True:
        try:
            return await work(left)
        except TooSlowError:
            raise
        except UnreachableError:
            if loop.time() + _PAUSE >= deadline:
                raise
        await asyncio.sleep(_PAUSE)
        left = round(max(deadline - loop.time(), 0.0), 1)


@contextmanager
def stored_before(what: str, hint: str) -> Iterator[None]:
    """Say of an outage in the block that the change before it is stored, so nobody repeats it.

    `what` says what is stored, and what is not known.
    """
    try:
        yield
    except UnreachableError as error:
        raise OutcomeUnknownError(f"{error.message}; {what}", hint=hint) from error
