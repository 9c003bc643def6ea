"""The findings of `check_subscription`: params and trigger overrides."""

import json
from typing import Any

import pytest

from activityctl.domain.manifests.checks import check_subscription
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.subscription import SubscriptionSpec

Path = tuple[str | int, ...]


def definition(**fields: Any) -> DefinitionSpec:
    document = {"tasks": [{"name": "a", "call": {}}], **fields}
    return DefinitionSpec.model_validate_json(json.dumps(document))


def found(definition: DefinitionSpec, **fields: Any) -> list[tuple[Path, str]]:
    document = {"activity": "digest", **fields}
    spec = SubscriptionSpec.model_validate_json(json.dumps(document))
    return [(finding.path, finding.reason) for finding in check_subscription(spec, definition)]


DIGEST = definition(
    params={
        "type": "object",
        "required": ["url", "region"],
        "properties": {"url": {"type": "string"}, "region": {"default": "eu"}},
        "additionalProperties": False,
    },
    triggers=[
        {"name": "beat", "interval": {"every": "30m"}},
        {"name": "nightly", "cron": {"schedule": "@daily", "jitter": "1m"}},
    ],
)


@pytest.mark.parametrize(
    "triggers",
    [
        {},
        {"beat": None, "nightly": None},
        {"beat": {"interval": {"every": "5m"}}},
        {"nightly": {"cron": {"timezone": "Europe/Berlin"}}},
        {"nightly": {"interval": {"every": "1d"}}},
    ],
)
def test_a_valid_subscription_has_no_findings(triggers: dict[str, Any]):
    assert found(DIGEST, params={"url": "/"}, triggers=triggers) == []


@pytest.mark.parametrize(
    ("params", "place", "reason"),
    [
        ({}, (), "'url' is a required property"),
        ({"url": 5}, ("url",), "5 is not of type 'string'; put the value in quotes"),
        (
            {"url": "/", "x": 1},
            (),
            "Additional properties are not allowed ('x' was unexpected)",
        ),
    ],
)
def test_params_must_match_the_schema(params: dict[str, Any], place: Path, reason: str):
    assert found(DIGEST, params=params) == [(("params", *place), reason)]


@pytest.mark.parametrize(
    ("override", "place", "reason"),
    [
        ({"baet": None}, ("baet",), "no such trigger: 'baet'; did you mean 'beat'?"),
        ({"beat": {}}, ("beat",), "an override must name exactly one kind, or be null"),
        (
            {"beat": {"interval": {}, "cron": {}}},
            ("beat",),
            "an override must name exactly one kind, or be null",
        ),
        (
            {"beat": {"intervall": {}}},
            ("beat", "intervall"),
            "unknown field 'intervall'; did you mean 'interval'?",
        ),
        (
            {"beat": {"name": "x"}},
            ("beat", "name"),
            "unknown field 'name'; known: chain, cron, event, interval",
        ),
        ({"beat": {"interval": "5m"}}, ("beat", "interval"), "should be an object"),
        ({"beat": {"interval": None}}, ("beat", "interval"), "should be an object"),
        (
            {"beat": {"interval": {"each": "5m"}}},
            ("beat", "interval", "each"),
            (
                "unknown field 'each'; known: endAt, every, exclude, jitter, maxFirings, "
                "misfire, offset, startAt, window"
            ),
        ),
        (
            {"beat": {"cron": {}}},
            ("beat", "cron", "schedule"),
            "required field is missing",
        ),
        (
            {"beat": {"interval": {"every": "${ params.every }"}}},
            ("beat", "interval", "every"),
            "a trigger cannot use ${ … }; a Subscription can override the trigger",
        ),
    ],
)
def test_an_override_must_fit_the_definition(override: dict[str, Any], place: Path, reason: str):
    assert found(DIGEST, params={"url": "/"}, triggers=override) == [(("triggers", *place), reason)]


def test_an_override_is_checked_together_with_the_remaining_fields():
    ((path, reason),) = found(
        definition(triggers=[{"name": "t", "interval": {"every": "1h", "jitter": "5m"}}]),
        triggers={"t": {"interval": {"every": "1m"}}},
    )
    assert path == ("triggers", "t", "interval", "every")
    assert reason == "1m is not longer than the jitter (5m)"


def test_a_definition_without_params_accepts_none():
    assert found(definition(), params={"x": 1}) == [
        (("params", "x"), "the definition has no params")
    ]
