"""Reads the body of a request within its size, its time and the memory that all bodies share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from activityctl.api.refusals import (
    BadRequestError,
    BodyTooLargeError,
    BusyError,
    SlowRequestError,
    UnsupportedMediaTypeError,
)

MEBIBYTE: Final = 1024 * 1024
LARGEST_BODY: Final = MEBIBYTE
LARGEST_BATCH: Final = 16 * MEBIBYTE
BODY_SECONDS: Final = 30.0
"""How long a body may take from its first byte to its last."""
BODY_MEMORY: Final = 64 * MEBIBYTE
"""How many bytes the bodies of all requests may need at once."""
MOST_BODIES: Final = 256
"""How many requests with a body are worked on at once."""


class Intake:
    """What all bodies share. A request that finds no room is refused at once, not kept waiting."""

    def __init__(
        self,
        memory: int = BODY_MEMORY,
        most: int = MOST_BODIES,
        seconds: float = BODY_SECONDS,
    ) -> None:
        self._free = memory
        self._places = most
        self._seconds = seconds

    @asynccontextmanager
    async def body(self, request: Request, limit: int = LARGEST_BODY) -> AsyncIterator[bytes]:
        """Read the body, and keep its room until the block ends.

        Raises BodyTooLargeError, SlowRequestError, or BusyError if there is no room; the rest of
        the body is then not read.
        """
        needed = _announced(request, limit)
        if needed > self._free or not self._places:
            raise BusyError(
                "too many requests are at work; nothing of this one was done",
                hint="try again later, with fewer requests at once",
                retry_after=1,
            )
        self._free -= needed
        self._places -= 1
        try:
            yield await self._read(request, limit)
        finally:
            self._free += needed
            self._places += 1

    async def _read(self, request: Request, limit: int) -> bytes:
        parts = []
        left = limit
        try:
            async with asyncio.timeout(self._seconds):
                async for part in request.stream():
                    left -= len(part)
                    if left < 0:
                        raise _too_large(limit)
                    parts.append(part)
        except TimeoutError:
            raise SlowRequestError(
                f"the body did not arrive within {self._seconds:g} seconds"
            ) from None
        except ClientDisconnect:
            raise BadRequestError("the client has gone before the end of the body") from None
        return b"".join(parts)


def require_uncompressed(headers: Headers) -> None:
    """Raise UnsupportedMediaTypeError if the body is compressed."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaTypeError("the body is compressed", hint="send it as it is")


def _announced(request: Request, limit: int) -> int:
    """Return how many bytes the body may have: those it announces, or the limit."""
    text = request.headers.get("content-length")
    if text is None:
        return limit if "transfer-encoding" in request.headers else 0
    if int(text) > limit:  # the server has already refused what is no number
        raise _too_large(limit)
    return int(text)


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the body is larger than {limit // MEBIBYTE} MiB",
        hint="send less at once; a batch of events may have 16 MiB",
    )
