"""`activityctl cancel`: end a run and what it is doing."""

from typing import Annotated

import typer

from activityctl.cli.options import Timeout, parse_seconds
from activityctl.cli.session import Session, now
from activityctl.cli.wait_for_run import wait_for_run_in_session
from activityctl.domain.runs.run import Run
from activityctl.operations.runs.actions import cancel as ask_to_cancel
from activityctl.wiring import Ports


def cancel(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id or a prefix of it.")],
    wait: Annotated[bool, typer.Option(help="Wait until the run has ended.")] = True,
    timeout: Timeout = "30s",
) -> None:
    """Cancel a run and stop what it is doing.

    activityctl cancel 3f2a
    """
    session: Session = context.obj

    async def work(ports: Ports) -> Run:
        asked = await ask_to_cancel(ports.runs, ports.run_lists, run, now())
        if not wait:
            return asked
        session.set_interrupt_message(
            f"run/{asked.id} is told to stop", hint=f"activityctl wait {asked.id}"
        )
        return await wait_for_run_in_session(session, ports, asked.id, parse_seconds(timeout))

    ended = session.with_ports(work)
    session.out.print(f"run/{ended.id} {ended.status.value if wait else 'cancel requested'}")
