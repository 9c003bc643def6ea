"""What commands on many objects share: options, the list and the question, progress, a summary."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

import typer

from activityctl.cli.completion import subscription_names
from activityctl.cli.confirm import require_yes
from activityctl.cli.render.columns import columns_of
from activityctl.cli.render.output import print_json, print_views
from activityctl.cli.render.progress import progress_bar
from activityctl.cli.session import Session
from activityctl.domain.runs.run import Run
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_line
from activityctl.operations.looking.kinds import Kind, singular
from activityctl.operations.runs.many import Outcome, counts_text, outcome_view

_LISTED: Final = 50
"""So many objects are listed before the question; `--dry-run` lists all."""
_MANY: Final = 20
"""More objects than this are worth a progress bar."""
_NOUNS: Final = {"deadletters": "dead letter"}

SubscriptionArguments = Annotated[
    list[str],
    typer.Argument(
        metavar="[SUB]...",
        help="Subscriptions: the name, the id or the first characters of the id.",
        autocompletion=subscription_names,
    ),
]
RunArguments = Annotated[
    list[str],
    typer.Argument(metavar="[RUN]...", help="Runs: the id or its first characters."),
]
SubscriptionLabels = Annotated[
    list[str],
    typer.Option("-l", help="All subscriptions with this label.", metavar="KEY=VALUE"),
]
RunLabels = Annotated[
    list[str],
    typer.Option("-l", help="All runs of subscriptions with this label.", metavar="KEY=VALUE"),
]
AllSubscriptions = Annotated[bool, typer.Option("--all", help="All subscriptions.")]
AllRuns = Annotated[bool, typer.Option("--all", help="All runs that the command can act on.")]
Statuses = Annotated[
    list[str],
    typer.Option("--status", help="All with this status.", metavar="STATUS"),
]
ListOnly = Annotated[
    bool, typer.Option("--dry-run", help="List what would be done; change nothing.")
]


def split_statuses(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the statuses of `--status queued,running --status failed`."""
    return tuple(part for text in texts for part in text.split(","))


def confirmed(
    session: Session,
    kind: Kind,
    views: Sequence[View],
    verb: str,
    *,
    dry_run: bool,  # these are options of the command
    yes: bool,
    asks: bool,
    shape: str = "text",
) -> bool:
    """List what was chosen by a filter and ask; return whether to go on.

    `asks` is False for objects that were named. RefusedError for any answer but yes.
    """
    if shape == "json" and (dry_run or not views):
        print_json(session.out, {"items": list(views) if dry_run else []})
    noun = _NOUNS.get(kind, singular(kind))
    count = count_noun(len(views), noun)
    shown = views if dry_run else views[:_LISTED]
    if views and ((dry_run and shape != "json") or (asks and not yes and not dry_run)):
        console = session.out if dry_run else session.err
        print_views(console, kind, shown, "text", columns_of(kind, wide=False))
        if len(shown) < len(views):
            session.err.print(f"and {len(views) - len(shown):,} more; --dry-run lists all")
    if dry_run or not views:
        session.err.print(f"{f'would {verb}' if dry_run else f'nothing to {verb}:'} {count}")
        return False
    if asks and not yes:
        require_yes(f"to {verb} {count}", f"{verb.capitalize()} {count}?")
    return True


@contextmanager
def many_progress(
    session: Session, kind: Kind, done_word: str, hint: str
) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes how many are done and how many there are.

    For many it draws a bar. From its beginning on, Ctrl-C reports how many are `done_word`.
    """
    noun = _NOUNS.get(kind, singular(kind))
    session.set_interrupt_message(f"perhaps one {noun} was {done_word}", hint=hint)
    with progress_bar(session, f"{noun}s {done_word}", _MANY) as show:

        def on_progress(done: int, total: int) -> None:
            session.set_interrupt_message(
                f"{done:,} of {count_noun(total, noun)} were {done_word}", hint=hint
            )
            show(done, total)

        yield on_progress


def print_outcomes(
    session: Session,
    kind: Kind,
    outcomes: Sequence[Outcome],
    shape: str,
    *,
    ended: Sequence[Run] = (),
    each: bool,
) -> None:
    """Print one line for each object, or with `each` False their counts; or JSON, or names.

    What was refused is on stderr with its reason. `ended` are the runs that were waited for.
    """
    runs: dict[str, Run] = {run.id: run for run in ended}
    if shape == "json":
        views = [outcome_view(outcome, _status_of(outcome, runs)) for outcome in outcomes]
        print_json(session.out, {"items": views})
        return
    for outcome in outcomes:
        if outcome.is_refused:
            label = f"{singular(kind)}/{outcome.name}"
            session.err.print(f"{label} refused: {escape_line(outcome.error or '')}")
        elif shape == "name":
            session.out.print(
                f"run/{outcome.run}" if outcome.run else f"{singular(kind)}/{outcome.name}"
            )
        elif each:
            session.out.print(_line(kind, outcome, runs))
    if shape != "name" and not each:
        session.out.print(f"{kind}: {counts_text([outcome.outcome for outcome in outcomes])}")
        if ended:
            session.out.print(f"runs: {counts_text([run.status.value for run in ended])}")


def _line(kind: Kind, outcome: Outcome, runs: dict[str, Run]) -> str:
    started = f" as run/{outcome.run}" if outcome.run else ""
    status = _status_of(outcome, runs)
    end = f": {status}" if status and status != outcome.outcome else ""
    return f"{singular(kind)}/{outcome.name} {outcome.outcome}{started}{end}"


def _status_of(outcome: Outcome, runs: dict[str, Run]) -> str | None:
    run = runs.get(outcome.run or outcome.id)
    return None if run is None else run.status.value
