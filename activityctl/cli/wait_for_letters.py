"""Wait for the runs of retried letters, with a line that counts them on a terminal."""

from collections.abc import Sequence

from activityctl.cli.letters import not_all_ended
from activityctl.cli.session import Session
from activityctl.domain.runs.run import Run
from activityctl.domain.values.ids import RunId
from activityctl.operations.runs.letters import wait_for_runs
from activityctl.wiring import Ports


def wait_for_retries(
    session: Session,
    run_ids: Sequence[RunId],
    wait: bool | None,  # an option of the command
    seconds: float,
) -> list[Run]:
    """Return the runs once all have ended; none if nobody waits or no worker is alive.

    WaitTimeoutError if they have not ended in time.
    """
    session.set_interrupt_message(
        "the retries are recorded; the worker continues with them",
        hint="activityctl dlq list --status retried",
    )

    async def work(ports: Ports) -> list[Run]:
        has_worker = bool(await ports.workers.alive())
        if not has_worker:
            session.err.print("no worker is running; the runs start when a worker starts")
        if wait is False or (wait is None and not has_worker):
            return []
        with session.status(f"0 of {len(run_ids):,} runs have ended") as update:
            return await wait_for_runs(
                ports.run_lists,
                run_ids,
                seconds,
                on_progress=lambda done, all_: update(f"{done:,} of {all_:,} runs have ended"),
            )

    ended = session.with_ports(work)
    if ended and len(ended) < len(run_ids):
        raise not_all_ended(len(ended), len(run_ids))
    return ended
