"""Objects that the examples of answers are made of."""

from typing import Any, Final

from activityctl.domain.values.json_form import API_VERSION

RUN_ID: Final = "c67eefdd-cca8-5f9c-ac6e-c4c0a265b514"
SUBSCRIPTION_ID: Final = "47670438-d5af-5ccf-8e01-2b0b4f36f82e"
LETTER_ID: Final = "72a66ab4-d3ab-5f61-8f15-5004b6df8732"
REVISION: Final = "c08b8900e29a6294dffb347ae76bfed62d7ee30346802c1cd49af95d6de241b2"
FROM: Final = "2026-11-27T02:00:00.000Z"
DUE: Final = "2026-11-28T02:00:00.000Z"
STARTED: Final = "2026-11-28T02:00:00.214Z"


def listed(*items: Any, metadata: Any = None, **more: Any) -> dict[str, Any]:
    """Return a list of these objects."""
    page = {} if metadata is None else {"metadata": metadata}
    return {"apiVersion": API_VERSION, "kind": "List", **page, "items": list(items), **more}


def of(kind: str, **more: Any) -> dict[str, Any]:
    """Return an object of this kind."""
    return {"apiVersion": API_VERSION, "kind": kind, **more}


def run(status: str = "succeeded", ended: str | None = "2026-11-28T02:00:03.870Z") -> Any:
    """Return a run."""
    return {
        "id": RUN_ID,
        "subscription": "eu-orders",
        "subscriptionId": SUBSCRIPTION_ID,
        "definition": "order-review",
        "revision": REVISION,
        "trigger": "nightly",
        "firingKey": DUE,
        "dueAt": DUE,
        "status": status,
        "reason": None,
        "createdAt": STARTED,
        "startedAt": STARTED,
        "endedAt": ended,
        "replayOf": None,
        "stuck": None,
    }


def queued() -> Any:
    """Return a run that is stored."""
    return {"id": RUN_ID, "status": "queued"}


def subscription(outcome: str) -> Any:
    """Return what was done with a subscription."""
    return {"id": SUBSCRIPTION_ID, "name": "eu-orders", "outcome": outcome}


OF_EACH: Final = "What was done with each; or with `dryRun=true`, the objects."


def many(noun: str, outcome: str) -> Any:
    """Return what was done with many objects of a kind."""
    known = {"subscription": (SUBSCRIPTION_ID, "eu-orders"), "run": (RUN_ID, RUN_ID)}
    if noun == "letter":
        item = letter(outcome, RUN_ID if outcome == "retried" else None, None)
    else:
        key, name = known[noun]
        item = {"id": key, "name": name, "outcome": outcome, "error": None, "run": None}
    return listed(item, metadata={"hasMore": False}, summary={outcome: 1})


def letter(outcome: str, run: str | None, status: str | None) -> Any:
    """Return what was done with a dead letter."""
    return {"id": LETTER_ID, "outcome": outcome, "run": run, "status": status}


def backfill(added: int, **more: Any) -> Any:
    """Return a backfill."""
    return of(
        "Backfill",
        id="a4a80a13-1625-5e15-80a9-f02dd0353965",
        subscription="eu-orders",
        trigger="nightly",
        to=DUE,
        maxParallel=1,
        added=added,
        **{"from": FROM},
        **more,
    )


def log() -> Any:
    """Return a page of a log."""
    entry = {
        "id": 1438,
        "subscriptionId": SUBSCRIPTION_ID,
        "runId": RUN_ID,
        "message": "run started by nightly",
        "level": "info",
        "createdAt": STARTED,
        "metadata": {"firingKey": DUE},
        "subscription": "eu-orders",
    }
    return listed(entry, metadata={"hasMore": True, "cursor": "1438-1"})


def changed(kind: str, action: str, **more: Any) -> Any:
    """Return what manifests change."""
    changes = [{"kind": "Calendar", "name": "holidays", "action": action}]
    summary = {"created": 0, "configured": 0, "unchanged": 0, "deleted": 0, action: 1}
    return of(kind, applyset=None, changes=changes, summary=summary, **more)


EXPLAINED: Final = {
    "id": "order-17",
    "source": "/shop",
    "type": "order.created",
    "event": {"specversion": "1.0", "id": "order-17", "source": "/shop", "type": "order.created"},
    "triggers": [
        {
            "subscription": "eu-orders",
            "trigger": "paid",
            "form": None,
            "outcome": "no_match",
            "reason": "type is order.created",
            "wantsAnother": True,
            "key": None,
            "patterns": [],
        }
    ],
}
PROGRESS: Final = {"total": 2, "held": 1, "running": 1, "succeeded": 0}
TOKEN: Final = {
    "name": "shop",
    "id": "0f1e2d3c4b5a",
    "scopes": ["emit:source=/shop"],
    "status": "active",
    "createdAt": STARTED,
    "createdBy": "local",
    "expiresAt": None,
    "revokedAt": None,
    "lastUsedAt": None,
    "lastUsedFrom": None,
}
ENDED_RUN: Final = {
    "run": RUN_ID,
    "revision": REVISION,
    "status": "failed",
    "reason": "task charge failed",
    "durationMs": 3656,
}
SCHEDULES: Final = {"pending": 0, "refused": 0, "errors": [], "hasWorker": True}
STATUS: Final = of(
    "Status",
    version="0.1.0",
    disk=None,
    lowRelayers=[],
    schedules={"active": 2, "paused": 0, "pending": 0, "error": 0, "overdue": 0},
    runs={"queued": 0, "running": 1, "succeeded": 12, "failed": 1},
    firings={"due": 0, "later": 0, "held": 0, "oldestDueAt": None, "lagSeconds": 0.0},
    events={"unrouted": 0, "oldestUnroutedAt": None, "lagSeconds": 0.0, "filterErrors": 0},
    deadLetters={"open": 1, "bySubscription": {"eu-orders": 1}},
    stuckRuns=None,
    workerLoops=[],
    chains=[],
    autoPaused=[],
)
TRIGGER: Final = {
    "id": "0b5f0c1e-6a5d-4f6e-9d0f-0a4f5f3a2c11",
    "trigger": {"source": {"type": "INTERVAL", "value": 30}},
    "logs": [],
}
MANIFEST: Final = of("Calendar", metadata={"name": "holidays"}, spec={"days": ["2027-01-01"]})
EVENTS: Final = listed(
    {
        "id": "order-17",
        "source": "/shop",
        "type": "order.created",
        "outcome": "accepted",
        "uid": "85a18980-38b6-5a69-baec-4457ba541c3c",
        "filled": [],
    },
    summary={"accepted": 1, "duplicate": 0, "conflict": 0, "invalid": 0},
)
SOME_EVENTS: Final = listed(
    {
        "id": "order-17",
        "source": "/shop",
        "type": "order.created",
        "outcome": "conflict",
        "uid": None,
        "error": "an event with this source and id is stored with other content",
    },
    summary={"accepted": 0, "duplicate": 0, "conflict": 1, "invalid": 0},
)
METRICS: Final = '# TYPE activityctl_runs gauge\nactivityctl_runs{status="running"} 1.0\n'
