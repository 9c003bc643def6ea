"""Obstacles: why what was asked of the workers is not done yet."""

from collections.abc import Sequence

from activityctl.domain.runs.worker import WorkerBeat
from activityctl.ports import Workers


async def obstacle_of_workers(workers: Workers) -> str | None:
    """Return what keeps all work waiting, as far as it is known; None if nothing is known.

    UnreachableError if it is Postgres: it does not answer, or its disk is full.
    """
    await workers.require_space()
    alive = await workers.alive()
    return obstacle_among(alive) if alive else "no worker is running"


def obstacle_among(alive: Sequence[WorkerBeat]) -> str | None:
    """Return the first loop of living workers that keeps failing, with its error."""
    for worker in alive:
        for trouble in worker.troubles:
            if trouble.failures > 1:  # a single failure may be over already
                return (
                    f"the loop {trouble.loop} of the worker on {worker.host}, pid {worker.pid}, "
                    f"fails: {trouble.error}"
                )
    return None
