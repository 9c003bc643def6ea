"""Batches: what a blocking iterator yields, read in a thread of its own; what it is stays open."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

MOST_ITEMS: Final = 1_000
MOST_BYTES: Final = 4 * 1024 * 1024
LINGER_SECONDS: Final = 0.05


async def in_batches(
    items: Iterable[Item], bytes_of: Callable[[Item], int]
) -> AsyncGenerator[list[Item], None]:
    """Yield all items in their order, in batches of MOST_ITEMS or about MOST_BYTES.

    What has come is yielded LINGER_SECONDS after its first item, so a slow input waits for
    nobody. Reading goes on while a batch is worked on, no more than one batch ahead. Raises
    what the iterator raises, after the items before it.
    """
    reading = _Reading(items, bytes_of)
    reading.start()
    try:
        while True:
            batch = await reading.take()
            if batch:
                yield batch
            elif reading.is_over:
                break
    finally:
        reading.abandon()
    if reading.failure is not None:
        raise reading.failure


class _Reading(Generic[Item]):
    """A thread that reads ahead, and what it has read."""

    def __init__(self, items: Iterable[Item], bytes_of: Callable[[Item], int]) -> None:
        self.failure: BaseException | None = None
        self.is_over = False
        """Nothing comes after what is at hand."""
        self._items = items
        self._bytes_of = bytes_of
        self._waiting: deque[Item] = deque()
        self._bytes = 0
        self._room = threading.Condition()
        self._is_abandoned = False
        self._loop = asyncio.get_running_loop()
        self._some = asyncio.Event()
        self._enough = asyncio.Event()

    def start(self) -> None:
        # A daemon thread: one that is blocked in a read must not hold up the end of the program.
        threading.Thread(target=self._read, name="reading", daemon=True).start()

    async def take(self) -> list[Item]:
        """Return what is at hand, once there is something or nothing will come."""
        await self._some.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self._enough.wait()
        with self._room:
            batch = list(self._waiting)
            self._waiting.clear()
            self._bytes = 0
            if not self.is_over:
                self._some.clear()
                self._enough.clear()
            self._room.notify()
        return batch

    def abandon(self) -> None:
        """Read no further."""
        with self._room:
            self._is_abandoned = True
            self._room.notify()

    def _read(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as error:  # noqa: BLE001  # raised where the batches are taken
            self.failure = error
        with self._room:
            self.is_over = True
            self._tell(self._some)
            self._tell(self._enough)

    def _put(self, item: Item) -> bool:
        """Add an item once there is room for it; False when nobody wants it any more."""
        with self._room:
            self._room.wait_for(lambda: self._is_abandoned or not self._is_full)
            if self._is_abandoned:
                return False
            self._waiting.append(item)
            self._bytes += self._bytes_of(item)
            if len(self._waiting) == 1:
                self._tell(self._some)
            if self._is_full:
                self._tell(self._enough)
            return True

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) >= MOST_ITEMS or self._bytes >= MOST_BYTES

    def _tell(self, event: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the loop has closed, so nobody listens
            self._loop.call_soon_threadsafe(event.set)
