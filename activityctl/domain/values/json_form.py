"""The JSON contract: how each object looks to people and programs, keys in camelCase."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from activityctl.domain.events.arrival import ArrivedEvent, Verdict
from activityctl.domain.events.emission import Emitted
from activityctl.domain.manifests.calendar import PresentCalendar, count_days
from activityctl.domain.manifests.definition import Revision
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.run import Run, TaskInstance
from activityctl.domain.values.log import DeadLetter, LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.errors import Problem

API_VERSION: Final = "activityctl/v1"
View = dict[str, JsonValue]


def list_view(items: Iterable[Mapping[str, JsonValue]], *, has_more: bool | None = None) -> View:
    """Return a list as DESIGN section 5 has it; one that can be cut tells whether it was."""
    metadata: View = {} if has_more is None else {"metadata": {"hasMore": has_more}}
    return {"apiVersion": API_VERSION, "kind": "List", **metadata, "items": list(items)}


def stamp(moment: datetime | None) -> str | None:
    """Return RFC 3339 in UTC, milliseconds kept."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def run_view(run: Run) -> View:
    """Return a run."""
    return {
        "id": run.id,
        "subscription": run.subscription,
        "subscriptionId": run.subscription_id,
        "definition": run.definition,
        "revision": run.revision_id,
        "trigger": run.trigger,
        "firingKey": run.firing_key,
        "dueAt": stamp(run.due_at),
        "status": run.status.value,
        "reason": run.reason,
        "createdAt": stamp(run.created_at),
        "startedAt": stamp(run.started_at),
        "endedAt": stamp(run.ended_at),
    }


def run_details(run: Run) -> View:
    """Return a run with what it saw."""
    return {
        **run_view(run),
        "params": dict(run.params),
        "payload": dict(run.payload),
        "context": dict(run.context),
        "state": dict(run.state),
    }


def task_view(task: TaskInstance) -> View:
    """Return a task instance."""
    return {
        "id": task.id,
        "run": task.run_id,
        "name": task.name,
        "index": task.index,
        "phase": task.phase,
        "kind": task.kind,
        "status": task.status.value,
        "attempts": task.attempts,
        "input": task.input,
        "output": task.output,
        "error": task.error,
        "reason": task.reason,
        "createdAt": stamp(task.created_at),
        "startedAt": stamp(task.started_at),
        "endedAt": stamp(task.ended_at),
    }


def log_view(entry: LogEntry) -> View:
    """Return a log entry."""
    return {
        "id": entry.id,
        "subscriptionId": entry.subscription_id,
        "runId": entry.run_id,
        "message": entry.message,
        "level": entry.level,
        "createdAt": stamp(entry.created_at),
        "metadata": dict(entry.metadata),
    }


def subscription_view(subscription: Subscription) -> View:
    """Return a subscription."""
    return {
        "id": subscription.id,
        "name": subscription.name,
        "definition": subscription.definition,
        "status": subscription.status.value,
        "failures": subscription.failures,
        "pauseReason": subscription.pause_reason,
        "pausedAt": stamp(subscription.paused_at),
        "pausedByRun": subscription.paused_by_run,
        "params": subscription.params,
        "triggers": subscription.triggers,
        "labels": subscription.labels,
        "annotations": subscription.annotations,
        "state": subscription.state,
        "createdAt": stamp(subscription.created_at),
        "updatedAt": stamp(subscription.updated_at),
    }


def definition_view(row: Mapping[str, Any], revision: Revision) -> View:
    """Return a definition with its current revision."""
    return {
        "name": row["name"],
        "revision": revision.id,
        "number": revision.number,
        "description": revision.spec.get("description", ""),
        "subscriptions": row["subscriptions"],
        "labels": row["labels"],
        "annotations": row["annotations"],
        "createdAt": stamp(row["since"]),
        "updatedAt": stamp(row["updated_at"]),
        "spec": revision.spec,
    }


def calendar_view(calendar: PresentCalendar) -> View:
    """Return a calendar with its days."""
    return {
        "name": calendar.name,
        "labels": dict(calendar.labels),
        "annotations": dict(calendar.annotations),
        "count": count_days(calendar.days),
        "createdAt": stamp(calendar.created_at),
        "updatedAt": stamp(calendar.updated_at),
        "days": [str(span) for span in calendar.days],
    }


def revision_view(revision: Revision) -> View:
    """Return a revision."""
    return {
        "id": revision.id,
        "definition": revision.definition,
        "number": revision.number,
        "createdAt": stamp(revision.created_at),
        "spec": revision.spec,
    }


def dead_letter_view(letter: DeadLetter) -> View:
    """Return a dead letter."""
    return {
        "id": letter.id,
        "run": letter.run_id,
        "subscriptionId": letter.subscription_id,
        "reason": letter.reason,
        "createdAt": stamp(letter.created_at),
    }


def event_view(event: ArrivedEvent) -> View:
    """Return an event of the archive without its data; `id` is the sender's, `uid` ours."""
    document = event.document
    return {
        "id": document["id"],
        "source": document["source"],
        "type": document["type"],
        "subject": document.get("subject"),
        "time": document.get("time"),
        "uid": event.id,
        "status": event.status,
        "arrivedAt": stamp(event.arrived_at),
        "routedAt": stamp(event.routed_at),
    }


def event_details(event: ArrivedEvent) -> View:
    """Return an event of the archive with all that its sender wrote."""
    return {**event_view(event), "event": dict(event.document)}


def verdict_view(verdict: Verdict, subscription: str, run: str | None) -> View:
    """Return what an event meant to a trigger, and the run that it led to."""
    return {
        "subscription": subscription,
        "subscriptionId": verdict.subscription_id,
        "trigger": verdict.trigger,
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "run": run,
        "replay": verdict.feed or None,
        "createdAt": stamp(verdict.created_at),
    }


def emitted_view(emitted: Emitted) -> View:
    """Return what became of an event that was handed in; `id` is the sender's, `uid` ours."""
    view: View = {
        "id": emitted.id,
        "source": emitted.source,
        "type": emitted.type,
        "outcome": emitted.outcome.value,
        "uid": emitted.uid,
        "filled": list(emitted.filled),
    }
    if (problem := emitted.problem) is not None:
        view |= {
            "reason": f"{problem.path}: {problem.reason}" if problem.path else problem.reason,
            **_place_view(problem),
        }
    return view


def problem_view(problem: Problem) -> View:
    """Return a problem; what stands in no file, or has no place in it, has null there."""
    return {**_place_view(problem), "path": problem.path, "message": problem.reason}


def _place_view(problem: Problem) -> View:
    return {
        "file": problem.file or None,
        "line": problem.line or None,
        "column": problem.column or None,
    }
