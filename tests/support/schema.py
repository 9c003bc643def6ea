"""Documents that use every field, and checks whether the schema and the loader refuse one."""

from typing import Any

from jsonschema import Draft202012Validator

from activityctl import wiring
from activityctl.adapters.manifests.manifests import _validate
from activityctl.domain.manifests.checks import check_definition
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.schema import document_schema

KINDS = wiring.known_kinds()
SCHEMA = document_schema(KINDS)
VALIDATOR = Draft202012Validator(SCHEMA)
FULL: dict[str, Any] = {
    "apiVersion": "activityctl/v1",
    "kind": "ActivityDefinition",
    "metadata": {"name": "full", "labels": {"a": "b"}, "annotations": {"c": "d"}},
    "spec": {
        "description": "All of it.",
        "params": {"type": "object", "required": ["n"], "properties": {"n": {"type": "number"}}},
        "triggers": [
            {"name": "cron", "cron": {"schedule": "0 2 * * 1-5", "timezone": "Europe/Berlin"}},
            {"name": "beat", "interval": {"every": "30m", "offset": "PT5M", "jitter": "1s"}},
        ],
        "timeout": "1h30m",
        "context": [{"name": "before", "runs": {"limit": 5, "status": "succeeded"}}],
        "rules": [{"when": "params.n > 1.0", "otherwise": "too small"}],
        "tasks": [
            {
                "name": "call",
                "http": {
                    "method": "POST",
                    "url": "https://x.example/${ params.n }",
                    "headers": {"X-A": "b"},
                    "query": {"page": 1, "tag": ["a", True]},
                    "json": {"n": "${ params.n }"},
                    "expect": ["2xx", 404],
                },
                "retry": {"maxAttempts": 3, "initialInterval": "1s", "backoff": 2.5},
                "timeout": {"startToClose": "30s", "scheduleToStart": "10m"},
            },
            {
                "name": "many",
                "needs": ["call"],
                "when": "tasks.call.status == 'succeeded'",
                "forEach": [1, 2],
                "maxParallel": 2,
                "command": {"shell": "echo $A", "env": {"A": "${ item }"}, "successCodes": [0, 1]},
            },
        ],
        "onFailure": [{"name": "page", "command": {"argv": ["echo", "${ run.error }"]}}],
        "state": {"n": "${ params.n }"},
    },
}
SUBSCRIPTION: dict[str, Any] = {
    "apiVersion": "activityctl/v1",
    "kind": "Subscription",
    "metadata": {"name": "sub"},
    "spec": {
        "activity": "full",
        "params": {"n": 1},
        "triggers": {"beat": None, "cron": {"cron": {"schedule": "@daily"}}},
        "paused": True,
    },
}


def refused_by_schema(document: Any) -> bool:
    return not VALIDATOR.is_valid(document)


def refused_by_loader(document: Any) -> bool:
    findings, model = _validate(document)
    if findings or model is None:
        return True
    return isinstance(model, ActivityDefinition) and bool(check_definition(model.spec, KINDS))
