"""`activityctl next`: show the next firings of subscriptions."""

import re
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Annotated, Final

import typer

from activityctl import wiring
from activityctl.cli.completion import subscription_names
from activityctl.cli.options import Files, Recursive, TriggerOption, output_option, parse_time
from activityctl.cli.render.next_text import MOST_LISTED, print_upcoming
from activityctl.cli.render.output import check_format
from activityctl.cli.session import Session, now
from activityctl.errors import UsageError
from activityctl.operations.gitops.load import load_manifests
from activityctl.operations.looking.upcoming import TimeRange, upcoming, upcoming_of_files

_DEFAULT: Final = 10
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def next(  # noqa: A001  # the command's name
    context: typer.Context,
    subscription: Annotated[
        str | None,
        typer.Argument(
            metavar="[SUB]",
            help="The subscription's name, its id or the first characters of the id. Not needed "
            "with -f.",
            autocompletion=subscription_names,
        ),
    ] = None,
    files: Files = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
    trigger: TriggerOption = None,
    count: Annotated[
        int | None,
        typer.Option(
            "-n",
            min=1,
            max=MOST_LISTED,
            help="How many firings to show; without it 10, or all if --until is given.",
        ),
    ] = None,
    start: Annotated[
        str,
        typer.Option("--from", help="From when: RFC 3339, a day (UTC), 2h, -1d.", metavar="WHEN"),
    ] = "now",
    until: Annotated[
        str | None, typer.Option(help="Until when: RFC 3339, a day (UTC), 2h, 7d.", metavar="WHEN")
    ] = None,
    output: Annotated[str, output_option("text", "json", "jsonl")] = "text",
) -> None:
    """Show when a subscription fires next, and why a firing is moved or skipped.

    With -f, show the firings of manifests that are not yet applied; this needs no server.

    activityctl next disk-report -n 20

    activityctl next -f definitions/ --from 2027-03-28 --until 2027-03-29
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "jsonl"))
    at = now()
    time_range = replace(_time_range(count, start, until, at), trigger=trigger)
    if files:
        manifests = load_manifests(
            wiring.manifest_source(), files, wiring.known_kinds(), recursive=recursive
        )
        firings = upcoming_of_files(manifests, subscription, time_range, at)
    elif subscription is None:
        raise UsageError("name a subscription, or manifests with -f", hint="activityctl next SUB")
    else:
        read = partial(upcoming, reference=subscription, time_range=time_range, now=at)
        firings = [
            session.with_ports(lambda ports: read(ports.catalog, ports.register, ports.outbox))
        ]
    print_upcoming(session.out, session.err, firings, time_range, shape)


def _time_range(count: int | None, start: str, until: str | None, at: datetime) -> TimeRange:
    first = _point(start, at)
    last = None if until is None else _point(until, at)
    if last is not None and last < first:
        raise UsageError(f"--until {until} is before --from {start}")
    return TimeRange(first, last, count or (_DEFAULT if last is None else MOST_LISTED))


def _point(text: str, at: datetime) -> datetime:
    return parse_time(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text, at)
