"""Remembers the calls that an executor says it makes, as a trace would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Outgoing:
    """Stands for `TaskCall.outgoing`."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    @asynccontextmanager
    async def __call__(self, name: str) -> AsyncIterator[str | None]:
        try:
            yield None
        finally:
            self.ended.append(name)
