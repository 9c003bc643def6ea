"""Wait for the end of a run with the ports of a session."""

import asyncio
from typing import Final

from activityctl import wiring
from activityctl.cli.session import Session
from activityctl.domain.runs.run import Run
from activityctl.errors import ActivityctlError
from activityctl.operations.runs.wait import wait_for_run

_SECONDS_TO_CONNECT: Final = 2.0


async def wait_for_run_in_session(
    session: Session, ports: wiring.Ports, run_id: str, seconds: float
) -> Run:
    """Return the run once it has ended; say on stderr what it waits for: a worker, or tasks.

    WaitTimeoutError if it has not ended in time; for the reason, Temporal is asked whether it
    answers.
    """

    async def reaches_temporal() -> bool:
        try:
            async with asyncio.timeout(_SECONDS_TO_CONNECT):
                await wiring.connect_temporal(session.settings)
        except (ActivityctlError, TimeoutError):
            return False
        return True

    return await wait_for_run(
        ports.run_lists,
        ports.workers,
        run_id,
        timeout_seconds=seconds,
        reaches_temporal=reaches_temporal,
        on_progress=lambda state: session.err.print(f"run/{run_id} {state}"),
    )
