"""Makers of definitions with gates, and of runs that enter them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.run import Run
from support.runs import run_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def spec(policy: str = "allow", throttle: dict[str, Any] | None = None, **gate: Any):
    document: dict[str, Any] = {"tasks": [{"name": "a", "say": "x"}]}
    document["concurrency"] = {"policy": policy, **gate}
    if throttle is not None:
        document["throttle"] = throttle
    return DefinitionSpec.model_validate_json(json.dumps(document))


def run(key: str = "k", **fields: Any) -> Run:
    return run_of(NOW, key, **{"concurrency_key": "", "throttle_key": "", **fields})
