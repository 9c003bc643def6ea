"""Auto-pause: what a run does to its subscription's streak of failures; adapters write it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.run import Decision, Run, RunStatus
from activityctl.domain.values.plurals import count_noun

FAILURES: Final = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT})
_LONGEST_REASON: Final = 500
"""Characters of a run's reason that the reason of a pause repeats; the run keeps it whole."""


@dataclass(frozen=True, slots=True)
class StreakChange:
    """What one run adds to its subscription's streak of failures."""

    has_failed: bool
    """True counts one failure more; False ends the streak."""
    decided_at: datetime
    pause_reason: str | None = None
    """Why the subscription is paused with it, if it is still active; None leaves it."""


def would_pause(run: Run, spec: DefinitionSpec) -> bool:
    """Return whether the subscription is paused if this run, open until now, fails."""
    limit = spec.pause_after
    return limit is not None and run.owner_is_active and run.failures_before + 1 >= limit.failures


def streak_change(run: Run, decision: Decision, now: datetime) -> StreakChange | None:
    """Return what the decision about the run, as it was before, adds; None when nothing.

    A failure counts once: when it is decided, before the onFailure tasks that follow from it.
    """
    if decision.end is not None and decision.end.status is RunStatus.SUCCEEDED:
        return StreakChange(has_failed=False, decided_at=now)
    status = decision.end.status if decision.end is not None else decision.ending
    if run.ending is not None or status not in FAILURES:
        return None
    reason = decision.end.reason if decision.end is not None else decision.reason
    said = _reason(run, reason or status.value) if decision.pauses else None
    return StreakChange(has_failed=True, decided_at=now, pause_reason=said)


def _reason(run: Run, reason: str) -> str:
    count = run.failures_before + 1
    row = count_noun(count, "run failed", "runs in a row failed")
    cut = reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + "…"
    return f"{row}; the last: {cut} (run {run.id})"
