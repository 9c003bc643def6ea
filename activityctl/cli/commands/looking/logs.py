"""`activityctl logs`: print or follow a subscription's log."""

from typing import Annotated

import typer

from activityctl.cli.options import (
    RunOption,
    Since,
    SubscriptionArgument,
    output_option,
    parse_since,
)
from activityctl.cli.render.output import check_format, print_json, print_log
from activityctl.cli.session import Session, now
from activityctl.domain.values.json_form import list_view, log_view
from activityctl.errors import UsageError
from activityctl.operations.runs.follow_logs import follow_logs, read_logs
from activityctl.wiring import Ports


def logs(
    context: typer.Context,
    subscription: SubscriptionArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Also print new entries, until Ctrl-C.")
    ] = False,
    since: Since = None,
    tail: Annotated[
        int | None, typer.Option(min=0, help="Print only the last COUNT entries.", metavar="COUNT")
    ] = None,
    run: RunOption = None,
    output: Annotated[str, output_option("text", "json", "jsonl")] = "text",
) -> None:
    """Print a subscription's log, the oldest entry first.

    activityctl logs disk-report --follow --tail 20

    activityctl logs disk-report --since 1h -o jsonl
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "jsonl"))
    if follow and shape == "json":
        raise UsageError("--follow cannot be combined with -o json", hint="use -o jsonl")

    async def read(ports: Ports) -> None:
        owner = await ports.catalog.find_subscription(subscription)
        run_id = (await ports.run_lists.find_run(run)).id if run else None
        start = parse_since(since, now())
        if follow:
            async for entry in follow_logs(
                ports.logbook,
                ports.signals,
                owner.id,
                since=start,
                run_id=run_id,
                tail=tail,
            ):
                print_log(session.out, log_view(entry), shape)
            return
        views = []
        async for entry in read_logs(
            ports.logbook, owner.id, since=start, run_id=run_id, tail=tail
        ):
            if shape == "json":
                views.append(log_view(entry))
            else:
                print_log(session.out, log_view(entry), shape)
        if shape == "json":
            print_json(session.out, list_view(views))

    session.with_ports(read)
