"""The schema of an event accepts what `envelope_of` accepts, as far as JSON Schema can say it."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from activityctl.domain.events.envelope import KNOWN_ATTRIBUTES, envelope_of
from activityctl.domain.events.envelope_schema import ENVELOPE_SCHEMA
from activityctl.errors import InvalidEventError

EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.created"}
VALIDATOR = Draft202012Validator(ENVELOPE_SCHEMA)


def is_event(value: Any) -> bool:
    try:
        envelope_of(value)
    except InvalidEventError:
        return False
    return True


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"subject": "order/42", "time": "2026-12-31T18:00:00Z"},
        {"subject": None, "data": None, "data_base64": "aGk="},
        {"data": {"amount": 1}, "datacontenttype": "application/json", "dataschema": "urn:x"},
        {"data": {"amount": 1}, "data_base64": None},
        {"tenant": "eu", "priority": 3, "sampled": True, "traceparent": None},
    ],
)
def test_an_event_fits(more: dict[str, Any]):
    assert is_event({**EVENT, **more})
    assert list(VALIDATOR.iter_errors({**EVENT, **more})) == []


@pytest.mark.parametrize(
    "more",
    [
        {"specversion": "0.3"},
        {"id": ""},
        {"id": None},
        {"source": 7},
        {"type": "x" * 1025},
        {"subject": ""},
        {"data": 1, "data_base64": "aGk="},
        {"data_base64": 7},
        {"customerId": "42"},
        {"amount": 1.5},
        {"order": {"id": 1}},
        {"count": 2**31},
    ],
)
def test_what_is_no_event_does_not_fit(more: dict[str, Any]):
    assert not is_event({**EVENT, **more})
    assert not VALIDATOR.is_valid({**EVENT, **more})


@pytest.mark.parametrize("name", EVENT)
def test_a_required_attribute_is_missing(name: str):
    rest = {key: value for key, value in EVENT.items() if key != name}
    assert not is_event(rest)
    assert not VALIDATOR.is_valid(rest)


def test_every_attribute_that_is_known_is_described():
    assert ENVELOPE_SCHEMA["properties"].keys() == KNOWN_ATTRIBUTES
    Draft202012Validator.check_schema(ENVELOPE_SCHEMA)
