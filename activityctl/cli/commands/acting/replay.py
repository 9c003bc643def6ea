"""`activityctl replay`: run something again: a run, or archived events."""

from datetime import datetime
from typing import Annotated, Final

import typer

from activityctl.cli.confirm import require_yes
from activityctl.cli.many import RunArguments, RunLabels, Statuses, split_statuses
from activityctl.cli.options import (
    DryRun,
    EventSources,
    EventTypes,
    Since,
    SubscriptionOption,
    TextOrJson,
    Timeout,
    TriggerOption,
    Until,
    Yes,
    output_option,
)
from activityctl.cli.render.help_page import CommandGroup
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.render.progress import event_progress
from activityctl.cli.render.replay_text import print_end, print_preview
from activityctl.cli.replay_flow import (
    carry_out,
    confirm,
    named,
    plan_replays,
    print_plans,
    print_results,
)
from activityctl.cli.session import Session, now
from activityctl.cli.told_waits import told_wait
from activityctl.cli.verbs.past import ShownReplay, past_of
from activityctl.domain.events.query import EventQuery
from activityctl.domain.runs.replay_request import ContextOf, ReplayOptions
from activityctl.domain.runs.replay_request import ReplayRequest as ReplayOfRuns
from activityctl.domain.values import ids
from activityctl.domain.values.choice import Choice
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.selection import parse_labels
from activityctl.domain.values.time_range import parse_moment, parse_seconds, parse_time_range
from activityctl.errors import UsageError
from activityctl.operations.events.replay_preview import ReplayRequest
from activityctl.wiring import Ports

_ASK_ABOVE: Final = 100
"""More runs than these need confirmation."""

replay = CommandGroup(
    help="""Run a past run again, or route archived events again.

    A replay of a run is a new run: of the same firing and revision, with the stored context. What
    had succeeded is kept, unless you ask. RUN may follow at once, without the word `run`.

    activityctl replay 3f2a --dry-run

    activityctl replay 3f2a --from charge --diff

    activityctl replay events --since 2h --subscription eu-orders --dry-run
    """,
    has_default=True,
)


@replay.callback()
def _root() -> None:
    """Make `replay` a group of commands; its help is the one above."""


