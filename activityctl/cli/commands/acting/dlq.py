"""`activityctl dlq`: list, show, retry and discard dead letters."""

from typing import Annotated, Final

import typer

from activityctl.cli.letters import (
    AllLetters,
    LetterArguments,
    LetterLabels,
    OfDefinition,
    OfTask,
    WithError,
    choose_letters,
    print_outcomes,
    selection_of,
)
from activityctl.cli.many import confirmed, many_progress
from activityctl.cli.options import (
    DryRun,
    Since,
    SubscriptionOption,
    TextOrJson,
    Timeout,
    Yes,
    output_option,
)
from activityctl.cli.render.columns import columns_of
from activityctl.cli.render.help_page import CommandGroup
from activityctl.cli.render.output import check_format, print_json, print_views, to_yaml
from activityctl.cli.session import Session
from activityctl.cli.verbs.redo import redo_of
from activityctl.cli.wait_for_many import wait_for_many
from activityctl.domain.runs.dead_letter import (
    DeadLetter,
    LetterFilter,
    LetterOutcome,
    LetterRequest,
    LetterStatus,
)
from activityctl.domain.runs.json_form import dead_letter_view
from activityctl.domain.values.time_range import parse_seconds
from activityctl.errors import UsageError
from activityctl.operations.looking.kinds import name_of
from activityctl.wiring import Ports

_FORMATS: Final = ("text", "wide", "json", "yaml", "name")
_STATUSES: Final = (*LetterStatus, "all")

dlq = CommandGroup(
    help="""Look at what failed for good, then retry or discard it.

    activityctl dlq list

    activityctl dlq show 3f2a

    activityctl dlq retry --subscription eu-orders --error "503"
    """,
)


@dlq.callback()
def _root() -> None:
    """Make `dlq` a group of commands; its help is the one above."""


@dlq.command("list")
def list_(
    context: typer.Context,
    subscription: SubscriptionOption = None,
    definition: OfDefinition = None,
    task: OfTask = None,
    error: WithError = None,
    since: Since = None,
    labels: LetterLabels = [],  # noqa: B006  # typer copies it
    status: Annotated[
        str, typer.Option(help="open, retried, replayed, discarded or all.", metavar="STATUS")
    ] = "open",
    limit: Annotated[
        int, typer.Option(min=0, help="The largest number of letters; 0 for all.", metavar="COUNT")
    ] = 100,
    output: Annotated[str, output_option(*_FORMATS)] = "text",
) -> None:
    """List dead letters, the newest first; without --status those that are open.

    activityctl dlq list --task charge --since 1d

    activityctl dlq list --status all -o wide
    """
    session: Session = context.obj
    shape = check_format(output, _FORMATS)
    if status not in _STATUSES:
        raise UsageError(f"{status!r} is not a status", hint="use " + ", ".join(_STATUSES))
    statuses = () if status == "all" else (status,)
    wanted = LetterFilter(definition, task, error)

    async def read(ports: Ports) -> list[DeadLetter]:
        chosen = await selection_of(ports, subscription, since, labels, statuses)
        most = limit + 1 if limit else None
        return await ports.run_lists.dead_letters(chosen.with_limit(most), wanted)

    found = session.with_ports(read)
    has_more = bool(limit) and len(found) > limit
    views = [dead_letter_view(letter) for letter in (found[:limit] if limit else found)]
    columns = columns_of("deadletters", wide=shape == "wide")
    print_views(session.out, "deadletters", views, shape, columns, has_more=has_more)
    if has_more and shape in {"text", "wide", "name"}:
        session.err.print(f"{len(views)} shown, and there are more; --limit 0 lists all")


