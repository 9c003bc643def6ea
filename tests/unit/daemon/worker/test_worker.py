"""A worker that gets a stop signal ends all its tasks."""

import asyncio

from activityctl.daemon.worker.worker import end_tasks


async def test_a_task_that_ignores_its_first_cancellations_is_ended():
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed > 2:
                    raise

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(stubborn())
        await asyncio.sleep(0)
        await end_tasks([task])
    assert task.done()
    assert swallowed == 3
