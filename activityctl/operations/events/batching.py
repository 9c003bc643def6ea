"""Read a blocking iterator in a thread of its own, and yield its items in batches."""

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
    """Yield all items in their order, in batches of at most MOST_ITEMS or about MOST_BYTES.

    A batch is yielded at the latest LINGER_SECONDS after its first item, so that items of a
    slow input are not delayed. While the caller works on a batch, the thread reads at most one
    batch ahead. Raises what the iterator raises, after the items before the error.
    """
    reader = _Reader(items, bytes_of)
    reader.start()
    try:
        while True:
            batch = await reader.take()
            if batch:
                yield batch
            elif reader.is_over:
                break
    finally:
        reader.stop()
    if reader.failure is not None:
        raise reader.failure


async def in_slices(
    items: Iterable[Item], bytes_of: Callable[[Item], int]
) -> AsyncGenerator[list[Item], None]:
    """Yield what `in_batches` yields of items that are in memory: no thread has to wait for them.

    Starting a thread costs as much as storing an event. Each slice is made at once.
    """
    batch: list[Item] = []
    size = 0
    failure: BaseException | None = None
    try:
        for item in items:
            batch.append(item)
            size += bytes_of(item)
            if len(batch) >= MOST_ITEMS or size >= MOST_BYTES:
                yield batch
                batch, size = [], 0
    except Exception as error:  # noqa: BLE001  # raised below, after the items before it
        failure = error
    if batch:
        yield batch
    if failure is not None:
        raise failure


class _Reader(Generic[Item]):
    """A thread that reads ahead, and the items that it has read."""

    def __init__(self, items: Iterable[Item], bytes_of: Callable[[Item], int]) -> None:
        self.failure: BaseException | None = None
        self.is_over = False
        """Whether the input has ended; items already read may still wait."""
        self._items = items
        self._bytes_of = bytes_of
        self._waiting: deque[Item] = deque()
        self._bytes = 0
        self._is_full = False
        """Whether what has been read is a whole batch."""
        self._room = threading.Condition()
        self._is_stopped = False
        self._loop = asyncio.get_running_loop()
        self._has_items = asyncio.Event()
        self._is_batch_full = asyncio.Event()

    def start(self) -> None:
        # A daemon thread: a blocked read must not keep the program from ending.
        threading.Thread(target=self._read, name="reading", daemon=True).start()

    async def take(self) -> list[Item]:
        """Return the items read so far; wait until there is one or the input has ended."""
        await self._has_items.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self._is_batch_full.wait()
        with self._room:
            batch = list(self._waiting)
            self._waiting.clear()
            self._bytes, self._is_full = 0, False
            if not self.is_over:
                self._has_items.clear()
                self._is_batch_full.clear()
            self._room.notify()
        return batch

    def stop(self) -> None:
        """Stop reader."""
        with self._room:
            self._is_stopped = True
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
            self._set(self._has_items)
            self._set(self._is_batch_full)

    def _put(self, item: Item) -> bool:
        """Add an item once there is room for it; return False if reading was stopped."""
        size = self._bytes_of(item)
        with self._room:
            if self._is_full:
                self._room.wait_for(lambda: self._is_stopped or not self._is_full)
            if self._is_stopped:
                return False
            self._waiting.append(item)
            self._bytes += size
            self._is_full = len(self._waiting) >= MOST_ITEMS or self._bytes >= MOST_BYTES
            if len(self._waiting) == 1:
                self._set(self._has_items)
            if self._is_full:
                self._set(self._is_batch_full)
            return True

    def _set(self, event: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the loop is closed, so no task waits for the event
            self._loop.call_soon_threadsafe(event.set)
