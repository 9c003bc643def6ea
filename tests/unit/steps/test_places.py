"""Places: never more holders than places, calls before further tasks, and no place is lost."""

import asyncio
from contextlib import suppress

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activityctl.steps.places import Places


class Work:
    """Tasks that hold a place until they may end, in the order in which they got it."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.begun: list[str] = []
        self.may_end = asyncio.Event()

    def begin(self, name: str, *, is_further: bool = False) -> "asyncio.Task[None]":
        return asyncio.create_task(self._hold(name, is_further=is_further))

    async def _hold(self, name: str, *, is_further: bool) -> None:
        async with self.places.one(is_further=is_further):
            self.begun.append(name)
            await self.may_end.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_calls_come_before_further_tasks_and_each_kind_keeps_its_order():
    work = Work(Places(1))
    tasks = [
        work.begin("first"),
        work.begin("further", is_further=True),
        work.begin("further too", is_further=True),
        work.begin("call"),
    ]
    await settle()
    assert work.begun == ["first"]
    work.may_end.set()
    await asyncio.gather(*tasks)
    assert work.begun == ["first", "call", "further", "further too"]


async def test_no_place_is_lost_by_those_that_do_not_wait_any_more():
    places = Places(2)
    work = Work(places)
    tasks = [work.begin(str(number), is_further=number % 2 == 0) for number in range(9)]
    await settle()
    for number in (3, 8, 5):
        tasks[number].cancel()
    tasks[0].cancel()
    await asyncio.sleep(0)  # one that waits has been given the place, and is cancelled with it
    tasks[7].cancel()
    work.may_end.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    held = [places.one() for _ in range(2)]
    async with asyncio.timeout(60), held[0], held[1]:
        late = work.begin("late")
        await settle()
        assert "late" not in work.begun
        late.cancel()
        with suppress(asyncio.CancelledError):
            await late


async def test_a_call_for_one_task_is_called_again_if_no_place_is_free_soon():
    places = Places(1, patience=0.01)

    async def call() -> None:
        async with places.soon():
            pass

    async with places.one():
        with pytest.raises(ApplicationError, match="no place") as refused:
            await ActivityEnvironment().run(call)
    assert refused.value.next_retry_delay is not None
    assert not refused.value.non_retryable
    await ActivityEnvironment().run(call)


async def test_further_firings_wait_while_many_tasks_do():
    places = Places(1, many=3, held_back=60)
    work = Work(places)
    tasks = [work.begin(str(number)) for number in range(3)]
    await settle()
    await asyncio.wait_for(places.wait_for_fewer(), 1)
    tasks.append(work.begin("3"))
    await settle()
    waiting = asyncio.create_task(places.wait_for_fewer())
    await settle()
    assert not waiting.done()
    tasks[2].cancel()
    await asyncio.wait_for(waiting, 1)
    work.may_end.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_further_firings_do_not_wait_long_for_long_tasks():
    places = Places(1, many=1, held_back=0.01)
    tasks = [Work(places).begin(str(number)) for number in range(3)]
    await settle()
    await asyncio.wait_for(places.wait_for_fewer(), 1)
    for task in tasks:
        task.cancel()
