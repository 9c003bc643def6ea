"""Auto-pause: counts a subscription's failures in a row and pauses it at the limit.

The change is only decided here; adapters write it.
"""

from datetime import datetime
from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.notices import is_notice
from activityctl.domain.runs.run import FAILURES, Decision, Run, RunStatus
from activityctl.domain.values.plurals import count_noun
from activityctl.frozen_dataclass import frozen_dataclass

_LONGEST_REASON: Final = 500
"""Characters of the run's reason that are copied into the pause reason; the run keeps it all."""


@frozen_dataclass
class StreakChange:
    """How one run changes its subscription's count of failures in a row."""

    has_failed: bool
    """True adds one failure; False resets the count to 0."""
    decided_at: datetime
    pause_reason: str | None = None
    """Why the subscription is paused, if it is still active; None does not pause it."""


def would_pause(run: Run, spec: DefinitionSpec) -> bool:
    """Return whether a failure of this run, which has not ended, pauses the subscription."""
    limit = spec.pause_after
    return limit is not None and run.owner_is_active and run.failures_before + 1 >= limit.failures


def streak_change(run: Run, decision: Decision, now: datetime) -> StreakChange | None:
    """Return how the decision changes the count of failures; None when it does not.

    `run` is the run before the decision. A failure counts once: when it is decided, before its
    onFailure tasks run. A run that only tells a notice does not count.
    """
    if is_notice(run.trigger):
        return None
    if decision.end is not None and decision.end.status is RunStatus.SUCCEEDED:
        return StreakChange(has_failed=False, decided_at=now)
    status = decision.end.status if decision.end is not None else decision.ending
    if run.ending is not None or status not in FAILURES:
        return None
    reason = decision.end.reason if decision.end is not None else decision.reason
    pause_reason = _pause_reason(run, reason or status.value) if decision.pauses else None
    return StreakChange(has_failed=True, decided_at=now, pause_reason=pause_reason)


def streak_of_abandoned(
    run: Run, limit: int | None, reason: str, now: datetime
) -> StreakChange | None:
    """Return how a run that fails without its data changes the count; None when it does not.

    `limit` is that of `pauseAfter` in the run's revision. A failure that was decided before has
    been counted.
    """
    if is_notice(run.trigger) or run.ending is not None:
        return None
    pauses = limit is not None and run.owner_is_active and run.failures_before + 1 >= limit
    return StreakChange(True, now, _pause_reason(run, reason) if pauses else None)


def _pause_reason(run: Run, reason: str) -> str:
    count = run.failures_before + 1
    failures = count_noun(count, "run failed", "runs in a row failed")
    shortened = reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + "…"
    return f"{failures}; last reason: {shortened} (run {run.id})"
