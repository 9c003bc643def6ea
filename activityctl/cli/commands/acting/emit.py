"""`activityctl emit`: hand in events."""

from typing import Annotated

import typer

from activityctl.cli.emit_flow import opened_input, store
from activityctl.cli.emit_options import EventOptions
from activityctl.cli.options import Timeout, parse_seconds
from activityctl.cli.render.emit_dry_run import rehearse
from activityctl.cli.render.output import Format, check_format
from activityctl.cli.session import Session
from activityctl.operations.events.dry_run import DryRunIndex
from activityctl.wiring import Ports


def emit(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE", help="One event, an array, or JSON lines of any length; - for stdin."
        ),
    ] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Make an event of this type by hand.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Its source; /activityctl/emit unless said.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="What it happened to.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Its data: JSON, @file or - for stdin.", metavar="JSON")
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="Its id; the same one is never stored twice.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="When it happened (RFC 3339).", metavar="WHEN")
    ] = None,
    extension: Annotated[
        list[str] | None, typer.Option(help="An attribute of your own.", metavar="NAME=VALUE")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fill in no id and no time; refuse such events.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Store nothing; show who would wake, and why not.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the runs that the events start to end.")
    ] = False,
    timeout: Timeout = "5m",
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="text, json or jsonl; with --dry-run also wide: every trigger that sleeps.",
            metavar="FORMAT",
        ),
    ] = "text",
) -> None:
    """Store events; each subscription that matches gets exactly one run for each of them.

    Exit 0 once all are stored, or were before; 3 when one is invalid, 5 when one has the source
    and id of another event, and the rest is stored all the same. A repeat is harmless.

    activityctl emit orders.jsonl

    tail -f orders.jsonl | activityctl emit - -o jsonl

    activityctl emit --type order.paid --source /shop --data '{"amount": 12}' --wait
    """
    session: Session = context.obj
    shape: Format = check_format(
        output, ("text", "wide", "json", "jsonl") if dry_run else ("text", "json", "jsonl")
    )
    attributes = {"type": type_, "source": source, "subject": subject, "id": id_, "time": time}
    by_hand = EventOptions(attributes, data, extension or ())
    seconds = parse_seconds(timeout) if wait else None

    async def audience(ports: Ports) -> DryRunIndex:
        return DryRunIndex(await ports.catalog.present())

    with opened_input(file, by_hand, strict=strict) as given:
        if dry_run:
            listening = session.with_ports(audience)
            code = rehearse(session, listening, given.offers, shape)
        else:
            code = session.with_ports(lambda ports: store(session, ports, given, shape, seconds))
    if code:
        raise typer.Exit(code)
