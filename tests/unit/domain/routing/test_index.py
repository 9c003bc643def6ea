from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.cel import bound_event, program
from activityctl.domain.routing.index import EventIndex, FilterFailed, Matched
from support.examples import examples
from support.index_samples import BODIES, EVENTS, FILTERS, PARAMS, event, listener, match_each


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(BODIES, PARAMS), max_size=15),
    st.lists(st.tuples(FILTERS, PARAMS), min_size=10, max_size=40),
    st.lists(EVENTS, min_size=1, max_size=8),
)
def test_an_index_finds_the_same_as_matching_each_listener(various, alike, some_events):
    bodies = [*various, *(({"type": "a*", "filter": text}, params) for text, params in alike)]
    listeners = [listener(number, *body) for number, body in enumerate(bodies)]
    index = EventIndex(listeners)
    for some_event in some_events:
        found = index.matches(some_event)
        assert found == match_each(listeners, some_event)
        names = [each.listener.subscription for each in found]
        candidates = [each.subscription for each in index.candidates(some_event)]
        assert [name for name in candidates if name in names] == names


@pytest.mark.parametrize(
    "body",
    [
        lambda number: ({"type": f"order.{number}"}, {}),
        lambda number: ({"type": f"order.{number}.*"}, {}),
        lambda number: ({"type": "order*", "source": f"/shops/{number}/*"}, {}),
        lambda number: ({"type": ["a", "order*"], "match": {"data.c": [number, f"c{number}"]}}, {}),
        lambda number: ({"type": "*", "filter": "event.data.c == params.c"}, {"c": number}),
        lambda number: ({"type": "*", "filter": "event.data.c in params.c"}, {"c": [number, "-"]}),
        lambda number: (
            {"type": "*", "filter": "event.data.c < params.c && event.data.c > 997"},
            {"c": number},
        ),
        lambda number: ({"type": "*", "filter": f"event.data.c + 1 == {number + 1}"}, {}),
        lambda number: (
            {"type": "*", "filter": f"event.type != 'a' && {number} == event.data.c"},
            {},
        ),
        lambda number: ({"type": "*", "filter": f"event.data.c in [{number}, {-number}]"}, {}),
        lambda number: (
            {"type": "*", "filter": f"(event.data.c == {number}) || event.data.c == 'c{number}'"},
            {},
        ),
        lambda number: (
            {"type": "*", "filter": f"event.source.startsWith('/shops/{number}/')"},
            {},
        ),
        lambda number: (
            {"type": "*", "filter": "event.source.endsWith('/' + params.c + '/x')"},
            {"c": str(number)},
        ),
        lambda number: ({"type": "*", "filter": f"event.source.endsWith('/{number}/x')"}, {}),
        lambda number: (
            {"type": "*", "filter": f"event.data.c >= {number} && event.data.c < {number + 1}"},
            {},
        ),
        lambda number: ({"type": "*", "filter": f"event.source.contains('/{number}/')"}, {}),
        lambda number: (
            {"type": "*", "filter": "event.source.upperAscii().contains('/' + params.c + '/X')"},
            {"c": str(number)},
        ),
        lambda number: (
            {
                "type": "*",
                "filter": f"event.source.matches('^/shops/{number}/[xyz]$')"
                f" || event.type.contains('.{number}.')",
            },
            {},
        ),
        lambda number: ({"type": "*", "filter": "params.c in event.data.d"}, {"c": number}),
        lambda number: (
            {"type": "*", "filter": "event.data.e.exists(i, i.n == params.c)"},
            {"c": number},
        ),
        lambda number: ({"type": "*", "filter": f"event.data.c * 2 + 1 == {number * 2 + 1}"}, {}),
        lambda number: (
            {
                "type": "*",
                "filter": f"event.data.c * 2 >= {number * 2}"
                f" && event.data.c * 2 < {number * 2 + 2}",
            },
            {},
        ),
    ],
)
def test_few_of_many_listeners_are_candidates(body):
    index = EventIndex([listener(number, *body(number)) for number in range(800, 1000)])
    data = {"c": 998, "d": ["a", 998], "e": [{"n": 1_998}, {"n": 998}]}
    sent = event(type="order.998.x", source="/shops/998/x", data=data)
    alike = event(type="order.998", source="/shops/998/x", data=data)
    assert len(list(index.candidates(sent))) <= 2
    assert [each.listener.subscription for each in index.matches(sent) + index.matches(alike)]


