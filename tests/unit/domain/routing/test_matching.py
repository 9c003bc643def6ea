import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.cel.expression import evaluate
from activityctl.domain.events.parts import FilterPart, matches_glob, pattern_parts
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.routing.matching import match
from activityctl.errors import ExpressionError
from support.examples import examples

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/shops/hamburg",
    "type": "order.created",
    "data": {"amount": 12, "region": "eu", "note": "a" * 200},
}


def trigger(**body: Any) -> EventTrigger:
    return EventTrigger.model_validate_json(json.dumps(body))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"type": "payment.*"}, "type is order.created, not payment.*"),
        ({"type": ["a", "b", "c"]}, "type is order.created, not a, b or c"),
        ({"source": "/shops/b*"}, "source is /shops/hamburg, not /shops/b*"),
        ({"subject": "*"}, "subject is missing, not *"),
        ({"match": {"data.region": "us"}}, 'data.region is "eu", not "us"'),
        ({"match": {"data.amount": ["12", True]}}, 'data.amount is 12, not "12" or true'),
        ({"match": {"data.tier": None}}, "data.tier is missing, not null"),
        ({"match": {"data.region.code": 1}}, "data.region.code is missing, not 1"),
        ({"match": {"data.n": [1, 2, 3, 4, 5, 6]}}, "data.n is missing, not one of 6 values"),
        (
            {"filter": "event.data.amount > params.threshold"},
            "filter is false: event.data.amount > params.threshold",
        ),
        (
            {"filter": 'event.data.region == "eu" && event.data.amount > params.threshold'},
            "filter is false: event.data.amount > params.threshold",
        ),
        (
            {"filter": "event.data.total > params.threshold"},
            "filter error: no such key: 'total', in event.data.total > params.threshold",
        ),
        (
            {"filter": "event.data.region"},
            "filter error: the condition returned the string 'eu', not true or false",
        ),
    ],
)
def test_a_match_that_is_false_has_a_reason(body, reason):
    found = match(trigger(**body), {"threshold": 100}, EVENT)
    assert (found.matched, found.reason) == (False, reason)
    assert found.has_failed == reason.startswith("filter error")


def test_a_reason_is_short_however_long_the_value():
    found = match(trigger(match={"data.note": "b" * 500}), {}, EVENT)
    assert len(found.reason or "") < 200


def test_a_false_part_decides_even_when_another_part_fails():
    source = "event.data.total > 1 && event.data.amount > 99"
    found = match(trigger(filter=source), {}, EVENT)
    assert not found.matched
    assert not found.has_failed
    assert found.reason == "filter is false: event.data.amount > 99"


def test_an_event_matches_when_all_parts_hold():
    body = {
        "type": ["payment.*", "order.*"],
        "source": "*/hamburg",
        "match": {"data.region": ["us", "eu"], "data.amount": 12.0},
        "filter": "event.data.amount > params.threshold",
    }
    found = match(trigger(**body), {"threshold": 10}, EVENT)
    assert found.matched
    assert found.reason is None
    assert [result.holds for result in found.parts] == [True] * 5


def test_short_forms_are_shown_as_cel():
    body = {
        "type": ["order.created", "payment.*"],
        "source": "/a*b*",
        "subject": "x",
        "match": {"data.order-id": 1, "tenant": ["a", None]},
    }
    assert [part.text for part in pattern_parts(trigger(**body))] == [
        'event.type == "order.created" || event.type.startsWith("payment.")',
        'event.source.matches("(?s)^/a.*b.*$")',
        'has(event.subject) && event.subject == "x"',
        "has(event.data) && has(event.data.`order-id`) && event.data.`order-id` == 1",
        'has(event.tenant) && event.tenant in ["a", null]',
    ]


def maps(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(["a", "b", "in", "c-d"]), inner, max_size=3)


TEXTS = st.text(st.sampled_from("ab.*\n^$(é\\"), max_size=6)
PATTERNS = st.lists(TEXTS.filter(bool), min_size=1, max_size=3)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 1.0, 0.5, 2**53, 2**53 + 1, 2.0**53, 2**63, 2**64, -(2**70)]),
    TEXTS,
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=2), maps(inner)), max_leaves=4
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    event: dict[str, Any] = {"id": "1", "source": draw(TEXTS), "type": draw(TEXTS)}
    if draw(st.booleans()):
        event["subject"] = draw(TEXTS)
    if draw(st.booleans()):
        event["data"] = draw(st.one_of(maps(VALUES), VALUES))
    return event


PATHS = st.lists(st.sampled_from(["a", "b", "in", "c-d"]), min_size=1, max_size=2).map(
    lambda names: ".".join(["data", *names])
)
SHORT = st.fixed_dictionaries(
    {},
    optional={
        "type": PATTERNS,
        "source": PATTERNS,
        "subject": PATTERNS,
        "match": st.dictionaries(PATHS, st.lists(SCALARS, min_size=1, max_size=3), min_size=1),
    },
).filter(bool)


@settings(max_examples=examples(400), deadline=None)
@given(SHORT, events())
def test_a_short_form_gives_the_same_as_its_cel(body, event):
    for part in pattern_parts(trigger(**body)):
        assert not isinstance(part, FilterPart)
        try:
            value = evaluate(part.text, {"event": event})
        except ExpressionError:  # `has` below a value that is not a map
            value = False
        assert part.holds(event) is value, part.text


@settings(max_examples=examples(300), deadline=None)
@given(TEXTS, TEXTS)
def test_a_star_matches_any_characters(text, pattern):
    expression = ".*".join(re.escape(piece) for piece in pattern.split("*"))
    assert matches_glob(text, pattern) == bool(re.fullmatch(expression, text, re.DOTALL))


def test_no_character_is_matched_twice():
    assert not matches_glob("a", "a*a")
    assert not matches_glob("ab", "ab*b")
    assert matches_glob("aa", "a*a")


def test_a_pattern_with_many_stars_is_fast_on_a_long_text():
    assert not matches_glob("ab" * 50_000, "*a" * 200 + "c")


ATOMS = st.sampled_from(
    ["true", "false", "event.yes", "event.no", "event.none", "event.text", "event.text == 'a)'"]
)
FORMULAS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" && ", " || "]), inner).map("".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"!({text})"),
        st.tuples(inner, inner, inner).map(lambda texts: f"(({texts[0]}) ? {texts[1]} : false)"),
    ),
    max_leaves=8,
)


@settings(max_examples=examples(400), deadline=None)
@given(FORMULAS)
def test_a_filter_split_at_and_gives_the_same_as_the_whole(source):
    event = {**EVENT, "yes": True, "no": False, "text": "a)"}
    try:
        whole = evaluate(source, {"event": event})
    except ExpressionError:
        whole = None
    found = match(trigger(filter=source), {}, event)
    result = None if found.has_failed else found.matched
    assert result == (whole if isinstance(whole, bool) else None)