@replay.command()
def run(
    context: typer.Context,
    runs: RunArguments = [],  # noqa: B006  # typer copies it
    subscription: SubscriptionOption = None,
    labels: RunLabels = [],  # noqa: B006  # typer copies it
    status: Statuses = [],  # noqa: B006  # typer copies it
    since: Since = None,
    limit: Annotated[
        int,
        typer.Option(min=1, help="The most runs of a filter, the oldest first.", metavar="COUNT"),
    ] = 100,
    latest: Annotated[
        bool,
        typer.Option("--latest", help="Use the definition and the params as they are now."),
    ] = False,
    from_tasks: Annotated[
        list[str],
        typer.Option(
            "--from",
            help="Run this task again although it succeeded, and all that come after it.",
            metavar="TASK",
        ),
    ] = [],  # noqa: B006  # typer copies it
    all_tasks: Annotated[
        bool, typer.Option("--all-tasks", help="Run every task again, keep nothing.")
    ] = False,
    live_context: Annotated[
        bool,
        typer.Option("--live-context", help="Resolve the context again, and ask the rules again."),
    ] = False,
    new_keys: Annotated[
        bool,
        typer.Option("--new-keys", help="Give every task that runs a new idempotency key."),
    ] = False,
    relay: Annotated[
        bool,
        typer.Option("--relay", help="Send calls of executors as transactions; else none is sent."),
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="Why; it is kept in the log of the run.", metavar="TEXT")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--id", help="A name; under one name a run is replayed only once."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Evaluate rules and inputs, call nothing, show what differs from then.",
        ),
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Wait, then show both outcomes side by side.")
    ] = False,
    yes: Yes = False,
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait",
            help="Wait for the new runs to end; exit 8 if they have not ended in time. "
            "Without this option: wait if a worker is alive.",
            show_default=False,
        ),
    ] = None,
    timeout: Timeout = "5m",
    output: Annotated[str, output_option("text", "json", "name")] = "text",
) -> None:
    """Run a past run again, as a new run; what had succeeded is kept unless you ask.

    The new run has the same firing, revision, params, state and stored context. What would be
    called is listed first, and needs a yes. Filters select runs that failed, unless you give
    --status; if a run was run again, only its last replay or retry counts. A task that had not
    succeeded keeps its idempotency key, so a receiver recognises a call that it had carried out. A
    task that runs again although it had succeeded gets a key that begins with `replay-`. Exit 1 if
    a new run fails.

    activityctl replay 3f2a

    activityctl replay 3f2a --from charge --reason "the price was wrong" --diff

    activityctl replay 3f2a --latest --dry-run

    activityctl replay --status failed --since 2h -l team=payments
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "name"))
    if all_tasks and from_tasks:
        raise UsageError("--all-tasks and --from cannot be combined", hint="give one of them")
    if diff and (dry_run or wait is False):
        raise UsageError("--diff needs the new outcome", hint="leave out --dry-run and --no-wait")
    kind = ContextOf.LIVE if live_context else ContextOf.STORED
    options = ReplayOptions(tuple(from_tasks), all_tasks, new_keys, kind, relays=relay)
    request = ReplayOfRuns(named(name), session.origin.actor, options, latest, reason)
    moment = None if since is None else parse_moment(since, now())
    conditions = (subscription, parse_labels(labels), split_statuses(status), moment)
    choice = Choice(tuple(runs), *conditions, limit=limit)
    planned = plan_replays(session, choice, request)
    if not planned:
        session.err.print("no run to replay")
    if dry_run or not planned:
        print_plans(session, planned, shape, dry_run=True)
        return
    confirm(session, planned, yes=yes, is_selected=not choice.is_by_name)
    outcomes, waited = carry_out(session, planned, request, True if diff else wait, timeout)
    print_results(session, outcomes, waited, shape, diff=diff)


@replay.command()
def events(
    context: typer.Context,
    since: Since = None,
    until: Until = None,
    types: EventTypes = [],  # noqa: B006  # typer copies it
    sources: EventSources = [],  # noqa: B006  # typer copies it
    subscription: SubscriptionOption = None,
    all_subscriptions: Annotated[
        bool, typer.Option("--all-subscriptions", help="All live subscriptions.")
    ] = False,
    trigger: TriggerOption = None,
    name: Annotated[
        str | None,
        typer.Option("--id", help="A name for this replay; a new name runs the same events again."),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    timeout: Timeout = "1h",
    output: TextOrJson = "text",
) -> None:
    """Route archived events again, to one subscription or to all, as they are now.

    The time range selects events by their arrival. It needs a start, which is included; it ends
    now unless you give --until, which is not included.

    Each trigger that matches an event starts a run, also of a paused subscription. If you repeat
    the command, no event runs twice. Above 100 runs the command asks for confirmation.

    activityctl replay events --since 7d --type order.paid --subscription eu-orders --dry-run

    activityctl replay events --since 2h --until 1h --all-subscriptions --id after-the-outage
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    if (subscription is None) != all_subscriptions:
        raise UsageError(
            "name one subscription, or give --all-subscriptions",
            hint="add --subscription NAME, or --all-subscriptions",
        )
    at = now()
    query = _query(since, until, types, sources, at)
    arguments = (since, until, *types, "", *sources, "", subscription, trigger)
    request = ReplayRequest(_replay_id(name, arguments), query, subscription, trigger)

    session.set_interrupt_message("nothing was started")

    async def look(ports: Ports) -> ShownReplay:
        with event_progress(session) as show:
            return await past_of(ports).preview_replay(request, at, show)

    preview = session.with_ports(look)
    if shape == "text":
        print_preview(session, preview.view)
    if dry_run:
        if shape == "json":
            print_json(session.out, preview.view)
        return
    if preview.new > _ASK_ABOVE and not yes:
        require_yes("the replay", f"Start {preview.new:,} runs?")
    recorded = _route_again(session, request, preview, parse_seconds(timeout))
    if shape == "json":
        print_json(session.out, {**preview.view, "recorded": recorded})
    else:
        print_end(session, preview.view, subscription, recorded)


def _route_again(
    session: Session, request: ReplayRequest, preview: ShownReplay, seconds: float
) -> int:
    """Store the firings of the replay and return their number."""
    again = "run the command again for the rest: no event runs twice"
    session.set_interrupt_message("no event is known to be routed again", hint=again)

    async def work(ports: Ports) -> int:
        has_worker = await ports.workers.alive()
        if not has_worker:
            session.err.print("no worker is running; the runs start when a worker starts")
        limit = seconds if has_worker else None
        with event_progress(session) as show:

            def on_progress(read: int, total: int) -> None:
                session.set_interrupt_message(
                    f"{read:,} of {count_noun(total, 'event')} are routed again", hint=again
                )
                show(read, total)

            routing = past_of(ports).route_again(request, preview, limit, on_progress)
            return await told_wait(session, ports, routing, recorded=again)

    return session.with_ports(work)


def _query(
    since: str | None, until: str | None, types: list[str], sources: list[str], at: datetime
) -> EventQuery:
    first, last = parse_time_range(since, until, at)
    if first is None:
        raise UsageError("--since is missing", hint="write for example --since 2h")
    if first >= (last or at):
        raise UsageError(f"--since {since} is not before --until {until or 'now'}")
    return EventQuery(first, last or at, tuple(types), tuple(sources))


def _replay_id(name: str | None, arguments: tuple[str | None, ...]) -> str:
    """Return the name of the replay; without a name, an id computed from the arguments."""
    if name is None:
        return ids.replay_id(*("" if text is None else text for text in arguments))
    return named(name)