def test_a_filter_guarded_by_has_gives_no_candidates_for_events_without_the_field():
    body = {"type": "*", "filter": "has(event.data.c) && event.data.c == params.c"}
    listeners = [listener(number, body, {"c": number}) for number in range(1000)]
    index = EventIndex(listeners)
    few = EventIndex(listeners[:5])
    assert [len(list(each.candidates(event(data={"d": 1})))) for each in (index, few)] == [0, 0]
    assert index.matches(event(data={"c": 7})) == [Matched(listeners[7])]
    assert len(index.matches(event())) == 1000  # without `data`, `has` itself fails


def test_each_filter_is_compiled_once():
    texts = [f"event.data.c == {number}" for number in range(1100)]
    bodies = [{"type": "*", "filter": text} for text in texts]
    index = EventIndex([listener(number, body) for number, body in enumerate(bodies)])
    some_events = [event(data={"c": number}) for number in range(len(texts))]
    before = [index.matches(each) for each in some_events]
    misses = program.compiled.cache_info().misses
    assert [index.matches(each) for each in some_events] == before
    assert program.compiled.cache_info().misses == misses


@pytest.mark.parametrize(
    ("call", "text", "holds"),
    [
        ("startsWith('ab')", "abc", True),
        ("startsWith('ab')", "bab", False),
        ("startsWith('ab')", "a", False),
        ("endsWith('ab')", "cab", True),
        ("endsWith('ab')", "abc", False),
        ("endsWith('ab')", "b", False),
        ("endsWith('é😀')", "xé😀", True),
        ("startsWith('')", "", True),
        ("endsWith('')", "x", True),
    ],
)
def test_starts_with_and_ends_with_work_as_in_cel(call, text, holds):
    listeners = [listener(0, {"type": "*", "filter": f"event.data.x.{call}"})]
    for some_event in (event(data={"x": text}), event(data={"x": 7}), event(data={})):
        assert EventIndex(listeners).matches(some_event) == match_each(listeners, some_event)
    assert len(EventIndex(listeners).matches(event(data={"x": text}))) == holds


def test_a_filter_that_fails_is_reported_for_each_listener_in_order():
    body = {"type": "order.*", "filter": "event.data.amount > params.least"}
    listeners = [listener(number, body, {"least": number}) for number in range(20)]
    found = EventIndex(listeners).matches(event(data={}))
    assert [each.listener for each in found] == listeners
    assert isinstance(found[0], FilterFailed)
    assert found[0].reason.startswith("filter error: no such key: 'amount'")


def test_a_listener_whose_filter_fails_does_not_hide_the_others():
    body = {"type": "order.*", "filter": "event.data.amount > params.least"}
    listeners = [listener(number, body, {"least": number}) for number in range(200)]
    listeners[77] = listener(77, body, {})
    found = EventIndex(listeners).matches(event(data={"amount": 2}))
    assert [(type(each), each.listener.subscription) for each in found] == [
        (Matched, "s0"),
        (Matched, "s1"),
        (FilterFailed, "s77"),
    ]


def test_listeners_with_equal_params_all_match():
    body = {"type": "order.*", "filter": "event.data.amount + 1 > params.least"}
    listeners = [listener(number, body, {"least": 5, "unread": number}) for number in range(50)]
    index = EventIndex(listeners)
    assert len(index.matches(event(data={"amount": 5}))) == 50
    assert index.matches(event(data={"amount": 1})) == []


def test_special_params_keep_their_values_in_a_prefilter():
    texts = [
        "\"'\\",
        "\n\t\x01\x7f",
        "é\U0001f600",
        "${x}",
        "//",
        "]).exists(p, true)",
        2**63,
        -(2**63),
    ]
    texts += [2**64, 1e300, 0.1, True, None, [1, "a"], {"k": [None]}]
    body = {"type": "order.*", "filter": "[params.p] == [event.data.x] // all of it"}
    listeners = [listener(number, body, {"p": text}) for number, text in enumerate(texts)]
    index = EventIndex(listeners)
    for number, text in enumerate(texts):
        (found,) = index.matches(event(data={"x": text}))
        assert found == Matched(listeners[number])
        assert len(list(index.candidates(event(data={"x": text})))) <= 2


def test_an_event_too_large_for_prefilters_is_still_matched(monkeypatch):
    monkeypatch.setattr(bound_event, "_MAX_EVENT", 10)
    body = {"type": "order.*", "filter": "(event.data.text + 'x').contains(params.p + 'x')"}
    index = EventIndex([listener(number, body, {"p": str(number)}) for number in range(20)])
    sent = event(data={"text": "x" * 100 + "7"})
    assert len(list(index.candidates(sent))) == 20
    found = index.matches(sent)
    assert [each.listener.subscription for each in found] == ["s7"]


