"""The log entry for what a person did with a dead letter; it is in the log of the failed run."""

from datetime import datetime

from activityctl.domain.runs.dead_letter import LetterRequest
from activityctl.domain.values.ids import RunId, dead_letter_id
from activityctl.domain.values.log import LogEntry


def action_entry(
    subscription_id: str,
    run_id: str,
    request: LetterRequest,
    now: datetime,
    *,
    retried_by: RunId | None,
) -> LogEntry:
    """Return the entry; `retried_by` is the run of a retry, None if the letter was discarded."""
    done = "discarded" if retried_by is None else f"retried as run {retried_by}"
    why = f": {request.reason}" if request.reason else ""
    facts = {
        "letter": dead_letter_id(run_id),
        "actor": request.actor,
        "reason": request.reason,
        "retry": retried_by,
        "newRevision": request.new_revision,
        "newKeys": request.new_keys,
    }
    message = f"dead letter {done} by {request.actor}{why}"
    return LogEntry(subscription_id, run_id, message, "info", now, facts)
