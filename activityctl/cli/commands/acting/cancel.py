"""`activityctl cancel`: cancel a run."""

import typer

from activityctl.cli.options import RunArgument, Timeout, WaitForRuns, parse_seconds
from activityctl.cli.server_time import server_clock
from activityctl.cli.session import Session
from activityctl.cli.wait_for_run import wait_for_run_in_session
from activityctl.domain.runs.run import Run
from activityctl.operations.runs.actions import cancel as request_cancellation
from activityctl.wiring import Ports


def cancel(
    context: typer.Context,
    run: RunArgument,
    wait: WaitForRuns = True,
    timeout: Timeout = "1m",
) -> None:
    """Cancel a run, stop its tasks and wait for their end; exit 8 if it has not ended in time.

    activityctl cancel 3f2a
    """
    session: Session = context.obj

    async def work(ports: Ports) -> Run:
        clock = await server_clock(ports)
        found = await request_cancellation(ports.runs, ports.run_lists, run, clock())
        if not wait:
            return found
        session.set_interrupt_message(
            f"cancellation of run/{found.id} was requested", hint=f"activityctl wait {found.id}"
        )
        return await wait_for_run_in_session(session, ports, found.id, parse_seconds(timeout))

    ended = session.with_ports(work)
    is_known = wait or ended.has_ended
    session.out.print(f"run/{ended.id} {ended.status.value if is_known else 'cancel requested'}")
