"""`activityctl next`: show the next firings of subscriptions."""

from typing import Annotated, Final

import typer

from activityctl import wiring
from activityctl.cli.completion import subscription_names
from activityctl.cli.options import (
    Files,
    OldFrom,
    Recursive,
    Since,
    TriggerOption,
    Until,
    output_option,
    replace_old_option,
)
from activityctl.cli.references import subscription_reference
from activityctl.cli.render.next_text import MOST_LISTED, print_upcoming
from activityctl.cli.render.output import check_format
from activityctl.cli.session import Session, now
from activityctl.cli.verbs.choose import verbs_of
from activityctl.domain.values.time_range import is_duration, parse_time_range
from activityctl.errors import UsageError
from activityctl.operations.gitops.load import load_manifests
from activityctl.operations.looking.upcoming import TimeRange, upcoming_of_files

_DEFAULT: Final = 10


def next(  # noqa: A001  # the command's name
    context: typer.Context,
    subscription: Annotated[
        str | None,
        typer.Argument(
            metavar="[SUB]",
            help="The subscription's name, its id or the first characters of the id. Not needed "
            "with -f.",
            autocompletion=subscription_names,
            callback=subscription_reference,
        ),
    ] = None,
    files: Files = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
    trigger: TriggerOption = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            min=1,
            max=MOST_LISTED,
            help="How many firings to show; without it 10, or all if --until is given.",
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    old_from: OldFrom = None,
    output: Annotated[str, output_option("text", "json", "jsonl")] = "text",
) -> None:
    """Show when a subscription fires next, and why a firing is moved or skipped.

    With -f, show the firings of manifests that are not yet applied; this needs no server. The
    time range starts now unless you give --since. Both ends are included.

    activityctl next disk-report -n 20

    activityctl next disk-report --until +7d

    activityctl next -f definitions/ --since 2027-03-28 --until 2027-03-29
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "jsonl"))
    at = now()
    if since is None:
        until = _future_until(session, until)
    since = replace_old_option(session, "--since", since, "--from", old_from)
    first, last = parse_time_range(since or "now", until, at)
    limit = count or (_DEFAULT if last is None else MOST_LISTED)
    time_range = TimeRange(first or at, last, limit, trigger)
    if files:
        with wiring.evaluating():
            manifests = load_manifests(
                wiring.manifest_source(), files, wiring.known_kinds(), recursive=recursive
            )
        firings = upcoming_of_files(manifests, subscription, time_range, at)
    elif subscription is None:
        raise UsageError("name a subscription, or manifests with -f", hint="activityctl next SUB")
    else:
        firings = [
            session.with_ports(
                lambda ports: verbs_of(session, ports).upcoming(subscription, time_range)
            )
        ]
    print_upcoming(session.out, session.err, firings, time_range, shape)


def _future_until(session: Session, until: str | None) -> str | None:
    """Return the value of `--until` for a command without `--since`.

    There `--until 7d` has always meant in seven days. It cannot mean seven days ago, because the
    range starts now, or has the old option `--from`. So it keeps its meaning, with a warning.
    """
    if until is None or not is_duration(until):
        return until
    session.err.print(f"warning: --until {until} is now --until +{until}; write --until +{until}")
    return f"+{until}"
