"""An attempt at work is not started again in this process, and ends when nobody wants it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activityctl.steps import attempts
from activityctl.steps.attempts import RunningAttempts
from activityctl.workflows.calls import Orders

LOST = ActivityCancellationDetails(not_found=True)
ORDERS = Orders("run", is_over=True)


class Bench:
    """One task whose attempt waits until it is told to end; calls come from the server."""

    def __init__(self) -> None:
        self.starts = 0
        self.joins = 0
        self.stopped = False
        self.wanted = True
        self.may_end = asyncio.Event()
        self.attempts = RunningAttempts(self.is_wanted)

    async def is_wanted(self, _task_id: str) -> bool:
        return self.wanted

    async def work(self) -> Orders:
        self.starts += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        return ORDERS

    async def joined(self) -> None:
        self.joins += 1

    async def call(self) -> "Call":
        """Call as the server does when it starts an attempt; return once it waits."""
        call = Call(lambda: self.attempts.run("task", self.work, self.joined))
        await asyncio.sleep(0.01)
        return call


class Call:
    """One call of the step, as the SDK makes it."""

    def __init__(self, body: Callable[[], Awaitable[Orders]]) -> None:
        self.environment = ActivityEnvironment()

        async def activity() -> Orders:
            return await body()

        self.result = asyncio.ensure_future(self.environment.run(activity))

    async def cancel(self, details: ActivityCancellationDetails) -> None:
        self.environment.cancel(details)
        await asyncio.wait({self.result})
        assert self.result.cancelled()


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_a_second_call_waits_for_the_attempt_at_work(bench: Bench) -> None:
    first, second = await bench.call(), await bench.call()
    bench.may_end.set()
    assert await first.result == await second.result == ORDERS
    assert (bench.starts, bench.joins) == (1, 1)


async def test_an_attempt_taken_for_lost_continues_and_the_next_call_gets_its_result(
    bench: Bench,
) -> None:
    first = await bench.call()
    await first.cancel(LOST)
    second = await bench.call()
    assert not bench.stopped
    bench.may_end.set()
    assert await second.result == ORDERS
    assert bench.starts == 1


async def test_after_its_end_a_task_can_be_started_again(bench: Bench) -> None:
    bench.may_end.set()
    await (await bench.call()).result
    await (await bench.call()).result
    assert (bench.starts, bench.joins) == (2, 0)


async def test_a_cancellation_on_request_ends_the_attempt(bench: Bench) -> None:
    call = await bench.call()
    await call.cancel(ActivityCancellationDetails(cancel_requested=True))
    assert bench.stopped


async def test_a_cancellation_of_the_second_call_ends_the_attempt_for_the_first_too(
    bench: Bench,
) -> None:
    first, second = await bench.call(), await bench.call()
    await second.cancel(ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(ApplicationError, match="stopped by another call"):
        await first.result
    assert bench.stopped


async def test_the_stop_of_the_worker_ends_the_attempt(bench: Bench) -> None:
    call = await bench.call()
    await call.cancel(ActivityCancellationDetails(worker_shutdown=True))
    assert bench.stopped


async def test_closing_ends_an_attempt_that_no_call_waits_for(bench: Bench) -> None:
    await (await bench.call()).cancel(LOST)
    await bench.attempts.close()
    assert bench.stopped


async def test_an_attempt_taken_for_lost_ends_when_it_is_not_wanted_any_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_CHECK_EVERY", 0.01)
    await (await bench.call()).cancel(LOST)
    await asyncio.sleep(0.05)
    assert not bench.stopped
    bench.wanted = False
    async with asyncio.timeout(60):
        while not bench.stopped:
            await asyncio.sleep(0.01)
