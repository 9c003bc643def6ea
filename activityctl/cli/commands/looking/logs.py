"""`activityctl logs`: print or follow a subscription's log."""

from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import typer

from activityctl.cli.completion import subscription_names
from activityctl.cli.options import (
    RunOption,
    Since,
    Until,
    output_option,
    parse_time_range,
)
from activityctl.cli.render.output import Format, check_format, print_json, print_log
from activityctl.cli.session import Session, now
from activityctl.cli.streams import output_has_failed
from activityctl.domain.values.json_form import list_view, log_view
from activityctl.domain.values.log import LogEntry
from activityctl.errors import UnreachableError, UsageError
from activityctl.operations.runs.follow_logs import follow_logs, log_of, read_logs
from activityctl.wiring import Ports


def logs(
    context: typer.Context,
    subscription: Annotated[
        str,
        typer.Argument(
            metavar="SUB",
            help="The subscription's name, its id or the first characters of the id; or run/ID "
            "for the log of one run.",
            autocompletion=subscription_names,
        ),
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Also print new entries, until Ctrl-C.")
    ] = False,
    since: Since = None,
    until: Until = None,
    tail: Annotated[
        int | None, typer.Option(min=0, help="Print only the last COUNT entries.", metavar="COUNT")
    ] = None,
    run: RunOption = None,
    output: Annotated[str, output_option("text", "json", "jsonl")] = "text",
) -> None:
    """Print a subscription's log, the oldest entry first.

    The time range selects entries by the time at which they were written.

    activityctl logs disk-report --follow --tail 20

    activityctl logs disk-report --since 2h --until 1h -o jsonl

    activityctl logs run/3f2a
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "jsonl"))
    if follow and shape == "json":
        raise UsageError("--follow cannot be combined with -o json", hint="use -o jsonl")
    if follow and until is not None:
        raise UsageError("--follow cannot be combined with --until")
    first, last = parse_time_range(since, until, now())

    async def read(ports: Ports) -> None:
        owner_id, run_id = await log_of(ports.catalog, ports.run_lists, subscription, run)
        if follow:
            followed = follow_logs(
                ports.logbook,
                ports.signals,
                owner_id,
                since=first,
                run_id=run_id,
                tail=tail,
                on_outage=lambda error: _tell_outage(session, error),
            )
            await _print_each(session, followed, shape)
            return
        if last is None:
            entries = read_logs(ports.logbook, owner_id, since=first, run_id=run_id, tail=tail)
        else:
            entries = _before(
                read_logs(ports.logbook, owner_id, since=first, run_id=run_id), last, tail
            )
        if shape == "json":
            print_json(session.out, list_view([log_view(entry) async for entry in entries]))
        else:
            await _print_each(session, entries, shape)

    session.with_ports(read)


async def _print_each(session: Session, entries: AsyncIterator[LogEntry], shape: Format) -> None:
    """Print the entries as they come, until nothing can be written any more."""
    async for entry in entries:
        print_log(session.out, log_view(entry), shape)
        if output_has_failed():
            return


def _tell_outage(session: Session, error: UnreachableError | None) -> None:
    if error is None:
        session.err.print("Postgres answers again; the log goes on after its last line")
    else:
        session.err.print(f"{error.message}; waiting until it answers again (Ctrl-C ends this)")


async def _before(
    entries: AsyncIterator[LogEntry], end: datetime, tail: int | None
) -> AsyncIterator[LogEntry]:
    """Yield the entries that are older than `end`; with a tail, only the last of them."""
    newest: deque[LogEntry] = deque(maxlen=tail)
    async for entry in entries:
        if entry.created_at < end:
            if tail is None:
                yield entry
            else:
                newest.append(entry)
    for entry in newest:
        yield entry
