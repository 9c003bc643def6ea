"""A worker that is told to stop stops, whatever its chores are waiting for."""

import asyncio

from activityctl.daemon.worker.worker import end_tasks


async def test_a_chore_that_swallows_a_cancellation_is_ended_all_the_same():
    swallowed = 0

    async def chore() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed > 2:
                    raise

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(chore())
        await asyncio.sleep(0)
        await end_tasks([task])
    assert task.done()
    assert swallowed == 3
