"""Loops: calls the work of a worker again and again, each at its own pace."""

import asyncio
from collections.abc import Awaitable, Callable

from activityctl.daemon.worker.loop_guard import LoopGuard
from activityctl.frozen_dataclass import frozen_dataclass

Wait = Callable[[asyncio.Event | None, float], Awaitable[None]]
"""Waits for the seconds, or until the event is set."""


@frozen_dataclass
class Loop:
    """One loop of a worker. The guide page Architecture describes each by its name."""

    name: str
    work: Callable[[], Awaitable[float | None]]
    """Its answer is the number of seconds until it is needed again, or None."""
    every: float
    """The most seconds between a success and the next call."""
    wake: asyncio.Event | None = None
    """Set by whoever has work for it."""
    longest_pause: float = 60.0
    """The most seconds between a failure and the next call."""


async def repeat(loop: Loop, guard: LoopGuard, wait: Wait) -> None:
    """Work without end. After a failure the guard waits, later and later, and nothing else does."""
    while True:
        if loop.wake is not None:
            loop.wake.clear()
        seconds = await guard.attempt(loop.name, loop.work, longest=loop.longest_pause)
        if not guard.is_failing(loop.name):
            await wait(loop.wake, loop.every if seconds is None else min(seconds, loop.every))


async def wait_for(event: asyncio.Event | None, seconds: float) -> None:
    """Wait for the seconds, or until the event is set."""
    if event is None:
        await asyncio.sleep(seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
