"""JSON forms of events, verdicts and emit results, with keys in camelCase."""

from activityctl.domain.events.emit_result import Emitted
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict
from activityctl.domain.values.json_form import View, format_timestamp


def event_view(event: ArrivedEvent) -> View:
    """Return a stored event without its data; `id` is the sender's id, `uid` is ours."""
    document = event.document
    return {
        "id": document["id"],
        "source": document["source"],
        "type": document["type"],
        "subject": document.get("subject"),
        "time": document.get("time"),
        "uid": event.id,
        "status": event.status,
        "arrivedAt": format_timestamp(event.arrived_at),
        "routedAt": format_timestamp(event.routed_at),
    }


def event_details(event: ArrivedEvent) -> View:
    """Return a stored event with the whole document that its sender wrote."""
    return {**event_view(event), "event": dict(event.document)}


def verdict_view(verdict: Verdict, subscription: str, run: str | None) -> View:
    """Return a verdict, with the names of its subscription and its run."""
    return {
        "subscription": subscription,
        "subscriptionId": verdict.subscription_id,
        "trigger": verdict.trigger,
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "run": run,
        "replay": verdict.replay or None,
        "createdAt": format_timestamp(verdict.created_at),
    }


def emitted_view(emitted: Emitted) -> View:
    """Return the result of an emitted event; `id` is the sender's id, `uid` is ours."""
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
            "file": problem.file or None,
            "line": problem.line or None,
            "column": problem.column or None,
        }
    return view
