"""`activityctl emit`: store events."""

from functools import partial
from typing import Annotated

import typer

from activityctl.cli.emit_flow import open_input, store_events
from activityctl.cli.emit_options import DEFAULT_SOURCE, EventOptions
from activityctl.cli.options import WAIT_FOR_RUNS, DryRun, Timeout, output_option
from activityctl.cli.render.emit_dry_run import print_dry_run
from activityctl.cli.render.output import Format, check_format
from activityctl.cli.session import Session
from activityctl.cli.verbs.explain import explain_of
from activityctl.domain.values.time_range import parse_seconds
from activityctl.wiring import Ports


def emit(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="A file with one event, an array of events or JSON lines; - for standard input.",
        ),
    ] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Make one event: its type.", metavar="TYPE")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help=f"The source of that event; {DEFAULT_SOURCE} if you give none."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="The subject of that event: the thing it is about.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="The data of that event: JSON, @FILE, or - for standard input.", metavar="JSON"
        ),
    ] = None,
    id_: Annotated[
        str | None,
        typer.Option(
            "--id",
            help="The id of that event. An id of the same source is stored only once.",
            metavar="ID",
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(help="The time of that event, such as 2026-12-31T18:00:00Z.", metavar="WHEN"),
    ] = None,
    extension: Annotated[
        list[str] | None,
        typer.Option(help="Another attribute of that event.", metavar="NAME=VALUE"),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Fill in no missing fields; refuse an event that lacks a required one."
        ),
    ] = False,
    dry_run: DryRun = False,
    wait: Annotated[bool, typer.Option("--wait", help=WAIT_FOR_RUNS)] = False,
    timeout: Timeout = "5m",
    output: Annotated[
        str,
        output_option(
            "text",
            "json",
            "jsonl",
            note="; with --dry-run also wide, which shows all triggers",
            noted=("wide",),
        ),
    ] = "text",
) -> None:
    """Store events; each subscription that matches gets exactly one run for each event.

    Exit 0 if all events are stored now or were stored before. Exit 3 if an event is invalid, 5 if
    it has the source and id of another event; the other events are stored. You can repeat the
    command: no event is stored twice.

    activityctl emit orders.jsonl

    tail -f orders.jsonl | activityctl emit - -o jsonl

    activityctl emit --type order.paid --source /shop --data '{"amount": 12}' --wait
    """
    session: Session = context.obj
    shape: Format = check_format(
        output, ("text", "wide", "json", "jsonl") if dry_run else ("text", "json", "jsonl")
    )
    attributes = {"type": type_, "source": source, "subject": subject, "id": id_, "time": time}
    options = EventOptions(attributes, data, extension or ())
    seconds = parse_seconds(timeout) if wait else None

    async def work(ports: Ports) -> int:
        if not dry_run:
            return await store_events(session, ports, events, shape, seconds)
        verbs = explain_of(session, ports)
        return await print_dry_run(session, partial(verbs.dry_run, events.offers), shape)

    with open_input(file, options, strict=strict) as events:
        code = session.with_ports(work)
    if code:
        raise typer.Exit(code)
