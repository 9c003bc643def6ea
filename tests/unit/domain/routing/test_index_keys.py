import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.cel.expression import evaluate
from activityctl.domain.routing import matching
from activityctl.domain.routing.index import EventIndex
from activityctl.domain.routing.index_pattern import required_text
from activityctl.domain.routing.index_substrings import Substrings
from support.examples import examples
from support.index_samples import EVENTS, FILTERS, PARAMS, event, listener, match_each


@settings(max_examples=examples(40), deadline=None)
@given(
    st.lists(FILTERS, min_size=1, max_size=3),
    st.lists(PARAMS, min_size=8, max_size=20),
    st.lists(EVENTS, min_size=1, max_size=8),
)
def test_an_index_of_many_listeners_with_the_same_filter_finds_the_same(texts, params, some_events):
    bodies = [({"type": "a*", "filter": text}, own) for text in texts for own in params]
    listeners = [listener(number, *body) for number, body in enumerate(bodies)]
    index = EventIndex(listeners)
    for some_event in some_events:
        assert index.matches(some_event) == match_each(listeners, some_event)


def test_a_filter_is_evaluated_once_an_event_for_equal_params(monkeypatch):
    body = {"type": "order.*", "filter": "event.data.amount + 1 > params.least && event.data.ok"}
    listeners = [listener(number, body, {"least": number % 2}) for number in range(100)]
    evaluated: list[str] = []
    monkeypatch.setattr(matching, "is_true", lambda program, _: not evaluated.append(program))
    index = EventIndex(listeners)
    assert len(index.matches(event(data={"amount": 5, "ok": True}))) == 100
    assert len(evaluated) == 3
    assert len(index.matches(event(data={"amount": 5, "ok": True}))) == 100
    assert len(evaluated) == 6


@settings(deadline=None)
@given(
    st.lists(st.text("ab", min_size=1, max_size=5), max_size=40, unique=True),
    st.text("abc", max_size=30),
)
def test_substrings_are_those_that_occur_in_the_text(texts, searched):
    found = Substrings({text: text for text in texts}).inside(searched)
    assert sorted(found) == sorted(text for text in texts if text in searched)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("abc", "abc"),
        ("^order-12.*x$", "order-12"),
        ("[a-z]+-12-(paid)?y", "-12-"),
        (r"a\.b\d+\.json", ".json"),
        ("ab+c*d", "ab"),
        ("ab{0}", "a"),
        ("a{b}cd", "cd"),
        ("[]ab]cd", "cd"),
        ("a|b", None),
        ("(?i)abc", None),
        ("[[:alpha:]]b", None),
        ("ab(", None),
        (r"\x41", None),
        (".*", None),
        (1, None),
    ],
)
def test_the_text_that_each_match_of_a_pattern_contains(pattern, text):
    assert required_text(pattern) == text


@settings(deadline=None)
@given(st.text(r"ab(){}[]*+?.^$\\d0", max_size=10), st.text("abd0", max_size=10))
def test_no_pattern_matches_a_text_without_its_required_text(pattern, text):
    wanted = required_text(pattern)
    if wanted is not None and wanted not in text:
        assert not evaluate("params.t.matches(params.p)", {"params": {"t": text, "p": pattern}})
