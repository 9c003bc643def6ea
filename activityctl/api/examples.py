"""What each path answers when all is well: an example for each status, shown by OpenAPI.

The schemas follow from the examples: every key of one is always there.
"""

from typing import Any, Final

from activityctl.api.example_values import (
    DUE,
    ENDED_RUN,
    EVENTS,
    EXPLAINED,
    FROM,
    LETTER_ID,
    MANIFEST,
    METRICS,
    OF_EACH,
    PROGRESS,
    RUN_ID,
    SCHEDULES,
    SOME_EVENTS,
    STARTED,
    STATUS,
    SUBSCRIPTION_ID,
    TOKEN,
    TRIGGER,
    backfill,
    changed,
    letter,
    listed,
    log,
    many,
    of,
    queued,
    run,
    subscription,
)

Example = tuple[int, str, Any]
"""The status, when it comes, and the answer; the text of an answer that is no JSON."""

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
        (200, "The figures.", METRICS),
        (503, "Postgres does not answer.", "Postgres does not answer"),
    ),
    "GET /v1/status": ((200, "What needs attention.", STATUS),),
    "POST /v1/events": (
        (200, "Every event is stored, now or before.", EVENTS),
        (207, "Some events are refused; the others are stored.", SOME_EVENTS),
    ),
    "POST /v1/config": (
        (
            201,
            "The executor is registered. Only this answer has `hmacKey`.",
            {
                "id": SUBSCRIPTION_ID,
                "registryID": "1fcc089a-9faf-40e9-9ec8-3e34d2f4614f",
                "executorAddress": "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B",
                "verifyingAddress": "0x4E83362442B8d1beC281594CEa3050c8EB01311C",
                "hmacKey": "c2VjcmV0",
                "relayerAddress": ["0x5AEDA56215b167893e80B4fE645BA6d5Bab767DE"],
            },
        ),
    ),
    "GET /v1/{sub_id}/logs": ((200, "A page, the newest trigger first.", {"data": [TRIGGER]}),),
    "POST /v1/manifests/validate": (
        (
            200,
            "All manifests are valid.",
            of(
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
            changed("Plan", "created"),
        ),
    ),
    "POST /v1/manifests/diff": (
        (
            200,
            "What differs; `live` is null for an object that is new.",
            listed({"name": "calendar/holidays", "live": None, "wanted": MANIFEST}),
        ),
    ),
    "POST /v1/manifests/apply": (
        (
            200,
            "What has changed; the plan, with `?dryRun=true`.",
            changed("ApplyResult", "created", schedules=SCHEDULES),
        ),
    ),
    "DELETE /v1/{kind}/{name}": (
        (
            200,
            "The object is deleted; with `?dryRun=true`, it would be.",
            changed("DeleteResult", "deleted"),
        ),
    ),
    "POST /v1/subscriptions/{name}/trigger": (
        (200, "The run has ended, with `?wait=SECONDS`.", run()),
        (202, "The run is stored; a worker starts it.", queued()),
    ),
    "POST /v1/subscriptions/{name}/pause": ((200, "It is paused.", subscription("paused")),),
    "POST /v1/subscriptions/{name}/resume": ((200, "It is active.", subscription("resumed")),),
    "POST /v1/subscriptions/pause": ((200, OF_EACH, many("subscription", "paused")),),
    "POST /v1/subscriptions/resume": ((200, OF_EACH, many("subscription", "resumed")),),
    "POST /v1/runs/cancel": ((200, OF_EACH, many("run", "cancelling")),),
    "GET /v1/events/{uid}/explanation": (
        (200, "How the triggers match it.", {**EXPLAINED, "verdicts": []}),
    ),
    "POST /v1/events/explain": ((200, "How the triggers match each.", listed(EXPLAINED)),),
    "POST /v1/sources/{name}/explain": (
        (
            200,
            "What the event source does with it.",
            of(
                "RequestExplanation",
                source="code-host",
                verified=True,
                outcome="events",
                status=200,
                notes=[],
                events=[EXPLAINED],
            ),
        ),
    ),
    "GET /v1/tokens": ((200, "A page of the tokens.", listed(TOKEN)),),
    "POST /v1/tokens": (
        (201, "The token, with its text.", {**TOKEN, "token": "actl_0f1e2d3c4b5a_…"}),
    ),
    "POST /v1/tokens/{name}/revoke": ((200, "It is not valid any more.", TOKEN),),
    "POST /v1/runs/replay": (
        (
            200,
            "What became of each; or with `dryRun=true`, what would be called.",
            listed(
                {"id": RUN_ID, "replayOf": RUN_ID, "outcome": "replayed"},
                metadata={"hasMore": False},
                summary={"replayed": 1},
            ),
        ),
    ),
    "GET /v1/runs/{run_id}/diff": (
        (200, "Both outcomes.", {"then": ENDED_RUN, "now": ENDED_RUN, "tasks": []}),
    ),
    "GET /v1/deadletters/{letter_id}/details": (
        (
            200,
            "The letter, with its run, its tasks and what was done about it.",
            of("DeadLetter", id=LETTER_ID, status="open", run=RUN_ID, tasks=[], actions=[]),
        ),
    ),
    "POST /v1/deadletters/retry": ((200, OF_EACH, many("letter", "retried")),),
    "POST /v1/deadletters/discard": ((200, OF_EACH, many("letter", "discarded")),),
    "GET /v1/subscriptions/{name}/next": (
        (
            200,
            "What comes next.",
            listed(
                {
                    "subscription": "eu-orders",
                    "trigger": "nightly",
                    "dueAt": DUE,
                    "localTime": "2026-11-28T03:00:00+01:00",
                    "firesAt": DUE,
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
            backfill(
                0,
                firings=[FROM, DUE],
                leftAlone=[],
                subscriptionId=SUBSCRIPTION_ID,
                subscriptionCreatedAt=FROM,
                timezone="UTC",
            ),
        ),
        (
            202,
            "The due times are stored.",
            backfill(2, progress=PROGRESS, followed=[FROM, DUE]),
        ),
    ),
    "POST /v1/subscriptions/{name}/backfill/progress": (
        (
            200,
            "How far it is.",
            {
                "subscription": "eu-orders",
                "trigger": "nightly",
                "progress": PROGRESS,
                "neverReleased": 0,
            },
        ),
    ),
    "POST /v1/events/replay": (
        (
            200,
            "What was routed again; with `?dryRun=true`, what would start.",
            {
                "replay": "after-the-outage",
                "since": FROM,
                "until": DUE,
                "events": 12,
                "triggers": [],
                "recorded": 3,
                "isComplete": True,
            },
        ),
    ),
    "POST /v1/subscriptions/{name}/backfill/cancel": (
        (200, "They do not run.", {"subscription": "eu-orders", "cancelled": 1}),
    ),
    "POST /v1/runs/{run_id}/cancel": (
        (200, "The run has ended, with `?wait=SECONDS`.", run("cancelled")),
        (202, "The request is stored.", run("cancelling", None)),
    ),
    "GET /v1/runs/{run_id}/wait": ((200, "The run has ended.", run()),),
    "POST /v1/runs/{run_id}/replay": (
        (
            200,
            "The new run has ended, with `?wait=SECONDS`; the plan, with `?dryRun=true`.",
            {"subscription": "eu-orders", "definition": "order-review", "replayOf": RUN_ID},
        ),
        (202, "The new run is stored.", queued()),
    ),
    "POST /v1/tasks/{task_id}/complete": (
        (
            200,
            "The answer is stored.",
            {
                "id": "8188558f-7de4-5c21-a0e9-06fa04fee680",
                "run": RUN_ID,
                "outcome": "completed",
                "completedBy": "token/desk",
                "completedAt": STARTED,
            },
        ),
    ),
    "POST /v1/deadletters/{letter_id}/retry": (
        (200, "The new run has ended.", letter("retried", RUN_ID, "succeeded")),
        (202, "The new run is stored.", letter("retried", RUN_ID, None)),
    ),
    "POST /v1/deadletters/{letter_id}/discard": (
        (200, "It is closed.", letter("discarded", None, None)),
    ),
    "GET /v1/subscriptions/{name}/logs": ((200, "A page, the oldest entry first.", log()),),
    "GET /v1/logs": ((200, "A page, the oldest entry first.", log()),),
    "GET /v1/export": ((200, "The manifests.", listed(MANIFEST)),),
    "GET /v1/schema": (
        (200, "The schema.", {"$schema": "https://json-schema.org/draft/2020-12/schema"}),
    ),
    "GET /v1/{kind}/{name}/history": (
        (
            200,
            "The changes, the newest first.",
            listed({"number": 2, "action": "configured", "at": STARTED, "actor": "token/ci"}),
        ),
    ),
    "POST /v1/{kind}/{name}/rollback": (
        (
            200,
            "The earlier version is stored.",
            changed("ApplyResult", "configured", schedules=SCHEDULES),
        ),
    ),
    "GET /v1/runs/{run_id}/logs": ((200, "A page, the oldest entry first.", log()),),
    "GET /v1/{kind}": ((200, "A page of the list.", listed(run(), metadata={"hasMore": False})),),
    "GET /v1/{kind}/{name}": (
        (
            200,
            "The object, with what belongs to it.",
            of("subscription", id=SUBSCRIPTION_ID, name="eu-orders", status="active"),
        ),
    ),
    "POST /v1/sources/{name}": (
        (200, "The events are stored, or a challenge is answered.", EVENTS),
    ),
}
