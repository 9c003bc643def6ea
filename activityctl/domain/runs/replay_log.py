"""The log entry for the wish to replay a run; it is in the log of the run that is replayed."""

from datetime import datetime

from activityctl.domain.runs.replay_request import ReplayOutcome, ReplayRequest
from activityctl.domain.values.log import LogEntry


def replay_entry(
    subscription_id: str, outcome: ReplayOutcome, request: ReplayRequest, now: datetime
) -> LogEntry:
    """Return the entry for a run that is replayed."""
    why = f": {request.reason}" if request.reason else ""
    facts = {
        "replay": outcome.run_id,
        "actor": request.actor,
        "reason": request.reason,
        "latest": request.latest,
        **request.options.as_json(),
    }
    message = f"replayed as run {outcome.run_id} by {request.actor}{why}"
    return LogEntry(subscription_id, outcome.replay_of, message, "info", now, facts)
