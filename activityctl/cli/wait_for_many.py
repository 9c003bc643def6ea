"""Wait for the runs of a command on many objects, with a line that counts them on a terminal."""

from collections.abc import Sequence

from activityctl.cli.session import Session
from activityctl.cli.told_waits import told_wait
from activityctl.cli.verbs.choose import verbs_of
from activityctl.domain.runs.run import Run
from activityctl.domain.values.ids import RunId
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import WaitTimeoutError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.runs.letters import wait_for_runs
from activityctl.operations.runs.wait import obstacle_of
from activityctl.wiring import Ports


@frozen_dataclass
class Waited:
    """The runs that ended, and the error if not all did in time."""

    ended: tuple[Run, ...] = ()
    late: WaitTimeoutError | None = None

    def require_all(self) -> None:
        """Raise the error, if there is one; what is known has been printed before."""
        if self.late is not None:
            raise self.late


def wait_for_many(
    session: Session,
    run_ids: Sequence[RunId],
    wait: bool | None,  # an option of the command
    seconds: float,
    *,
    recorded: str,
    hint: str,
    without_worker: str = "the runs start when a worker starts",
) -> Waited:
    """Wait until all runs have ended or the time is up; not if no worker is alive.

    With `wait` True, wait for a worker too. `recorded` is what Ctrl-C reports.
    """
    if not run_ids:
        return Waited()
    session.set_interrupt_message(f"{recorded}; the worker continues with them", hint=hint)

    async def work(ports: Ports) -> Waited:
        has_worker = bool(await ports.workers.alive())
        if not has_worker:
            session.err.print(f"no worker is running; {without_worker}")
        if wait is False or (wait is None and not has_worker):
            return Waited()
        with session.status(f"0 of {len(run_ids):,} runs have ended") as update:
            waiting = wait_for_runs(
                ports.run_lists,
                run_ids,
                seconds,
                on_progress=lambda done, all_: update(f"{done:,} of {all_:,} runs have ended"),
            )
            ended = await told_wait(session, ports, waiting, recorded)
        known = {run.id for run in ended}
        late = next((run_id for run_id in run_ids if run_id not in known), None)
        if late is None:
            return Waited(tuple(ended))
        reaches_temporal = verbs_of(session, ports).reaches_temporal
        reason, better_hint = await obstacle_of(
            ports.run_lists, ports.workers, late, reaches_temporal
        )
        message = (
            f"{len(ended):,} of {count_noun(len(run_ids), 'run')} have ended; the others go on: "
            f"run {late[:8]} is {reason}"
        )
        return Waited(tuple(ended), WaitTimeoutError(message, hint=better_hint or hint))

    return session.with_ports(work)
