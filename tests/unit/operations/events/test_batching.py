"""Batches: all items in order, no delay for a slow input, and a limit to reading ahead."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest

from activityctl.operations.events.batching import (
    MOST_BYTES,
    MOST_ITEMS,
    in_batches,
    in_slices,
)

BOTH = pytest.mark.parametrize("reading", [in_batches, in_slices])


async def batches_of(items: Iterator[int], reading: Any, size: int = 1) -> list[list[int]]:
    async with aclosing(reading(items, lambda _: size)) as batches:
        return [batch async for batch in batches]


@BOTH
async def test_all_items_come_in_their_order(reading: Any):
    found = await batches_of(iter(range(3_500)), reading)
    assert [item for batch in found for item in batch] == [*range(3_500)]
    assert max(len(batch) for batch in found) == MOST_ITEMS


@BOTH
async def test_an_empty_input_gives_no_batch(reading: Any):
    assert await batches_of(iter(()), reading) == []


@BOTH
async def test_large_items_come_in_small_batches(reading: Any):
    found = await batches_of(iter(range(10)), reading, size=MOST_BYTES // 2)
    assert max(len(batch) for batch in found) == 2
    assert [item for batch in found for item in batch] == [*range(10)]


async def test_items_are_yielded_while_a_slow_input_goes_on():
    goes_on = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        goes_on.wait(20)
        yield 2

    async with asyncio.timeout(60), aclosing(in_batches(slow(), lambda _: 1)) as batches:
        assert await anext(batches) == [1]
        goes_on.set()
        assert await anext(batches) == [2]


async def test_reading_stops_one_batch_ahead():
    read = 0

    def endless() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    async with aclosing(in_batches(endless(), lambda _: 1)) as batches:
        await anext(batches)
        await asyncio.sleep(0.2)
        assert read <= 2 * MOST_ITEMS + 1


@BOTH
async def test_an_error_of_the_input_is_raised_after_its_items(reading: Any):
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    seen = []

    async def take() -> None:
        async with aclosing(reading(broken(), lambda _: 1)) as batches:
            async for batch in batches:
                seen.extend(batch)

    with pytest.raises(OSError, match="gone"):
        await take()
    assert seen == [1]
