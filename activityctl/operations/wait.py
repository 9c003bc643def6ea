"""Wait for a run to end."""

import asyncio
from typing import Final

from activityctl.domain.run import Run
from activityctl.domain.selection import Selection
from activityctl.errors import WaitTimeoutError
from activityctl.ports import RunLists

_FIRST_POLL: Final = 0.02
_LONGEST_POLL: Final = 0.5


async def wait_for_run(lists: RunLists, run_id: str, *, timeout_seconds: float) -> Run:
    """Return the run once it has ended; WaitTimeoutError when it has not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    pause = _FIRST_POLL
    while True:
        found = await lists.runs(Selection(run_id=run_id, limit=1))
        if found and found[0].has_ended:
            return found[0]
        if loop.time() >= deadline:
            state = found[0].status.value if found else "waiting for a worker"
            raise WaitTimeoutError(
                f"run {run_id} has not ended after {timeout_seconds:g}s: {state}",
                hint=f"activityctl describe run {run_id}" if found else "activityctl status",
            )
        await asyncio.sleep(min(pause, max(deadline - loop.time(), 0.0)))
        pause = min(pause * 1.5, _LONGEST_POLL)
