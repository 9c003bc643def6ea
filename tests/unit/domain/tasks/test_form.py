"""Forms: the fields in their order, and what a person types for each."""

from typing import Any

import pytest

from activityctl.domain.tasks.form import FormField, form_fields


def field(**schema: Any) -> FormField:
    return FormField("name", schema, is_required=True)


def test_required_fields_come_first_in_their_order():
    form = {"required": ["b", "a", "gone"], "properties": {"a": {}, "c": True, "b": {}}}
    fields = form_fields(form)
    assert [(each.name, each.is_required) for each in fields] == [
        ("b", True),
        ("a", True),
        ("c", False),
    ]
    assert form_fields({}) == []


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, " it is fine ", "it is fine"),
        ({"type": "string"}, "42", "42"),
        ({"type": "integer"}, "42", 42),
        ({"type": "number"}, "-0.5", -0.5),
        ({"type": "boolean"}, "Y", True),
        ({"type": "boolean"}, "no", False),
        ({"type": "array", "items": {"type": "string"}}, "a, b,", ["a", "b"]),
        ({"type": "array", "items": {"type": "integer"}}, "1,2", [1, 2]),
        ({"type": "array", "items": {"type": "string"}}, '["a,b"]', ["a,b"]),
        ({"type": "array"}, "[1, null]", [1, None]),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({}, "plain words", "plain words"),
        ({}, "[1]", [1]),
        ({"enum": ["approve", "reject"]}, "2", "reject"),
        ({"enum": ["approve", "reject"]}, "REJ", "reject"),
        ({"enum": [10, 1]}, "1", 1),  # the value itself comes before its number in the list
        ({"enum": [10, 30]}, "2", 30),
        ({"const": True}, "true", True),
    ],
)
def test_what_a_person_types_is_read(schema: dict[str, Any], text: str, value: Any):
    assert field(**schema).read(text) == value


@pytest.mark.parametrize(
    ("schema", "text", "reason"),
    [
        ({"type": "integer"}, "many", "'many' is no number: type a whole number"),
        ({"type": "number", "minimum": 0, "maximum": 1}, "NaN", "type a number from 0 to 1"),
        ({"type": "number"}, "true", "no number"),
        ({"type": "number"}, "1e999", "no number"),
        ({"type": "boolean"}, "maybe", "type y or n"),
        ({"type": "object"}, "{", "not valid JSON"),
        ({"enum": ["approve", "abort"]}, "a", "choose 1 to 2, or type one of approve, abort"),
        ({"enum": ["approve", "abort"]}, "3", "choose 1 to 2"),
    ],
)
def test_what_cannot_be_read_is_said(schema: dict[str, Any], text: str, reason: str):
    with pytest.raises(ValueError, match=r".") as caught:
        field(**schema).read(text)
    assert reason in str(caught.value)
