"""Subscriptions: their shape, and the triggers that their overrides lead to."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.subscription import (
    SubscriptionManifest,
    SubscriptionSpec,
    effective_triggers,
)
from activityctl.domain.values.finding import findings_of

SPEC = DefinitionSpec.model_validate_json(
    json.dumps(
        {
            "tasks": [{"name": "a", "say": {}}],
            "triggers": [
                {"name": "nightly", "cron": {"schedule": "0 2 * * *", "jitter": "30s"}},
                {"name": "beat", "interval": {"every": "30m"}},
            ],
        }
    )
)
NIGHTLY = ("nightly", "cron", {"schedule": "0 2 * * *", "jitter": "30s"})
BEAT = ("beat", "interval", {"every": "30m"})


@pytest.mark.parametrize(
    ("overrides", "triggers"),
    [
        ({}, [NIGHTLY, BEAT]),
        ({"beat": None}, [NIGHTLY]),
        ({"beat": None, "nightly": None}, []),
        ({"other": None}, [NIGHTLY, BEAT]),
        (
            {"nightly": {"cron": {"schedule": "0 3 * * *"}}},
            [("nightly", "cron", {"schedule": "0 3 * * *", "jitter": "30s"}), BEAT],
        ),
        (
            {"nightly": {"cron": {"timezone": "Europe/Berlin"}}},
            [("nightly", "cron", {**NIGHTLY[2], "timezone": "Europe/Berlin"}), BEAT],
        ),
        (
            {"nightly": {"interval": {"every": "1d"}}},
            [("nightly", "interval", {"every": "1d"}), BEAT],
        ),
    ],
)
def test_overrides_replace_fields_of_the_triggers(overrides: dict[str, Any], triggers: list[Any]):
    found = effective_triggers(SPEC, overrides)
    assert [(trigger.name, trigger.kind, trigger.body) for trigger in found] == triggers
    assert SPEC.triggers[0].body == NIGHTLY[2]


def test_optional_fields_have_their_defaults():
    spec = SubscriptionSpec.model_validate_json('{"activity": "digest"}')
    assert (spec.params, spec.triggers, spec.paused) == ({}, {}, None)


@pytest.mark.parametrize(
    ("spec", "place", "reason"),
    [
        ({}, ("spec", "activity"), "required field is missing"),
        ({"activity": "A"}, ("spec", "activity"), "not a valid name"),
        ({"activity": "a", "paused": "no"}, ("spec", "paused"), "should be a valid boolean"),
        ({"activity": "a", "params": []}, ("spec", "params"), "should be an object"),
        ({"activity": "a", "parms": {}}, ("spec", "parms"), "unknown field 'parms'"),
        ({"activity": "a", "triggers": {"beat": 5}}, ("spec", "triggers", "beat"), "should be an"),
        ({"activity": "a", "triggers": {"B": None}}, ("spec", "triggers", "B"), "not a valid name"),
    ],
)
def test_a_wrong_shape_is_refused_with_its_path(
    spec: dict[str, Any], place: tuple[str, ...], reason: str
):
    document = {"metadata": {"name": "sub"}, "spec": spec}
    with pytest.raises(ValidationError) as caught:
        SubscriptionManifest.model_validate_json(json.dumps(document))
    (finding,) = findings_of(caught.value, SubscriptionManifest)
    assert finding.path == place
    assert finding.reason.startswith(reason)
    assert finding.at_key is (reason.startswith("unknown") or place[-1] == "B")
