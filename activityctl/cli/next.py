"""`activityctl next`: what a subscription's triggers are due."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from activityctl import wiring
from activityctl.cli.completion import subscription_names
from activityctl.cli.options import Recursive
from activityctl.cli.output import Column, Format, check_format, print_views, visible
from activityctl.cli.points import point_of
from activityctl.cli.session import Session, now
from activityctl.domain.occurrence import occurrence_view
from activityctl.errors import UsageError
from activityctl.operations.load import load_manifests
from activityctl.operations.upcoming import Span, Upcoming, merged, upcoming, upcoming_of_files
from activityctl.wiring import Ports

_DEFAULT: Final = 10
_MOST: Final = 10_000
_COLUMNS: Final[tuple[Column, ...]] = (
    ("TRIGGER", lambda view: view["trigger"]),
    ("DUE", lambda view: _short(view["dueAt"])),
    ("LOCAL TIME", lambda view: view["localTime"]),
    ("FIRES", lambda view: _short(view["firesAt"])),
    ("NOTE", lambda view: view["note"]),
)
_OWNER: Final[Column] = ("SUBSCRIPTION", lambda view: view["subscription"])


def next(  # noqa: A001  # the command's name
    context: typer.Context,
    subscription: Annotated[
        str | None, typer.Argument(metavar="[SUB]", autocompletion=subscription_names)
    ] = None,
    files: Annotated[
        list[str],
        typer.Option(
            "--filename",
            "-f",
            help="Manifests not yet applied: a file, folder, quoted glob, or - for stdin.",
            metavar="PATH",
        ),
    ] = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
    count: Annotated[
        int | None,
        typer.Option("-n", min=1, max=_MOST, help="How many; 10, and all with --until."),
    ] = None,
    start: Annotated[
        str, typer.Option("--from", help="From when: RFC 3339, 2h, -1d.", metavar="WHEN")
    ] = "now",
    until: Annotated[
        str | None, typer.Option(help="Until when: RFC 3339, 2h, 7d.", metavar="WHEN")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="text, json or jsonl.", metavar="FORMAT")
    ] = "text",
) -> None:
    """Show when a subscription fires next, and what moves or excludes a firing.

    activityctl next disk-report -n 20

    activityctl next -f definitions/ --from 2027-03-28T00:00:00Z --until 2027-03-29T00:00:00Z
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "jsonl"))
    at = now()
    span = _span(count, start, until, at)
    if files:
        manifests = load_manifests(
            wiring.manifest_source(), files, wiring.known_kinds(), recursive=recursive
        )
        found = upcoming_of_files(manifests, subscription, span, at)
    elif subscription is None:
        raise UsageError("name a subscription, or manifests with -f", hint="activityctl next SUB")
    else:
        found = [session.with_ports(_asking(subscription, span, at))]
    _print(session, found, span, shape)


def _asking(
    subscription: str, span: Span, at: datetime
) -> Callable[[Ports], Coroutine[Any, Any, Upcoming]]:
    async def ask(ports: Ports) -> Upcoming:
        return await upcoming(ports.catalog, ports.register, subscription, span, at)

    return ask


def _span(count: int | None, start: str, until: str | None, at: datetime) -> Span:
    first = point_of(start, at)
    last = None if until is None else point_of(until, at)
    if last is not None and last < first:
        raise UsageError(f"--until {until} is before --from {start}")
    return Span(first, last, count or (_DEFAULT if last is None else _MOST))


def _print(session: Session, found: list[Upcoming], span: Span, shape: Format) -> None:
    for note in (note for one in found for note in one.notes):
        session.err.print(f"note: {visible(note)}")
    views = [occurrence_view(name, one) for name, one in merged(found, span.limit)]
    columns = _COLUMNS if len(found) == 1 else (_OWNER, *_COLUMNS)
    print_views(session.out, "firings", views, shape, columns)


def _short(stamp: str | None) -> str | None:
    """Leave out milliseconds that are none."""
    return None if stamp is None else stamp.replace(".000Z", "Z")
