"""Wait for the end of a run with the ports of a session."""

from activityctl import wiring
from activityctl.cli.session import Session
from activityctl.cli.told_waits import told_wait
from activityctl.cli.verbs.choose import verbs_of
from activityctl.domain.runs.run import Run
from activityctl.operations.runs.wait import wait_for_run


async def wait_for_run_in_session(
    session: Session, ports: wiring.Ports, run_id: str, seconds: float
) -> Run:
    """Return the run once it has ended; say on stderr what it waits for: a worker, or tasks.

    Every five seconds, say what keeps the workers from their work, if it is known.

    WaitTimeoutError if it has not ended in time; for the reason, Temporal is asked whether it
    answers.
    """
    waiting = wait_for_run(
        ports.run_lists,
        ports.workers,
        run_id,
        timeout_seconds=seconds,
        reaches_temporal=verbs_of(session, ports).reaches_temporal,
        on_progress=lambda state: session.err.print(f"run/{run_id} {state}"),
    )
    return await told_wait(session, ports, waiting, f"run/{run_id} goes on by itself")
