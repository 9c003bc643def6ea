"""`activityctl wait`: wait until a run has ended."""

import typer

from activityctl.cli.options import RunArgument, TextOrJson, Timeout
from activityctl.cli.render.output import check_format, print_json, print_run_end
from activityctl.cli.session import Session
from activityctl.cli.wait_for_run import wait_for_run_in_session
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.time_range import parse_seconds
from activityctl.wiring import Ports


def wait(
    context: typer.Context,
    run: RunArgument,
    timeout: Timeout = "5m",
    output: TextOrJson = "text",
) -> None:
    """Wait until a run has ended; exit 1 if it failed, 8 if it has not ended in time.

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