@dlq.command()
def show(
    context: typer.Context,
    letter: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The id of the letter or of its run, or its first characters."
        ),
    ],
    output: Annotated[str, output_option("text", "json", "yaml")] = "text",
) -> None:
    """Show a dead letter with everything needed to understand and redo it, as `describe` does.

    activityctl dlq show 3f2a

    activityctl dlq show 3f2a -o yaml
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "yaml"))

    name = name_of(letter, "deadletters", "runs")
    view = session.with_ports(lambda ports: redo_of(ports).letter(name))
    if shape == "json":
        print_json(session.out, view)
    elif shape == "yaml":
        session.out.file.write(to_yaml(view))
    else:
        from activityctl.cli.describing import show_page

        show_page(session, view, shape)


@dlq.command()
def retry(
    context: typer.Context,
    letters: LetterArguments = [],  # noqa: B006  # typer copies it
    subscription: SubscriptionOption = None,
    definition: OfDefinition = None,
    task: OfTask = None,
    error: WithError = None,
    since: Since = None,
    labels: LetterLabels = [],  # noqa: B006  # typer copies it
    all_letters: AllLetters = False,
    new_revision: Annotated[
        bool,
        typer.Option(
            "--new-revision",
            help="Use the definition and params as they are now, not those that failed.",
        ),
    ] = False,
    new_keys: Annotated[
        bool,
        typer.Option(
            "--new-keys",
            help="Give the tasks that start again new idempotency keys: for a receiver that "
            "remembers the failure under the old key.",
        ),
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="Why; it is kept with the letter.", metavar="TEXT")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait",
            help="Wait for the runs to end; exit 8 if they have not ended in time. "
            "Without this option: wait if a worker is alive.",
            show_default=False,
        ),
    ] = None,
    timeout: Timeout = "5m",
    output: Annotated[str, output_option("text", "json", "name")] = "text",
) -> None:
    """Start a new run for each letter, from the task that failed; tasks that succeeded are kept.

    Each task keeps its idempotency key, so a receiver recognises a call that it had carried out.
    Letters that are chosen by a filter or --all are listed first and need confirmation. Only open
    letters are retried, so that two commands at once start each run once. Exit 1 if a run fails.

    activityctl dlq retry 3f2a

    activityctl dlq retry --subscription eu-orders --error "503" --dry-run

    activityctl dlq retry --all --new-revision --yes
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "name"))
    wanted = LetterFilter(definition, task, error)
    chosen = choose_letters(session, letters, subscription, since, labels, wanted, all_letters)
    views = [dead_letter_view(letter) for letter in chosen]
    if new_revision:
        for line in session.with_ports(lambda ports: redo_of(ports).revision_changes(chosen)):
            session.err.print(line)
    options = {"dry_run": dry_run, "yes": yes, "asks": not letters}
    if not confirmed(session, "deadletters", views, "retry", shape=shape, **options):
        return
    request = LetterRequest(session.origin.actor, reason, new_revision, new_keys)
    outcomes = _act(session, "retried", chosen, request)
    runs = [each.run_id for each in outcomes if each.run_id is not None]
    seconds = parse_seconds(timeout)
    waited = wait_for_many(
        session,
        runs,
        wait,
        seconds,
        recorded="the retries are recorded",
        hint="activityctl dlq list --status retried",
    )
    waited.require_all()
    print_outcomes(session, chosen, outcomes, waited.ended, shape, single=bool(letters))


@dlq.command()
def discard(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why it needs no retry.", metavar="TEXT")],
    letters: LetterArguments = [],  # noqa: B006  # typer copies it
    subscription: SubscriptionOption = None,
    definition: OfDefinition = None,
    task: OfTask = None,
    error: WithError = None,
    since: Since = None,
    labels: LetterLabels = [],  # noqa: B006  # typer copies it
    all_letters: AllLetters = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: TextOrJson = "text",
) -> None:
    """Close letters without a retry; the failed runs and the reason are kept.

    activityctl dlq discard 3f2a --reason "paid by hand"

    activityctl dlq discard --all --since 2d --reason "test data" --yes
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    if not reason.strip():
        raise UsageError("--reason is empty", hint="say why the letters need no retry")
    wanted = LetterFilter(definition, task, error)
    chosen = choose_letters(session, letters, subscription, since, labels, wanted, all_letters)
    views = [dead_letter_view(letter) for letter in chosen]
    options = {"dry_run": dry_run, "yes": yes, "asks": not letters}
    if not confirmed(session, "deadletters", views, "discard", shape=shape, **options):
        return
    outcomes = _act(session, "discarded", chosen, LetterRequest(session.origin.actor, reason))
    print_outcomes(session, chosen, outcomes, [], shape, single=bool(letters))


def _act(
    session: Session, done_word: str, chosen: list[DeadLetter], request: LetterRequest
) -> list[LetterOutcome]:
    """Retry or discard the letters, with a bar if they are many."""
    hint = "activityctl dlq list --status all"

    async def work(ports: Ports) -> list[LetterOutcome]:
        verbs = redo_of(ports)
        act = verbs.retry if done_word == "retried" else verbs.discard
        with many_progress(session, "deadletters", done_word, hint) as show:
            return await act(chosen, request, show)

    return session.with_ports(work)
