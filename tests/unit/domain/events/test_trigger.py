"""Event triggers of one event: their shape, their filters and their JSON Schema."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from activityctl.domain.cel.static_type import params_type
from activityctl.domain.events.trigger import EventTrigger, check_event_trigger
from activityctl.domain.values.finding import findings_of
from activityctl.domain.values.model import canonical

PARAMS = params_type(
    {"type": "object", "properties": {"threshold": {"type": "number"}, "who": {"type": "string"}}}
)


def read(body: dict[str, Any]) -> EventTrigger:
    return EventTrigger.model_validate_json(json.dumps(body))


def refused(body: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        read(body)
    found = findings_of(caught.value, EventTrigger)
    return [(".".join(map(str, finding.path)), finding.reason) for finding in found]


def wrong(source: str) -> list[tuple[int | None, str]]:
    found = check_event_trigger(read({"filter": source}), PARAMS)
    assert all(finding.path == ("filter",) for finding in found)
    return [(finding.offset, finding.reason) for finding in found]


def test_a_single_pattern_or_value_means_a_list_of_one():
    single = read({"type": "order.*", "match": {"data.region": "eu", "data.vip": None}})
    listed = read({"type": ["order.*"], "match": {"data.region": ["eu"], "data.vip": [None]}})
    assert single == listed


def test_a_trigger_read_again_from_its_canonical_form_is_the_same():
    trigger = read({"type": "a", "match": {"data.n": [1, 2.5, True]}, "ordered": True})
    assert read(canonical(trigger)) == trigger
    assert EventTrigger.model_validate(canonical(trigger)) == trigger


def test_a_trigger_takes_windows_as_every_kind_does():
    assert read({"type": "a", "window": {"from": "08:00", "to": "18:00"}}).window is not None


@pytest.mark.parametrize("body", [{}, {"ordered": True}, {"match": {}}, {"filter": ""}])
def test_a_trigger_that_names_no_event_is_refused(body):
    ((place, reason),) = refused(body)
    assert place == ""
    assert 'type: "*" matches every event' in reason


@pytest.mark.parametrize(
    ("body", "place", "reason"),
    [
        ({"type": ""}, "type.0", "should have 1 to 1024 characters"),
        ({"type": ["a", "b\0"]}, "type.1", "contains NUL or half a surrogate pair"),
        ({"type": []}, "type", "should have at least 1 item"),
        ({"type": 3}, "type.0", "should be a string; put the value in quotes"),
        ({"typ": "a"}, "typ", "unknown field 'typ'; did you mean 'type'?"),
        ({"match": {"data.a": {"b": 1}}}, "match.data.a.0", "use filter for other conditions"),
        ({"match": {"data.a": []}}, "match.data.a", "should have at least 1 item"),
        (
            {"match": {"event.data.a": 1}},
            "match.event.data.a",
            "write it without the prefix `event.`: data.a",
        ),
        ({"match": {"order.id": 1}}, "match.order.id", "did you mean data.order.id?"),
        ({"match": {"data.a..b": 1}}, "match.data.a..b", "not a path such as data.status"),
        ({"match": {"data.a b": 1}}, "match.data.a b", "not a path such as data.status"),
    ],
)
def test_a_pattern_that_cannot_match_is_refused_with_its_path(body, place, reason):
    ((found_place, found_reason),) = refused(body)
    assert found_place == place
    assert reason in found_reason


@pytest.mark.parametrize(
    ("source", "offset", "reason"),
    [
        ("event.data.amount > params.treshold", 27, "did you mean `threshold`?"),
        ("event.data.amount > param.threshold", 20, "did you mean `params`?"),
        ("tasks.a.output == 1", 0, "`tasks` is not available here"),
        ("params.who > 3", 11, "does not take (string, int)"),
        ("event.type == 3", 11, "never equal"),
        ("event.source.name == 'x'", 13, "it has no field `name`"),
        ("event.data.amount >", 19, "ends too early"),
        ("params.who", 0, "the result is a string, not true or false"),
    ],
)
def test_a_wrong_filter_is_found_at_its_position(source, offset, reason):
    ((found_offset, found_reason),) = wrong(source)
    assert found_offset == offset
    assert reason in found_reason


@pytest.mark.parametrize(
    "source", ["event.tenant == 'a'", "event.data.x.y[0] == params.threshold", "has(event.subject)"]
)
def test_extensions_and_all_of_the_data_may_be_read(source):
    assert wrong(source) == []


def test_the_json_schema_takes_what_the_model_takes():
    validator = Draft202012Validator(EventTrigger.model_json_schema())
    for body in ({"type": "a"}, {"type": ["a", "b"]}, {"match": {"data.a": [1, None], "x": "y"}}):
        assert validator.is_valid(body)
        assert read(body)
    for body in ({"type": 3}, {"type": []}, {"type": ""}, {"match": {"data.a": {}}}):
        assert not validator.is_valid(body)
        assert refused(body)
    assert not validator.is_valid({"match": {"order.id": 1}})
