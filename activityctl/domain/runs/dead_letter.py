"""DeadLetter: a run that failed for good, and what a person did about it."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from activityctl.domain.runs.replay_request import ContextOf, ReplayOptions
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.ids import RunId
from activityctl.frozen_dataclass import frozen_dataclass

GIVEN_BACK: Final = frozenset({RunStatus.SKIPPED, RunStatus.MISSED, RunStatus.CANCELLED})
"""A retry whose run ended like this did not try the failed task again, so the letter is open."""
PROGRAM: Final = "activityctl"
"""Who closes a letter of which a replay has succeeded."""
CLOSED_BY_REPLAY: Final = "a replay of its run has succeeded"
"""Why it does so."""
LETTERS_AT_ONCE: Final = 100
"""How many letters one transaction retries or discards."""


class LetterStatus(StrEnum):
    """Whether somebody has dealt with a dead letter, or a replay has."""

    OPEN = "open"
    RETRIED = "retried"
    REPLAYED = "replayed"
    """A replay of its run has succeeded."""
    DISCARDED = "discarded"


LetterActionName = Literal["retried", "discarded", "replayed"]


@frozen_dataclass
class LetterAction:
    """What was done with a dead letter; never changed, a later action is another one."""

    number: int
    action: LetterActionName
    actor: str
    created_at: datetime
    reason: str | None = None
    run_id: RunId | None = None
    """The run of a retry, which may not exist yet, or the replay that has succeeded."""
    run_status: RunStatus | None = None
    """The status of that run; None until a worker has admitted it."""
    run_reason: str | None = None
    new_revision: bool = False
    new_keys: bool = False


@frozen_dataclass
class DeadLetter:
    """A run that failed or timed out and that a person has to look at."""

    id: str
    run_id: str
    subscription_id: str
    reason: str
    created_at: datetime
    subscription: str = ""
    definition: str = ""
    trigger: str = ""
    task: str | None = None
    """The task that failed first; None if the run failed before its tasks."""
    replay_of: str | None = None
    """The run that failed before and that this run was a retry of."""
    actions: tuple[LetterAction, ...] = field(default=())
    """The newest last; a list has the newest only."""

    @property
    def status(self) -> LetterStatus:
        """Whether it has been dealt with."""
        if not self.actions:
            return LetterStatus.OPEN
        last = self.actions[-1]
        if last.action == "retried" and last.run_status in GIVEN_BACK:
            return LetterStatus.OPEN
        return LetterStatus(last.action)


def closes_letters(run: Run, letter: DeadLetter | None) -> bool:
    """Return whether the run closes the letters of the runs that it repeats.

    A replay does that when it succeeds. `letter` is its own one; then something failed again.
    """
    return run.replay_of is not None and run.status is RunStatus.SUCCEEDED and letter is None


def repeated_runs(run: Run, others: Iterable[Run]) -> frozenset[RunId]:
    """Return the runs of the same firing that are not younger.

    They are the run that this one replays, its first run, and all replays of these.
    """
    known = [each for each in others if each.id != run.id]
    replays = {each.id: each.replay_of for each in (run, *known)}
    first = _first(run.id, replays)
    return frozenset(
        each.id
        for each in known
        if each.created_at <= run.created_at and _first(each.id, replays) == first
    )


def _first(run_id: RunId, replays: Mapping[RunId, RunId | None]) -> RunId:
    while (before := replays.get(run_id)) is not None:
        run_id = before
    return run_id


@frozen_dataclass
class LetterFilter:
    """Which dead letters, besides what every list can select by."""

    definition: str | None = None
    task: str | None = None
    error: str | None = None
    """A part of the reason, in any case."""


ANY_LETTER: Final = LetterFilter()


@frozen_dataclass
class LetterRequest:
    """What a person wants to be done with letters."""

    actor: str
    reason: str | None = None
    new_revision: bool = False
    """Retry with the present revision and params instead of those that the run had."""
    new_keys: bool = False
    """Give tasks that start again other idempotency keys than before."""


def options_of_retry(request: LetterRequest) -> ReplayOptions:
    """Return how the run of a retry replays the failed one."""
    return ReplayOptions(new_keys=request.new_keys, context=ContextOf.BY_REVISION)


@frozen_dataclass
class LetterOutcome:
    """What became of one letter."""

    id: str
    outcome: Literal["retried", "discarded", "not_open", "deleted"]
    run_id: RunId | None = None
    """The run of the retry."""
