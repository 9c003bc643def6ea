"""DeadLetter: a run that failed for good, and what a person did about it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from activityctl.domain.runs.replay_request import ContextOf, ReplayOptions
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values.ids import RunId

GIVEN_BACK: Final = frozenset({RunStatus.SKIPPED, RunStatus.MISSED, RunStatus.CANCELLED})
"""A retry whose run ended like this did not try the failed task again, so the letter is open."""
LETTERS_AT_ONCE: Final = 100
"""How many letters one transaction retries or discards."""


class LetterStatus(StrEnum):
    """Whether a person has dealt with a dead letter."""

    OPEN = "open"
    RETRIED = "retried"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class LetterAction:
    """What a person did with a dead letter; never changed, a later action is another one."""

    number: int
    action: Literal["retried", "discarded"]
    actor: str
    created_at: datetime
    reason: str | None = None
    run_id: RunId | None = None
    """The run of a retry; it may not exist yet."""
    run_status: RunStatus | None = None
    """The status of that run; None until a worker has admitted it."""
    run_reason: str | None = None
    new_revision: bool = False
    new_keys: bool = False


@dataclass(frozen=True, slots=True)
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
        """Whether a person has dealt with it."""
        if not self.actions:
            return LetterStatus.OPEN
        last = self.actions[-1]
        if last.action == "discarded":
            return LetterStatus.DISCARDED
        return LetterStatus.OPEN if last.run_status in GIVEN_BACK else LetterStatus.RETRIED


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which dead letters, besides what every list can select by."""

    definition: str | None = None
    task: str | None = None
    error: str | None = None
    """A part of the reason, in any case."""


ANY_LETTER: Final = LetterFilter()


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class LetterOutcome:
    """What became of one letter."""

    id: str
    outcome: Literal["retried", "discarded", "not_open", "deleted"]
    run_id: RunId | None = None
    """The run of the retry."""
