"""What each path answers when all is well: an example for each status, shown by OpenAPI.

The schemas follow from the examples: every key of one is always there.
"""

from typing import Any, Final

from activityctl.domain.values.json_form import API_VERSION

Example = tuple[int, str, Any]
"""The status, when it comes, and the answer; the text of an answer that is no JSON."""

_RUN_ID: Final = "c67eefdd-cca8-5f9c-ac6e-c4c0a265b514"
_SUBSCRIPTION_ID: Final = "47670438-d5af-5ccf-8e01-2b0b4f36f82e"
_LETTER_ID: Final = "72a66ab4-d3ab-5f61-8f15-5004b6df8732"
_REVISION: Final = "c08b8900e29a6294dffb347ae76bfed62d7ee30346802c1cd49af95d6de241b2"
_FROM: Final = "2026-11-27T02:00:00.000Z"
_DUE: Final = "2026-11-28T02:00:00.000Z"
_STARTED: Final = "2026-11-28T02:00:00.214Z"


def _listed(*items: Any, metadata: Any = None, **more: Any) -> dict[str, Any]:
    page = {} if metadata is None else {"metadata": metadata}
    return {"apiVersion": API_VERSION, "kind": "List", **page, "items": list(items), **more}


def _of(kind: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, **more}


def _run(status: str = "succeeded", ended: str | None = "2026-11-28T02:00:03.870Z") -> Any:
    return {
        "id": _RUN_ID,
        "subscription": "eu-orders",
        "subscriptionId": _SUBSCRIPTION_ID,
        "definition": "order-review",
        "revision": _REVISION,
        "trigger": "nightly",
        "firingKey": _DUE,
        "dueAt": _DUE,
        "status": status,
        "reason": None,
        "createdAt": _STARTED,
        "startedAt": _STARTED,
        "endedAt": ended,
        "replayOf": None,
        "stuck": None,
    }


def _queued() -> Any:
    return {"id": _RUN_ID, "status": "queued"}


def _subscription(outcome: str) -> Any:
    return {"id": _SUBSCRIPTION_ID, "name": "eu-orders", "outcome": outcome}


_OF_EACH: Final = "What was done with each; or with `dryRun=true`, the objects."


def _many(noun: str, outcome: str) -> Any:
    known = {"subscription": (_SUBSCRIPTION_ID, "eu-orders"), "run": (_RUN_ID, _RUN_ID)}
    if noun == "letter":
        item = _letter(outcome, _RUN_ID if outcome == "retried" else None, None)
    else:
        key, name = known[noun]
        item = {"id": key, "name": name, "outcome": outcome, "error": None, "run": None}
    return _listed(item, metadata={"hasMore": False}, summary={outcome: 1})


def _letter(outcome: str, run: str | None, status: str | None) -> Any:
    return {"id": _LETTER_ID, "outcome": outcome, "run": run, "status": status}


def _backfill(added: int, **more: Any) -> Any:
    return _of(
        "Backfill",
        id="a4a80a13-1625-5e15-80a9-f02dd0353965",
        subscription="eu-orders",
        trigger="nightly",
        to=_DUE,
        maxParallel=1,
        added=added,
        **{"from": _FROM},
        **more,
    )


def _log() -> Any:
    entry = {
        "id": 1438,
        "subscriptionId": _SUBSCRIPTION_ID,
        "runId": _RUN_ID,
        "message": "run started by nightly",
        "level": "info",
        "createdAt": _STARTED,
        "metadata": {"firingKey": _DUE},
        "subscription": "eu-orders",
    }
    return _listed(entry, metadata={"hasMore": True, "cursor": "1438-1"})


def _changed(kind: str, action: str, **more: Any) -> Any:
    changes = [{"kind": "Calendar", "name": "holidays", "action": action}]
    summary = {"created": 0, "configured": 0, "unchanged": 0, "deleted": 0, action: 1}
    return _of(kind, applyset=None, changes=changes, summary=summary, **more)


