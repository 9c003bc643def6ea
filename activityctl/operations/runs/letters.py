"""Select, show, retry and discard dead letters."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from activityctl.domain.runs.ambiguous import ambiguous_letter
from activityctl.domain.runs.dead_letter import (
    ANY_LETTER,
    LETTERS_AT_ONCE,
    DeadLetter,
    LetterFilter,
    LetterOutcome,
    LetterRequest,
    LetterStatus,
)
from activityctl.domain.runs.revision_change import RevisionChange, compare_revisions
from activityctl.domain.runs.run import Run, TaskInstance
from activityctl.domain.tasks.attempt import Attempt
from activityctl.domain.values.ids import RunId
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.selection import Selection
from activityctl.errors import CANDIDATES_TOLD, ConflictError, NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Catalog, DeadLetters, RunLists

_POLL: Final = 0.3

Act = Callable[[Sequence[str], LetterRequest, datetime], Awaitable[list[LetterOutcome]]]


@frozen_dataclass
class LetterDetails:
    """Everything that is needed to understand a dead letter, and to redo its run."""

    letter: DeadLetter
    run: Run
    tasks: tuple[TaskInstance, ...]
    attempts: tuple[Attempt, ...]
    revision: int | None
    """The number of the run's revision."""
    present_revision: int | None
    """The number of the definition's present revision; None if it was deleted."""


async def find_letter(lists: RunLists, reference: str) -> DeadLetter:
    """Return the letter with this id, or of the run with this id; a unique beginning is enough.

    NotFoundError if there is none, AmbiguousError if it means several.
    """
    found = await lists.dead_letters(Selection(name=reference, limit=CANDIDATES_TOLD + 1))
    if len(found) > 1:
        raise ambiguous_letter(reference, found)
    if not found:
        try:
            run = await lists.find_run(reference)
        except NotFoundError:
            raise NotFoundError(
                "dead letter", reference, hint="activityctl dlq list --status all"
            ) from None
        found = await lists.dead_letters(Selection(run_id=run.id, limit=1))
    if not found:
        raise NotFoundError("dead letter", reference, hint="activityctl dlq list --status all")
    return found[0]


async def open_letters(
    lists: RunLists, selection: Selection, letters: LetterFilter = ANY_LETTER
) -> list[DeadLetter]:
    """Return all open letters that are selected, oldest first: the order to redo them in."""
    chosen = replace(selection, statuses=(LetterStatus.OPEN.value,), limit=None)
    return (await lists.dead_letters(chosen, letters))[::-1]


async def letter_details(
    catalog: Catalog, lists: RunLists, letters: DeadLetters, letter: DeadLetter
) -> LetterDetails:
    """Return the letter with its run, tasks, attempts and what was done about it."""
    (run,) = await lists.runs_of([letter.run_id])
    tasks = await lists.tasks(Selection(run_id=run.id, limit=None))
    attempts = await lists.attempts([task.id for task in tasks])
    revisions = await catalog.revisions(Selection(name=run.definition, limit=None))
    numbers = {revision.id: revision.number for revision in revisions}
    whole = replace(letter, actions=tuple(await letters.actions(letter.id)))
    present = await _present_revision(catalog, run.definition)
    return LetterDetails(
        whole, run, tuple(tasks), tuple(attempts), numbers.get(run.revision_id), present
    )


async def _present_revision(catalog: Catalog, definition: str) -> int | None:
    found = await catalog.definitions(Selection(name=definition))
    return found[0][1].number if found else None


async def act_on(
    act: Act,
    letters: Sequence[DeadLetter],
    request: LetterRequest,
    clock: Callable[[], datetime],
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[LetterOutcome]:
    """Retry or discard the letters, some in each transaction; return one outcome for each."""
    outcomes: list[LetterOutcome] = []
    for start in range(0, len(letters), LETTERS_AT_ONCE):
        some = [letter.id for letter in letters[start : start + LETTERS_AT_ONCE]]
        outcomes += await act(some, request, clock())
        on_progress(len(outcomes), len(letters))
    return outcomes


def require_done(chosen: Sequence[DeadLetter], outcomes: Sequence[LetterOutcome]) -> None:
    """Raise ConflictError for a letter that was not open, or whose subscription was deleted."""
    if not_open := [each for each in outcomes if each.outcome == "not_open"]:
        raise ConflictError(
            f"dead letter {not_open[0].id} is not open: it was {_done_by(chosen, not_open[0].id)}",
            hint=f"activityctl dlq show {not_open[0].id[:8]}",
        )
    if deleted := [each for each in outcomes if each.outcome == "deleted"]:
        raise ConflictError(
            f"dead letter {deleted[0].id} stays open: its subscription was deleted",
            hint="apply its manifest again, or discard the letter",
        )


def _done_by(chosen: Sequence[DeadLetter], letter_id: str) -> str:
    """Return what was done with a letter before, or meanwhile, and by whom."""
    last = [letter.actions[-1] for letter in chosen if letter.id == letter_id and letter.actions]
    if not last:
        return "retried or discarded just now by somebody else"
    when = format_timestamp(last[0].created_at)
    run = f" as run {last[0].run_id}" if last[0].run_id else ""
    return f"{last[0].action} by {last[0].actor} at {when}{run}"


async def new_revision_changes(
    catalog: Catalog, lists: RunLists, letters: Sequence[DeadLetter]
) -> list[RevisionChange]:
    """Return how the present revisions differ from those that the runs of the letters had."""
    runs = await lists.runs_of([letter.run_id for letter in letters])
    wanted = sorted({(run.definition, run.revision_id) for run in runs})
    changes = []
    for definition, revision_id in wanted:
        revisions = await catalog.revisions(Selection(name=definition, limit=None))
        found = await catalog.definitions(Selection(name=definition))
        before = next((each for each in revisions if each.id == revision_id), None)
        if before is not None and found:
            changes.append(compare_revisions(before, found[0][1]))
    return changes


async def wait_for_runs(
    lists: RunLists,
    run_ids: Sequence[RunId],
    timeout_seconds: float,
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Run]:
    """Return those of the runs that have ended, once all have, or when the time is up."""
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while True:
        ended = [run for run in await lists.runs_of(run_ids) if run.has_ended]
        on_progress(len(ended), len(run_ids))
        if len(ended) == len(run_ids) or asyncio.get_running_loop().time() >= deadline:
            return ended
        await asyncio.sleep(_POLL)
