"""`activityctl cancel`: end a run and what it is doing."""

from typing import Annotated

import typer

from activityctl.cli.options import Timeout, seconds_of
from activityctl.cli.session import Session, now
from activityctl.cli.waiting import wait_in
from activityctl.domain.runs.run import Run
from activityctl.operations.runs.act import cancel as ask_to_cancel
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
        session.if_interrupted(
            f"run/{asked.id} is told to stop", hint=f"activityctl wait {asked.id}"
        )
        return await wait_in(session, ports, asked.id, seconds_of(timeout))

    ended = session.with_ports(work)
    session.out.print(f"run/{ended.id} {ended.status.value if wait else 'cancel requested'}")