@pytest.mark.parametrize(
    ("source", "amount"),
    [
        ("event.data.amount > params.low && event.data.amount <= params.high", 500.5),
        ("params.high >= event.data.amount && params.low < event.data.amount", 500.5),
        ("params.low < event.data.amount && params.high >= event.data.amount", 501),
    ],
)
def test_few_of_many_intervals_are_candidates(source, amount):
    bounds = [{"low": number, "high": number + 1} for number in range(1000)]
    body = {"type": "order.*", "filter": source}
    index = EventIndex([listener(number, body, params) for number, params in enumerate(bounds)])
    sent = event(data={"amount": amount})
    assert [each.listener.subscription for each in index.matches(sent)] == ["s500"]
    assert len(list(index.candidates(sent))) <= 2
    assert len(index.matches(event(data={"amount": "500.5"}))) == 1000


@pytest.mark.parametrize(
    ("sign", "bound", "amount", "outcome"),
    [
        (">", True, 0, FilterFailed),
        (">", 1, False, FilterFailed),
        (">=", 2**53 + 1, 2.0**53, Matched),  # CEL compares them as doubles
        (">=", 2.0**53, 2**53 - 1, None),
        ("<", 2**63, 2**64, FilterFailed),  # which is read as a string
    ],
)
def test_numbers_are_compared_as_in_cel_with_many_listeners(sign, bound, amount, outcome):
    body = {"type": "order.*", "filter": f"event.data.amount {sign} params.bound"}
    listeners = [listener(number, body, {"bound": bound}) for number in range(20)]
    sent = event(data={"amount": amount})
    found = EventIndex(listeners).matches(sent)
    assert found == match_each(listeners, sent)
    assert {type(each) for each in found} == ({outcome} if outcome else set())


def test_params_too_long_for_a_prefilter_are_still_matched():
    body = {"type": "order.*", "filter": "params.p.startsWith(event.data.text)"}
    texts = [*map(str, range(20)), "long" * 10_000]
    index = EventIndex([listener(number, body, {"p": text}) for number, text in enumerate(texts)])
    found = index.matches(event(data={"text": "long"}))
    assert [each.listener.subscription for each in found] == ["s20"]


@pytest.mark.parametrize(
    ("wanted", "value", "is_equal"),
    [
        (2**53 + 1, 2.0**53, True),  # CEL compares them as doubles
        (2.0**53, 2**53 + 1, True),
        (2**53 + 1, 2**53, False),
        (1, 1.0, True),
        (1, True, False),
        (False, 0, False),
        (2**70, str(2**70), True),  # so large an integer is read as a string
        (None, None, True),
        (None, "", False),
    ],
)
def test_values_are_equal_as_in_cel_in_every_form_of_trigger(wanted, value, is_equal):
    ways = [
        ({"type": "*", "match": {"data.x": wanted}}, {}),
        ({"type": "*", "match": {"data.x": ["other", wanted]}}, {}),
        ({"type": ["order.other", "order.created"], "match": {"data.x": wanted}}, {}),
        ({"type": "*", "filter": "event.data.x == params.p"}, {"p": wanted}),
        ({"type": "*", "filter": "event.data.x in params.p"}, {"p": ["other", wanted]}),
    ]
    index = EventIndex([listener(number, *way) for number, way in enumerate(ways)])
    assert len(index.matches(event(data={"x": value}))) == (len(ways) if is_equal else 0)


def test_data_that_is_nested_too_deep_fails_each_filter_that_reads_it():
    body = {"type": "order.*", "filter": "event.data.x == params.p"}
    listeners = [listener(number, body, {"p": number}) for number in range(10)]
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    found = EventIndex(listeners).matches(event(data={"x": deep}))
    assert [each.listener for each in found] == listeners
    assert all(isinstance(each, FilterFailed) and "nested deeper" in each.reason for each in found)


def test_lists_with_many_combinations_are_matched_completely():
    body = {"type": "a", "match": {f"data.{name}": [*range(20)] for name in "xyz"}}
    index = EventIndex([listener(0, body), listener(1, {"type": "a"})])
    assert len(index.matches(event(type="a", data={"x": 19, "y": 0, "z": 7}))) == 2
    for wrong in "xyz":
        data = {"x": 1, "y": 1, "z": 1, wrong: 20}
        assert len(index.matches(event(type="a", data=data))) == 1
