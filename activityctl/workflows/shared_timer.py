"""SharedTimer: one timer of Temporal for the times at which the runs of a workflow look up.

Most runs of a burst have the same deadline and end long before it. A timer for each, which is
started and cancelled, would cost the server more than the rest of the run.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow

_SAME = timedelta(milliseconds=10)
"""Times that are no further apart share a timer."""


class SharedTimer:
    """Wakes each run at its time."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], datetime] = {}
        self._timers: dict[asyncio.Task[None], datetime] = {}

    async def sleep(self, seconds: float) -> None:
        """Sleep for so long, with others that wake at the same time or earlier."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[woken] = workflow.now() + timedelta(seconds=seconds)
        self._start()
        try:
            await woken
        finally:
            del self._waiting[woken]

    def _start(self) -> None:
        """Start a timer for the next time, unless one ends by then."""
        times = [time for woken, time in self._waiting.items() if not woken.done()]
        ends = min(self._timers.values(), default=None)
        if times and (ends is None or min(times) + _SAME < ends):
            timer = asyncio.create_task(self._wake_at(min(times)))
            self._timers[timer] = min(times)
            timer.add_done_callback(lambda ended: self._timers.pop(ended, None))

    async def _wake_at(self, time: datetime) -> None:
        await workflow.sleep(max((time - workflow.now()).total_seconds(), 0.001))
        self._timers = {timer: at for timer, at in self._timers.items() if at > time}
        for woken, at in self._waiting.items():
            if at <= workflow.now() + _SAME and not woken.done():
                woken.set_result(None)
        self._start()


async def wait_first(
    tasks: Sequence["asyncio.Task[Any]"], seconds: float | None, timer: SharedTimer | None
) -> list["asyncio.Task[Any]"]:
    """Wait for the first of the tasks; return none of them when so many seconds are over."""
    if timer is None or seconds is None:
        done, _ = await workflow.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return list(done)
    sleeping = asyncio.create_task(timer.sleep(seconds))
    try:
        done, _ = await workflow.wait([*tasks, sleeping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeping.cancel()
    return [task for task in done if task is not sleeping]
