"""`activityctl wait`: until a run has ended."""

from typing import Annotated

import typer

from activityctl.cli.options import Output, Timeout, parse_seconds
from activityctl.cli.render.output import check_format, print_json, print_run_end
from activityctl.cli.session import Session
from activityctl.cli.wait_for_run import wait_for_run_in_session
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.wiring import Ports


def wait(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id or a prefix of it.")],
    timeout: Timeout = "5m",
    output: Output = "text",
) -> None:
    """Wait until a run has ended; exit 1 when it did not succeed, 8 when time is up.

    activityctl wait 3f2a --timeout 10m
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))

    async def work(ports: Ports) -> Run:
        found = await ports.run_lists.find_run(run)
        return await wait_for_run_in_session(session, ports, found.id, parse_seconds(timeout))

    ended = session.with_ports(work)
    if shape == "json":
        print_json(session.out, run_view(ended))
    else:
        print_run_end(session.out, run_view(ended))
    if ended.status not in {RunStatus.SUCCEEDED, RunStatus.SKIPPED}:
        raise typer.Exit(1)
