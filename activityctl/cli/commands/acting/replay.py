"""`activityctl replay`: what has been, once more; `events` feeds archived events again."""

import re
from datetime import datetime
from typing import Annotated, Final

import typer

from activityctl.cli.completion import subscription_names
from activityctl.cli.confirm import require_yes
from activityctl.cli.options import Timeout, parse_seconds, parse_since
from activityctl.cli.render.help_page import CommandGroup
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.render.progress import event_progress
from activityctl.cli.render.replay_text import print_end, print_preview
from activityctl.cli.session import Session, now
from activityctl.domain.events.query import EventQuery
from activityctl.domain.values import ids
from activityctl.domain.values.model import NAME_PATTERN
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import UsageError
from activityctl.operations.events.replay_events import replay_archived_events
from activityctl.operations.events.replay_preview import (
    ReplayPreview,
    ReplayRequest,
    preview_replay,
    preview_view,
)
from activityctl.wiring import Ports

_ASKED_ABOVE: Final = 100

replay = CommandGroup(
    help="""Feed events of the archive again.

    activityctl replay events --since 2h --subscription eu-orders --dry-run
    """,
)


@replay.callback()
def _root() -> None:
    """Feed events of the archive again.

    activityctl replay events --since 2h --subscription eu-orders --dry-run
    """


@replay.command()
def events(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(help="From when on: 2h ago, 7d ago or RFC 3339.", metavar="WHEN"),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Before when; default: now.", metavar="WHEN")
    ] = None,
    types: Annotated[
        list[str], typer.Option("--type", help="Only this type; order.* takes several.")
    ] = [],  # noqa: B006  # typer copies it
    sources: Annotated[
        list[str], typer.Option("--source", help="Only this source; * for any characters.")
    ] = [],  # noqa: B006  # typer copies it
    subscription: Annotated[
        str | None,
        typer.Option(
            "--subscription",
            "-s",
            help="Whom to feed.",
            autocompletion=subscription_names,
            metavar="SUB",
        ),
    ] = None,
    all_subscriptions: Annotated[
        bool, typer.Option("--all-subscriptions", help="Feed everybody.")
    ] = False,
    trigger: Annotated[str | None, typer.Option(help="Only this trigger.")] = None,
    name: Annotated[
        str | None,
        typer.Option("--id", help="The replay's name; another name runs events again."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show who would run.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    timeout: Timeout = "1h",
    output: Annotated[
        str, typer.Option("--output", "-o", help="text or json.", metavar="FORMAT")
    ] = "text",
) -> None:
    """Feed events of the archive again to a subscription, as it is now.

    Triggers match anew; each match starts a run, of a paused subscription too. The same command
    repeated starts nothing twice; --id makes another replay of it.

    activityctl replay events --since 7d --type order.paid --subscription eu-orders --dry-run

    activityctl replay events --since 2h --until 1h --all-subscriptions --id after-the-outage
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    if (subscription is None) != all_subscriptions:
        raise UsageError(
            "a replay feeds one subscription or all",
            hint="--subscription NAME, or --all-subscriptions",
        )
    at = now()
    stretch = _stretch(since, until, types, sources, at)
    arguments = (since, until, *types, "", *sources, "", subscription, trigger)
    order = ReplayRequest(_name(name, arguments), stretch, subscription, trigger)

    session.set_interrupt_message("nothing was started")

    async def look(ports: Ports) -> ReplayPreview:
        with event_progress(session) as show:
            return await preview_replay(
                ports.catalog, ports.events, ports.archive, order, at, on_progress=show
            )

    found = session.with_ports(look)
    if shape == "text":
        print_preview(session, found)
    if dry_run:
        if shape == "json":
            print_json(session.out, preview_view(found))
        return
    if found.new > _ASKED_ABOVE and not yes:
        require_yes("the replay", f"Start {found.new:,} runs?")
    recorded = _fed(session, found, parse_seconds(timeout))
    if shape == "json":
        print_json(session.out, {**preview_view(found), "recorded": recorded})
    else:
        print_end(session, found, recorded)


def _fed(session: Session, found: ReplayPreview, seconds: float) -> int:
    again = "run the command again for the rest: no event runs twice"
    session.set_interrupt_message("no event is known to be fed", hint=again)

    async def work(ports: Ports) -> int:
        alive = await ports.workers.alive()
        if not alive:
            session.err.print("no worker is alive; the runs will start when one is")
        limit = seconds if alive else None
        with event_progress(session) as show:

            def on_progress(read: int, total: int) -> None:
                session.set_interrupt_message(
                    f"{read:,} of {count_noun(total, 'event')} are fed", hint=again
                )
                show(read, total)

            return await replay_archived_events(
                ports.archive, found, now(), timeout_seconds=limit, on_progress=on_progress
            )

    return session.with_ports(work)


def _stretch(
    since: str | None, until: str | None, types: list[str], sources: list[str], at: datetime
) -> EventQuery:
    if since is None:
        raise UsageError("--since is missing", hint="write --since 2h, or a time (RFC 3339)")
    first, last = _moment(since, at), _moment(until, at) if until else at
    if first >= last:
        raise UsageError("--since is not before --until", hint="2h means two hours ago")
    return EventQuery(first, last, tuple(types), tuple(sources))


def _moment(text: str, at: datetime) -> datetime:
    try:
        return parse_since(re.sub(r"^-(?=\d)", "", text), at) or at
    except OverflowError:
        raise UsageError(f"not a point in time: {text!r}", hint="write 7d, or RFC 3339") from None


def _name(name: str | None, arguments: tuple[str | None, ...]) -> str:
    """Return the replay's name; without one, what the arguments make of it."""
    if name is None:
        return ids.replay_id(*("" if one is None else one for one in arguments))
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise UsageError(f"--id {name!r} is no name", hint="lower-case letters, digits and -")
    return name
