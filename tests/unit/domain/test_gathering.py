"""Gatherings: examples in words, and every sequence of events against a naive model."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain import gathering
from activityctl.domain.event_trigger import EventTrigger
from activityctl.domain.gathering import (
    Absent,
    Batched,
    Debounced,
    Drops,
    Fires,
    Gathered,
    InOrder,
    Rule,
    Step,
    Together,
    Waiting,
    form_of,
    rule_of,
    take,
)
from activityctl.domain.ids import EventId

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
Given = tuple[int, tuple[str, ...]]
"""When an event comes, in seconds, and for which parts it counts."""


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def at(second: int) -> datetime:
    return START + seconds(second)


def event(number: int, given: Given, size: int = 0) -> Gathered:
    return Gathered(EventId(str(number)), at(given[0]), given[1], size)


def run(rule: Rule, history: Sequence[Given], until: int) -> tuple[Waiting, list[Step]]:
    """Take the events, numbered from 0, and let time go on."""
    waiting: Waiting = ()
    steps: list[Step] = []
    for number, given_one in enumerate(history):
        waiting, more = take(rule, waiting, event(number, given_one))
        steps += more
    waiting, more = rule.elapse(waiting, at(until))
    return waiting, steps + more


def told(steps: Sequence[Step]) -> list[str]:
    """Each step as `second: events` or `events: reason`."""
    shown = []
    for step in steps:
        ids = " ".join(one.id for one in step.events)
        if isinstance(step, Fires):
            shown.append(f"{(step.at - START).total_seconds():.0f}: {ids}")
        else:
            shown.append(f"{ids}: {step.reason}")
    return shown


def plain(*times: int) -> list[Given]:
    return [(time, ()) for time in times]


def named(text: str) -> list[Given]:
    """Read `0a 5ab` as events at those seconds that count for those parts."""
    return [
        (int(word.rstrip("abc")), tuple(letter for letter in word if letter.isalpha()))
        for word in text.split()
    ]


def test_a_debounce_waits_for_quiet_and_fires_with_all_that_came():
    rule = Debounced(seconds(10), None)
    assert told(run(rule, plain(0, 5, 14), 23)[1]) == []
    assert told(run(rule, plain(0, 5, 14), 24)[1]) == ["24: 0 1 2"]


def test_a_debounce_waits_no_longer_than_its_max():
    rule = Debounced(seconds(10), seconds(12))
    assert told(run(rule, plain(0, 5, 11, 15), 30)[1]) == ["12: 0 1 2", "25: 3"]


def test_an_event_at_the_very_end_of_the_quiet_begins_anew():
    assert told(run(Debounced(seconds(10), None), plain(0, 10), 20)[1]) == ["10: 0", "20: 1"]


def test_a_batch_fires_when_full_and_when_its_time_is_over():
    rule = Batched(3, seconds(10))
    assert told(run(rule, plain(0, 1, 2, 3, 4), 13)[1]) == ["2: 0 1 2", "13: 3 4"]


def test_all_parts_in_any_order_fire_once_with_every_event():
    rule = Together(("a", "b"), seconds(10))
    assert told(run(rule, named("0b 1b 2a 3a"), 5)[1]) == ["2: 0 1 2"]


def test_one_event_may_count_for_several_parts():
    assert told(run(Together(("a", "b"), seconds(10)), named("0ab"), 0)[1]) == ["0: 0"]


def test_what_is_too_old_is_dropped_alone_and_says_what_did_not_come():
    rule = Together(("a", "b"), seconds(10))
    assert told(run(rule, named("0a 8a 12b"), 20)[1]) == [
        "0: b did not come within 10s",
        "12: 1 2",
    ]


def test_a_sequence_fires_in_order_whatever_comes_between():
    rule = InOrder(("a", "b", "c"), seconds(10))
    assert told(run(rule, named("0b 1a 2c 3b 4a 5c"), 5)[1]) == [
        "0: out of order: a has not come before it",
        "2: out of order: b has not come before it",
        "5: 1 3 4 5",
    ]


@pytest.mark.parametrize(
    ("form", "history", "reasons"),
    [
        ("sequence", [(0, "2"), (1, "1")], ["before it", "order.paid"]),
        ("sequence", [(0, "1"), (1, "3")], ["order.sent or order.kept"]),
        ("all", [(0, "1")], ["order.sent or order.kept and event 3"]),
    ],
)
def test_a_part_without_a_name_is_called_by_the_type_that_it_wants(form, history, reasons):
    parts = [{"type": "order.paid"}, {"type": ["order.sent", "order.kept"]}, {"source": "/till"}]
    rule = rule_of(read({form: parts, "within": "10s"}))
    assert rule is not None
    shown = " ".join(told(run(rule, [(at, (part,)) for at, part in history], 20)[1]))
    assert all(reason in shown for reason in reasons)


def test_an_event_takes_one_step_of_a_sequence():
    rule = InOrder(("a", "b"), seconds(10))
    assert told(run(rule, named("0ab"), 5)[1]) == []
    assert told(run(rule, named("0ab 1ab"), 5)[1]) == ["1: 0 1"]


def test_a_sequence_goes_on_from_the_next_first_part_when_the_first_is_too_old():
    rule = InOrder(("a", "b"), seconds(10))
    assert told(run(rule, named("0a 8a 12b"), 20)[1]) == [
        "0: b did not come within 10s",
        "12: 1 2",
    ]


def test_absence_fires_for_each_event_that_nothing_followed():
    rule = Absent(seconds(10))
    history: list[Given] = [(0, ("after",)), (3, ("after",)), (20, ("after",)), (25, ("of",))]
    assert told(run(rule, history, 40)[1]) == [
        "10: 0",
        "13: 1",
        "2: what should follow came: event 3",
        "3: it came in time",
    ]


def test_a_heartbeat_ends_one_wait_and_begins_the_next():
    both = ("after", "of")
    history: list[Given] = [(0, both), (9, both), (18, both)]
    waiting, steps = run(Absent(seconds(10)), history, 28)
    assert told(steps)[-1] == "28: 2"
    assert waiting == ()


def test_an_event_that_was_seen_late_counts_as_no_older_than_the_last():
    rule = Debounced(seconds(10), None)
    waiting, _ = take(rule, (event(0, (5, ())),), event(1, (3, ())))
    assert rule.due_at(waiting) == at(15)


@pytest.mark.parametrize("rule", [Debounced(seconds(10), None), Batched(1_000, seconds(10))])
def test_what_merges_events_fires_before_they_are_too_many(rule, monkeypatch):
    monkeypatch.setattr(gathering, "MOST_BYTES", 100)
    waiting: Waiting = ()
    steps: list[Step] = []
    for number in range(5):
        waiting, more = take(rule, waiting, event(number, (number, ()), size=40))
        steps += more
    assert told(steps) == ["2: 0 1 2"]
    assert [one.id for one in waiting] == ["3", "4"]


@pytest.mark.parametrize(
    "rule", [Together(("a", "b"), seconds(1)), InOrder(("a", "b"), seconds(1))]
)
def test_what_waits_for_others_leaves_out_the_oldest_when_they_are_too_many(rule):
    waiting: Waiting = ()
    steps: list[Step] = []
    for number in range(gathering.MOST_EVENTS + 2):  # at one moment, as from one file
        waiting, more = take(rule, waiting, event(number, (0, ("a",))))
        steps += more
    assert [one.id for step in steps for one in step.events] == ["0", "1"]
    assert all(isinstance(step, Drops) and "1,000 events" in step.reason for step in steps)
    waiting, steps = take(rule, waiting, event(9_999, (0, ("b",))))
    assert len(steps[0].events) == gathering.MOST_EVENTS + 1


def read(body: dict[str, Any]) -> EventTrigger:
    return EventTrigger.model_validate_json(json.dumps(body))


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"type": "a"}, None),
        ({"type": "a", "debounce": {"for": "2s"}}, Debounced(seconds(2), None)),
        ({"type": "a", "batch": {"size": 3, "within": "1s"}}, Batched(3, seconds(1))),
        (
            {"all": [{"type": "a"}, {"type": "b", "name": "second"}], "within": "1s"},
            Together(("1", "second"), seconds(1), ("a", "second")),
        ),
        (
            {"sequence": [{"type": "a"}, {"type": "b"}], "within": "1s"},
            InOrder(("1", "2"), seconds(1), ("a", "b")),
        ),
        (
            {"absence": {"after": {"type": "a"}, "of": {"type": "b"}, "within": "2s"}},
            Absent(seconds(2)),
        ),
    ],
)
def test_a_trigger_gathers_as_it_says(body, rule):
    assert rule_of(read(body)) == rule


def test_what_waits_outlives_a_change_of_durations_but_not_of_keys_or_parts():
    first = {"all": [{"type": "a"}, {"type": "b"}], "within": "1s", "key": "${ event.id }"}
    form = form_of(read(first))
    assert form_of(read({**first, "within": "2s", "priority": 3})) == form
    assert form_of(read({**first, "key": "${ event.source }"})) != form
    assert form_of(read({**first, "all": [{"type": "a"}, {"type": "c"}]})) != form
    sequence = {"sequence": first["all"], "within": "1s", "key": first["key"]}
    assert form_of(read(sequence)) != form


# ---- every sequence of events against a naive model ------------------------------------


gaps = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 7)), max_size=14)
"""How long after the one before each event comes, and a number for its parts."""


def histories(names: tuple[str, ...]) -> st.SearchStrategy[list[Given]]:
    def spaced(found: list[tuple[int, int]]) -> list[Given]:
        time, history = 0, []
        for gap, bits in found:
            time += gap
            parts = tuple(name for place, name in enumerate(names) if bits >> place & 1)
            if parts or not names:
                history.append((time, parts))
        return history

    return gaps.map(spaced)


Fired = tuple[int, tuple[int, ...]]


def fired(steps: Sequence[Step]) -> list[Fired]:
    return [
        (int((step.at - START).total_seconds()), tuple(int(one.id) for one in step.events))
        for step in steps
        if isinstance(step, Fires)
    ]


def accounted(waiting: Waiting, steps: Sequence[Step]) -> list[int]:
    everything = [*waiting, *(one for step in steps for one in step.events)]
    return sorted(int(one.id) for one in everything)


def naive_merges(history: Sequence[Given], until: int, due_of: Any, size: int) -> list[Fired]:
    found: list[Fired] = []
    group: list[int] = []
    for number, (time, _) in [*enumerate(history), (-1, (until, ()))]:
        times = [history[one][0] for one in group]
        if group and due_of(times) <= time:
            found.append((due_of(times), tuple(group)))
            group = []
        if number >= 0:
            group.append(number)
            if len(group) == size:
                found.append((time, tuple(group)))
                group = []
    return found


@given(histories(()), st.integers(0, 8), st.integers(1, 5), st.none() | st.integers(5, 12))
def test_debounce_agrees_with_the_naive_model(history, rest, quiet, longest):
    until = (history[-1][0] if history else 0) + rest
    rule = Debounced(seconds(quiet), None if longest is None else seconds(longest))
    waiting, steps = run(rule, history, until)
    limit = 10**6 if longest is None else longest

    def due(times: list[int]) -> int:
        return min(times[-1] + quiet, times[0] + limit)

    assert fired(steps) == naive_merges(history, until, due, 10**6)
    assert accounted(waiting, steps) == list(range(len(history)))


@given(histories(()), st.integers(0, 8), st.integers(1, 4), st.integers(1, 12))
def test_batch_agrees_with_the_naive_model(history, rest, size, within):
    until = (history[-1][0] if history else 0) + rest
    waiting, steps = run(Batched(size, seconds(within)), history, until)
    expected = naive_merges(history, until, lambda times: times[0] + within, size)
    assert fired(steps) == expected
    assert accounted(waiting, steps) == list(range(len(history)))


@given(histories(("a", "b", "c")), st.integers(0, 8), st.integers(1, 12))
def test_all_agrees_with_the_naive_model(history, rest, within):
    until = (history[-1][0] if history else 0) + rest
    waiting, steps = run(Together(("a", "b", "c"), seconds(within)), history, until)
    expected: list[Fired] = []
    first = 0
    for number, (time, _) in enumerate(history):
        recent = [one for one in range(first, number + 1) if history[one][0] > time - within]
        if {part for one in recent for part in history[one][1]} == {"a", "b", "c"}:
            expected.append((time, tuple(recent)))
            first = number + 1
    assert fired(steps) == expected
    assert accounted(waiting, steps) == list(range(len(history)))


def is_in_order(history: Sequence[Given], chosen: Sequence[int], parts: Sequence[str]) -> bool:
    """Whether some of the chosen events have the parts in order, one event a part."""
    if not parts:
        return True
    places = [at for at, one in enumerate(chosen) if parts[0] in history[one][1]]
    return any(is_in_order(history, chosen[place + 1 :], parts[1:]) for place in places)


@given(histories(("a", "b", "c")), st.integers(0, 8), st.integers(1, 12))
def test_sequence_agrees_with_the_naive_model(history, rest, within):
    names = ("a", "b", "c")
    until = (history[-1][0] if history else 0) + rest
    waiting, steps = run(InOrder(names, seconds(within)), history, until)
    expected = []
    first = 0
    for number, (time, _) in enumerate(history):
        recent = [one for one in range(first, number + 1) if history[one][0] > time - within]
        if is_in_order(history, recent, names):
            expected.append(time)
            first = number + 1
    found = fired(steps)
    assert [time for time, _ in found] == expected
    for time, chosen in found:
        assert is_in_order(history, chosen, names)
        assert "a" in history[chosen[0]][1]
        assert history[chosen[0]][0] > time - within
    assert accounted(waiting, steps) == list(range(len(history)))


@given(histories(("after", "of")), st.integers(0, 8), st.integers(1, 12))
def test_absence_agrees_with_the_naive_model(history, rest, within):
    until = (history[-1][0] if history else 0) + rest
    waiting, steps = run(Absent(seconds(within)), history, until)
    expected: list[Fired] = []
    for number, (time, parts) in enumerate(history):
        later = history[number + 1 :]
        is_followed = any("of" in kinds and when < time + within for when, kinds in later)
        if "after" in parts and not is_followed and time + within <= until:
            expected.append((time + within, (number,)))
    assert fired(steps) == expected
    assert accounted(waiting, steps) == list(range(len(history)))


RULES: list[Rule] = [
    Debounced(seconds(4), seconds(9)),
    Batched(3, seconds(7)),
    Together(("a", "b", "c"), seconds(7)),
    InOrder(("a", "b", "c"), seconds(7)),
    Absent(seconds(5)),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@given(st.data())
def test_it_does_not_matter_how_often_time_is_looked_at(rule, data):
    names = ("after", "of") if isinstance(rule, Absent) else ("a", "b", "c")
    history = data.draw(histories(names))
    waiting: Waiting = ()
    steps: list[Step] = []
    for number, given_one in enumerate(history):
        before = history[number - 1][0] if number else 0
        waiting, more = rule.elapse(waiting, at(data.draw(st.integers(before, given_one[0]))))
        steps += more
        waiting, more = take(rule, waiting, event(number, given_one))
        steps += more
        due = rule.due_at(waiting)
        assert (due is None) == (waiting == ())
        assert due is None or due > at(given_one[0])
    final = history[-1][0] if history else 0
    assert (waiting, steps) == run(rule, history, final)
