"""How the commands of `dlq` choose dead letters, and tell what became of them."""

from collections.abc import Sequence
from typing import Annotated

import typer

from activityctl.cli.render.output import print_json, print_run_end
from activityctl.cli.session import Session, now
from activityctl.domain.runs.dead_letter import DeadLetter, LetterFilter, LetterOutcome
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.selection import Selection, parse_labels
from activityctl.domain.values.time_range import parse_moment
from activityctl.errors import UsageError
from activityctl.operations.looking.kinds import name_of
from activityctl.operations.runs.letter_view import outcome_view
from activityctl.operations.runs.letters import find_letter, open_letters, require_done
from activityctl.wiring import Ports

LetterArguments = Annotated[
    list[str],
    typer.Argument(
        metavar="[ID]...", help="The ids of letters or of their runs, or the first characters."
    ),
]
OfDefinition = Annotated[
    str | None, typer.Option(help="Only letters of this definition.", metavar="NAME")
]
OfTask = Annotated[
    str | None,
    typer.Option(help="Only letters whose first failed task has this name.", metavar="NAME"),
]
WithError = Annotated[
    str | None, typer.Option(help="Only letters whose error has this text.", metavar="TEXT")
]
LetterLabels = Annotated[
    list[str],
    typer.Option("-l", help="Only letters of subscriptions with this label.", metavar="KEY=VALUE"),
]
AllLetters = Annotated[bool, typer.Option("--all", help="All open letters.")]


async def selection_of(
    ports: Ports,
    subscription: str | None,
    since: str | None,
    labels: Sequence[str],
    statuses: tuple[str, ...] = (),
) -> Selection:
    """Return the selection of these options."""
    owner = await ports.catalog.find_subscription(subscription) if subscription else None
    return Selection(
        subscription_id=owner.id if owner else None,
        since=None if since is None else parse_moment(since, now()),
        labels=parse_labels(labels),
        statuses=statuses,
    )


def choose_letters(
    session: Session,
    references: Sequence[str],
    subscription: str | None,
    since: str | None,
    labels: Sequence[str],
    wanted: LetterFilter,
    all_letters: bool,  # an option of the command
) -> list[DeadLetter]:
    """Return the letters that are named, or the open ones that the filters select.

    UsageError if nothing is chosen, so that nothing is retried by mistake.
    """
    filters = (subscription, since, *labels, wanted.definition, wanted.task, wanted.error)
    has_filter = any(filters)
    if references and (has_filter or all_letters):
        raise UsageError("ids and filters cannot be combined", hint="give one of them")
    if not references and not has_filter and not all_letters:
        raise UsageError("no letter is named", hint="name an id, or give a filter or --all")

    async def read(ports: Ports) -> list[DeadLetter]:
        if references:
            names = [name_of(text, "deadletters", "runs") for text in references]
            found = [await find_letter(ports.run_lists, name) for name in names]
            return list({letter.id: letter for letter in found}.values())
        selection = await selection_of(ports, subscription, since, labels)
        return await open_letters(ports.run_lists, selection, wanted)

    return session.with_ports(read)


def print_outcomes(
    session: Session,
    chosen: Sequence[DeadLetter],
    outcomes: Sequence[LetterOutcome],
    ended: Sequence[Run],
    shape: str,
    *,
    single: bool,
) -> None:
    """Tell what became of the letters and their runs; exit as that says.

    ConflictError for a letter that was named and is not open.
    """
    by_id: dict[str, Run] = {run.id: run for run in ended}
    if shape == "json":
        print_json(session.out, {"items": [outcome_view(each, by_id) for each in outcomes]})
    elif shape == "name":
        for each in outcomes:
            session.out.print(f"run/{each.run_id}" if each.run_id else f"deadletter/{each.id}")
    elif single:
        _print_each(session, outcomes, by_id)
    else:
        _print_counts(session, outcomes, ended)
    if single:
        require_done(chosen, outcomes)
    if any(run.status is not RunStatus.SUCCEEDED for run in ended):
        raise typer.Exit(1)


def _print_each(session: Session, outcomes: Sequence[LetterOutcome], by_id: dict[str, Run]) -> None:
    for each in outcomes:
        if each.run_id is not None and each.run_id in by_id:
            print_run_end(session.out, run_view(by_id[each.run_id]))
        elif each.run_id is not None:
            session.out.print(f"run/{each.run_id}")
        elif each.outcome == "discarded":
            session.out.print(f"deadletter/{each.id} discarded")


def _print_counts(
    session: Session, outcomes: Sequence[LetterOutcome], ended: Sequence[Run]
) -> None:
    counts: dict[str, int] = {}
    for each in outcomes:
        counts[each.outcome] = counts.get(each.outcome, 0) + 1
    texts = {
        "retried": "retried",
        "discarded": "discarded",
        "not_open": "no longer open",
        "deleted": "stay open, because their subscription was deleted",
    }
    done = [f"{counts[key]:,} {text}" for key, text in texts.items() if key in counts]
    session.out.print("dead letters: " + ", ".join(done))
    if ended:
        results: dict[str, int] = {}
        for run in ended:
            results[run.status.value] = results.get(run.status.value, 0) + 1
        session.out.print(
            "runs: " + ", ".join(f"{count:,} {status}" for status, count in results.items())
        )
    if any(run.status is not RunStatus.SUCCEEDED for run in ended):
        session.err.print("activityctl dlq list shows why")
