"""The variables of expressions about one run, without the outcomes of its tasks."""

from datetime import datetime
from typing import Any

from activityctl.domain.runs.run import FAILURES, Run


def run_scope(run: Run, now: datetime) -> dict[str, Any]:
    """Return the variables of expressions, before any task exists."""
    return {
        "params": run.params,
        "trigger": {
            "name": run.trigger,
            "firingKey": run.first_key or run.firing_key,
            "dueAt": _format_utc(run.due_at),
            "payload": run.payload,
            "events": list(run.events),
        },
        "event": run.events[-1] if run.events else None,
        "context": run.context,
        "tasks": {},
        "run": {
            "id": run.id,
            "subscription": run.subscription,
            "definition": run.definition,
            "revision": run.revision_id,
            "startedAt": _format_utc(run.started_at),
            "error": run.reason if run.ending in FAILURES or run.ending is None else None,
            "reason": run.reason,
            "pauses": run.pauses,
        },
        "state": run.state,
        "item": None,
        "now": now,
    }


def _format_utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