_TOKEN: Final = {
    "name": "shop",
    "id": "0f1e2d3c4b5a",
    "scopes": ["emit:source=/shop"],
    "status": "active",
    "createdAt": _STARTED,
    "createdBy": "local",
    "expiresAt": None,
    "revokedAt": None,
    "lastUsedAt": None,
    "lastUsedFrom": None,
}
_ENDED_RUN: Final = {
    "run": _RUN_ID,
    "revision": _REVISION,
    "status": "failed",
    "reason": "task charge failed",
    "durationMs": 3656,
}
_SCHEDULES: Final = {"pending": 0, "refused": 0, "errors": [], "hasWorker": True}
_STATUS: Final = _of(
    "Status",
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
_TRIGGER: Final = {
    "id": "0b5f0c1e-6a5d-4f6e-9d0f-0a4f5f3a2c11",
    "trigger": {"source": {"type": "INTERVAL", "value": 30}},
    "logs": [],
}
_MANIFEST: Final = _of("Calendar", metadata={"name": "holidays"}, spec={"days": ["2027-01-01"]})
_EVENTS: Final = _listed(
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
_SOME_EVENTS: Final = _listed(
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
_METRICS: Final = '# TYPE activityctl_runs gauge\nactivityctl_runs{status="running"} 1.0\n'

EXAMPLES: Final[dict[str, tuple[Example, ...]]] = {
    "GET /healthz": ((200, "The process runs.", {"status": "ok", "version": "0.1.0"}),),
    "GET /readyz": (
        (
            200,
            "Runs can start.",
            {"status": "ok", "checks": {"postgres": "ok", "worker": "ok"}},
        ),
        (
            503,
            "Runs cannot start; `checks` says why.",
            {"status": "unavailable", "checks": {"postgres": "ok", "worker": "none is running"}},
        ),
    ),
    "GET /metrics": (
        (200, "The figures.", _METRICS),
        (503, "Postgres does not answer.", "Postgres does not answer"),
    ),
    "GET /v1/status": ((200, "What needs attention.", _STATUS),),
    "POST /v1/events": (
        (200, "Every event is stored, now or before.", _EVENTS),
        (207, "Some events are refused; the others are stored.", _SOME_EVENTS),
    ),
    "POST /v1/config": (
        (
            201,
            "The executor is registered. Only this answer has `hmacKey`.",
            {
                "id": _SUBSCRIPTION_ID,
                "registryID": "1fcc089a-9faf-40e9-9ec8-3e34d2f4614f",
                "executorAddress": "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B",
                "verifyingAddress": "0x4E83362442B8d1beC281594CEa3050c8EB01311C",
                "hmacKey": "c2VjcmV0",
                "relayerAddress": ["0x5AEDA56215b167893e80B4fE645BA6d5Bab767DE"],
            },
        ),
    ),
    "GET /v1/{sub_id}/logs": ((200, "A page, the newest trigger first.", {"data": [_TRIGGER]}),),
    "POST /v1/manifests/validate": (
        (
            200,
            "All manifests are valid.",
            _of(
                "ValidateResult",
                objects=[
                    {
                        "kind": "Calendar",
                        "name": "holidays",
                        "file": "holidays.yaml",
                        "line": 3,
                        "valid": True,
                        "note": None,
                    }
                ],
                secrets=[],
                problems=[],
            ),
        ),
    ),
    "POST /v1/manifests/plan": (
        (
            200,
            "What would change; a plan to apply, with `?save=true`.",
            _changed("Plan", "created"),
        ),
    ),
    "POST /v1/manifests/apply": (
        (
            200,
            "What has changed; the plan, with `?dryRun=true`.",
            _changed("ApplyResult", "created", schedules=_SCHEDULES),
        ),
    ),
    "DELETE /v1/{kind}/{name}": (
        (
            200,
            "The object is deleted; with `?dryRun=true`, it would be.",
            _changed("DeleteResult", "deleted"),
        ),
    ),
    "POST /v1/subscriptions/{name}/trigger": (
        (200, "The run has ended, with `?wait=SECONDS`.", _run()),
        (202, "The run is stored; a worker starts it.", _queued()),
    ),
    "POST /v1/subscriptions/{name}/pause": ((200, "It is paused.", _subscription("paused")),),
    "POST /v1/subscriptions/{name}/resume": ((200, "It is active.", _subscription("resumed")),),
    "POST /v1/subscriptions/pause": ((200, _OF_EACH, _many("subscription", "paused")),),
    "POST /v1/subscriptions/resume": ((200, _OF_EACH, _many("subscription", "resumed")),),
    "POST /v1/runs/cancel": ((200, _OF_EACH, _many("run", "cancelling")),),
    "GET /v1/tokens": ((200, "A page of the tokens.", _listed(_TOKEN)),),
    "POST /v1/tokens": (
        (201, "The token, with its text.", {**_TOKEN, "token": "actl_0f1e2d3c4b5a_…"}),
    ),
    "POST /v1/tokens/{name}/revoke": ((200, "It is not valid any more.", _TOKEN),),
    "POST /v1/runs/replay": (
        (
            200,
            "What became of each; or with `dryRun=true`, what would be called.",
            _listed(
                {"id": _RUN_ID, "replayOf": _RUN_ID, "outcome": "replayed"},
                metadata={"hasMore": False},
                summary={"replayed": 1},
            ),
        ),
    ),
    "GET /v1/runs/{run_id}/diff": (
        (200, "Both outcomes.", {"then": _ENDED_RUN, "now": _ENDED_RUN, "tasks": []}),
    ),
    "GET /v1/deadletters/{letter_id}/details": (
        (
            200,
            "The letter, with its run, its tasks and what was done about it.",
            _of("DeadLetter", id=_LETTER_ID, status="open", run=_RUN_ID, tasks=[], actions=[]),
        ),
    ),
    "POST /v1/deadletters/retry": ((200, _OF_EACH, _many("letter", "retried")),),
    "POST /v1/deadletters/discard": ((200, _OF_EACH, _many("letter", "discarded")),),
    "GET /v1/subscriptions/{name}/next": (
        (
            200,
            "What comes next.",
            _listed(
                {
                    "subscription": "eu-orders",
                    "trigger": "nightly",
                    "dueAt": _DUE,
                    "localTime": "2026-11-28T03:00:00+01:00",
                    "firesAt": _DUE,
                    "note": None,
                },
                metadata={"hasMore": True},
                notes=[],
            ),
        ),
    ),
    "POST /v1/subscriptions/{name}/backfill": (
        (
            200,
            "What would run, with `?dryRun=true`.",
            _backfill(0, firings=[_FROM, _DUE], leftAlone=[]),
        ),
        (
            202,
            "The due times are stored.",
            _backfill(2, progress={"total": 2, "held": 1, "running": 1, "succeeded": 0}),
        ),
    ),
    "POST /v1/subscriptions/{name}/backfill/cancel": (
        (200, "They do not run.", {"subscription": "eu-orders", "cancelled": 1}),
    ),
    "POST /v1/runs/{run_id}/cancel": (
        (200, "The run has ended, with `?wait=SECONDS`.", _run("cancelled")),
        (202, "The request is stored.", _run("cancelling", None)),
    ),
    "GET /v1/runs/{run_id}/wait": ((200, "The run has ended.", _run()),),
    "POST /v1/runs/{run_id}/replay": (
        (
            200,
            "The new run has ended, with `?wait=SECONDS`; the plan, with `?dryRun=true`.",
            {"subscription": "eu-orders", "definition": "order-review", "replayOf": _RUN_ID},
        ),
        (202, "The new run is stored.", _queued()),
    ),
    "POST /v1/tasks/{task_id}/complete": (
        (
            200,
            "The answer is stored.",
            {
                "id": "8188558f-7de4-5c21-a0e9-06fa04fee680",
                "run": _RUN_ID,
                "outcome": "completed",
                "completedBy": "token/desk",
                "completedAt": _STARTED,
            },
        ),
    ),
    "POST /v1/deadletters/{letter_id}/retry": (
        (200, "The new run has ended.", _letter("retried", _RUN_ID, "succeeded")),
        (202, "The new run is stored.", _letter("retried", _RUN_ID, None)),
    ),
    "POST /v1/deadletters/{letter_id}/discard": (
        (200, "It is closed.", _letter("discarded", None, None)),
    ),
    "GET /v1/subscriptions/{name}/logs": ((200, "A page, the oldest entry first.", _log()),),
    "GET /v1/logs": ((200, "A page, the oldest entry first.", _log()),),
    "GET /v1/export": ((200, "The manifests.", _listed(_MANIFEST)),),
    "GET /v1/schema": (
        (200, "The schema.", {"$schema": "https://json-schema.org/draft/2020-12/schema"}),
    ),
    "GET /v1/{kind}/{name}/history": (
        (
            200,
            "The changes, the newest first.",
            _listed({"number": 2, "action": "configured", "at": _STARTED, "actor": "token/ci"}),
        ),
    ),
    "POST /v1/{kind}/{name}/rollback": (
        (
            200,
            "The earlier version is stored.",
            _changed("ApplyResult", "configured", schedules=_SCHEDULES),
        ),
    ),
    "GET /v1/runs/{run_id}/logs": ((200, "A page, the oldest entry first.", _log()),),
    "GET /v1/{kind}": ((200, "A page of the list.", _listed(_run(), metadata={"hasMore": False})),),
    "GET /v1/{kind}/{name}": (
        (
            200,
            "The object, with what belongs to it.",
            _of("subscription", id=_SUBSCRIPTION_ID, name="eu-orders", status="active"),
        ),
    ),
    "POST /v1/sources/{name}": (
        (200, "The events are stored, or a challenge is answered.", _EVENTS),
    ),
}
