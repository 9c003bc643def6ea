"""Makers of runs."""

from datetime import datetime
from typing import Any

from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values import ids


def run_of(moment: datetime, key: str = "key", **fields: Any) -> Run:
    """Return a queued run of the subscription `sub`, due at that moment, with these fields."""
    whole = {
        "id": ids.run_id("sub", "manual", key),
        "subscription_id": ids.subscription_id("sub"),
        "subscription": "sub",
        "definition": "def",
        "revision_id": ids.revision_id("def", {}),
        "trigger": "manual",
        "firing_key": key,
        "due_at": moment,
        "status": RunStatus.QUEUED,
        "created_at": moment,
        **fields,
    }
    return Run(**whole)


def begun_run_of(moment: datetime, key: str = "key", **fields: Any) -> Run:
    """Return a run that began at that moment."""
    return run_of(moment, key, **{"status": RunStatus.RUNNING, "started_at": moment, **fields})
