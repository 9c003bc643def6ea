"""What the log of a run says when it begins."""

from datetime import datetime

from activityctl.domain.runs.run import Run
from activityctl.domain.runs.run_change import log_entry
from activityctl.domain.values.ids import RETRY_PREFIX
from activityctl.domain.values.log import LogEntry


def skipping_entry(run: Run, now: datetime) -> LogEntry:
    """Return the entry of a run that is skipped and whose onSkip tasks begin."""
    message = f"run is skipped: {run.reason}; its onSkip tasks run"
    return log_entry(run, "info", message, now, firingKey=run.firing_key)


def started_entry(run: Run, more: str = "") -> LogEntry:
    """Return the entry of a run that begins."""
    at = run.started_at or run.created_at
    what = "retry" if run.firing_key.startswith(RETRY_PREFIX) else "replay"
    again = "" if run.replay_of is None else f", a {what} of run {run.replay_of}"
    message = f"run started by {run.trigger}{again}{more}"
    return log_entry(run, "info", message, at, firingKey=run.firing_key)
