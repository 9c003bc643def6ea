"""Wait until a run ends; if it does not end in time, find out why."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from activityctl.domain.runs.accepted import WAITS_FOR_WORKER
from activityctl.domain.runs.run import Run, RunStatus, TaskStatus
from activityctl.domain.runs.stopping import waiting_text
from activityctl.domain.runs.stuck import advice_on, cause_of
from activityctl.domain.values.selection import Selection
from activityctl.errors import WaitTimeoutError
from activityctl.operations.looking.obstacles import obstacle_among
from activityctl.ports import RunLists, Workers

_FIRST_POLL: Final = 0.02
_LONGEST_POLL: Final = 0.5
_STUCK_FOR: Final = 10.0
"""A run that is stuck for so many seconds is not waited for: a worker ends one that is cancelled
within some seconds, and one of another version goes on with it as soon."""

ReachabilityCheck = Callable[[], Awaitable[bool]]
"""Returns whether Temporal answers; called once, when time is up."""


async def wait_for_run(
    lists: RunLists,
    workers: Workers,
    run_id: str,
    *,
    timeout_seconds: float,
    told_seconds: float | None = None,
    reaches_temporal: ReachabilityCheck,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Run:
    """Return the run once it has ended; WaitTimeoutError says why it has not ended in time.

    `on_progress` hears at once if no worker is running, and of a run that is cancelling for which
    tasks it waits. `told_seconds` is the whole time of a wait that goes on after an outage.
    """
    told_seconds = timeout_seconds if told_seconds is None else told_seconds
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    pause = _FIRST_POLL
    stuck_since: float | None = None
    told = ""
    is_first = True
    while True:
        found = await lists.runs(Selection(run_id=run_id, limit=1))
        run = found[0] if found else None
        if run is not None and run.has_ended:
            return run
        stuck_since = None if run is None or not run.is_stuck else stuck_since or loop.time()
        if run is not None and stuck_since is not None and loop.time() >= stuck_since + _STUCK_FOR:
            reason = run.stuck_reason or ""
            raise WaitTimeoutError(
                f"run {run_id} is stuck and has not ended: {cause_of(reason)}: {reason}",
                hint=f"{advice_on(reason)}, or cancel it with a running worker: "
                f"activityctl cancel {run_id}",
            )
        if is_first and not await workers.alive():
            what = "is recorded" if run is None else "cannot go on"
            on_progress(f"{what}; no worker is running, waiting for one")
        is_first = False
        state = await _state_of(run, lists)
        if run is not None and run.status is RunStatus.CANCELLING and state != told:
            told = state
            on_progress(state)
        if loop.time() >= deadline:
            reason, hint = await _find_obstacle(
                run_id, run, state, lists, workers, reaches_temporal
            )
            raise WaitTimeoutError(
                f"run {run_id} has not ended after {told_seconds:g}s: {reason}",
                hint=hint or f"activityctl describe run {run_id}",
            )
        await asyncio.sleep(min(pause, max(deadline - loop.time(), 0.0)))
        pause = min(pause * 1.5, _LONGEST_POLL)


async def obstacle_of(
    lists: RunLists, workers: Workers, run_id: str, reaches_temporal: ReachabilityCheck
) -> tuple[str, str | None]:
    """Return why the run has not ended, and a hint when the cause is outside the run."""
    found = await lists.runs(Selection(run_id=run_id, limit=1))
    run = found[0] if found else None
    state = await _state_of(run, lists)
    return await _find_obstacle(run_id, run, state, lists, workers, reaches_temporal)


async def _state_of(run: Run | None, lists: RunLists) -> str:
    if run is None:
        return "not started"
    if run.status is not RunStatus.CANCELLING:
        return run.status.value
    tasks = await lists.tasks(Selection(run_id=run.id, statuses=(TaskStatus.RUNNING,), limit=None))
    return f"{run.status}, {waiting_text(tasks)}"


async def _find_obstacle(
    run_id: str,
    run: Run | None,
    state: str,
    lists: RunLists,
    workers: Workers,
    reaches_temporal: ReachabilityCheck,
) -> tuple[str, str | None]:
    """Return why the run has not ended, and a hint when the cause is outside the run."""
    alive = await workers.alive()
    if not alive:
        return f"{state}, no worker is running", "activityctl status"
    if not await reaches_temporal():
        return f"{state}, Temporal does not answer", "activityctl doctor"
    if run is None:
        accepted = await lists.accepted(Selection(run_id=run_id))
        if accepted and accepted[0].reason != WAITS_FOR_WORKER:
            return f"not started, {accepted[0].reason}", None
        if (obstacle := obstacle_among(alive)) is not None:
            return f"not started: {obstacle}", "activityctl doctor"
        return "not started, although a worker is running", "activityctl doctor"
    return (run.reason if run.status is RunStatus.QUEUED and run.reason else state), None
