"""The log entry for what was done with a dead letter; it is in the log of the failed run."""

from datetime import datetime

from activityctl.domain.runs.dead_letter import CLOSED_BY_REPLAY, PROGRAM, LetterRequest
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


def closed_entry(subscription_id: str, run_id: str, replay: RunId, now: datetime) -> LogEntry:
    """Return the entry for a letter that is closed because this replay of its run succeeded."""
    letter = dead_letter_id(run_id)
    facts = {"letter": letter, "actor": PROGRAM, "reason": CLOSED_BY_REPLAY, "replay": replay}
    message = f"dead letter closed: {CLOSED_BY_REPLAY}, run {replay}"
    return LogEntry(subscription_id, run_id, message, "info", now, facts)
