"""What the rules of a run said is told as it was decided then."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.rule_values import rule_values
from activityctl.domain.runs.run import Run, RunStatus

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SPEC = DefinitionSpec.model_validate_json(
    json.dumps(
        {
            "rules": [
                {"when": "params.limit > 5"},
                {"when": "context.customer.active", "otherwise": "the customer is not active"},
                {"when": "params.limit < 9"},
            ],
            "tasks": [{"name": "a", "say": {}}],
        }
    )
)
RUN: Any = Run(
    id="r",  # type: ignore[arg-type]
    subscription_id="s",  # type: ignore[arg-type]
    subscription="s",
    definition="d",
    revision_id="v",  # type: ignore[arg-type]
    trigger="t",
    firing_key="k",
    due_at=NOW,
    status=RunStatus.SUCCEEDED,
    created_at=NOW,
    started_at=NOW,
    ended_at=NOW,
    params={"limit": 7},
    context={"customer": {"active": True}},
)


def values(run: Run) -> list[bool | None]:
    return [rule.value for rule in rule_values(run, SPEC)]


def test_the_rules_of_a_run_that_started_were_true():
    assert values(RUN) == [True, True, True]


def test_no_rule_is_evaluated_after_one_that_is_false_or_fails():
    skipped = replace(
        RUN,
        status=RunStatus.SKIPPED,
        started_at=None,
        reason="the customer is not active",
        context={"customer": {"active": False}},
    )
    assert values(skipped) == [True, False, None]
    assert rule_values(skipped, SPEC)[1].reason == "the customer is not active"
    failed = replace(RUN, status=RunStatus.FAILED, context={})
    assert values(failed) == [True, None, None]
    assert "customer" in str(rule_values(failed, SPEC)[1].reason)


def test_the_rules_of_a_run_that_was_refused_before_them_have_no_value():
    refused = replace(
        RUN, status=RunStatus.SKIPPED, started_at=None, reason="the subscription is paused"
    )
    assert values(refused) == [None, None, None]
    waiting = replace(RUN, status=RunStatus.QUEUED, started_at=None, ended_at=None)
    assert values(waiting) == [None, None, None]
