"""Compares the gathering policies with naive models, for generated sequences of events."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.events.gathering import (
    AbsencePolicy,
    AllPolicy,
    BatchPolicy,
    DebouncePolicy,
    GatheringFired,
    GatheringOutcome,
    GatheringPolicy,
    SequencePolicy,
    WaitingEvents,
    add_event,
)
from support.gathered import START, Given, at, event, run, seconds

gaps = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 7)), max_size=14)
"""For each event: the seconds since the event before it, and a bit mask of its parts."""


def histories(names: tuple[str, ...]) -> st.SearchStrategy[list[Given]]:
    def from_gaps(found: list[tuple[int, int]]) -> list[Given]:
        time, history = 0, []
        for gap, bits in found:
            time += gap
            parts = tuple(name for bit, name in enumerate(names) if bits >> bit & 1)
            if parts or not names:
                history.append((time, parts))
        return history

    return gaps.map(from_gaps)


Fired = tuple[int, tuple[int, ...]]


def fired(steps: Sequence[GatheringOutcome]) -> list[Fired]:
    return [
        (int((step.at - START).total_seconds()), tuple(int(event.id) for event in step.events))
        for step in steps
        if isinstance(step, GatheringFired)
    ]


def accounted(waiting: WaitingEvents, steps: Sequence[GatheringOutcome]) -> list[int]:
    everything = [*waiting, *(event for step in steps for event in step.events)]
    return sorted(int(event.id) for event in everything)


def naive_merges(history: Sequence[Given], until: int, due_of: Any, size: int) -> list[Fired]:
    """Return the firings of a debounce or batch: groups of events with their due times."""
    found: list[Fired] = []
    group: list[int] = []
    for number, (time, _) in [*enumerate(history), (-1, (until, ()))]:
        times = [history[member][0] for member in group]
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
    policy = DebouncePolicy(seconds(quiet), None if longest is None else seconds(longest))
    waiting, steps = run(policy, history, until)
    limit = 10**6 if longest is None else longest

    def due(times: list[int]) -> int:
        return min(times[-1] + quiet, times[0] + limit)

    assert fired(steps) == naive_merges(history, until, due, 10**6)
    assert accounted(waiting, steps) == list(range(len(history)))


@given(histories(()), st.integers(0, 8), st.integers(1, 4), st.integers(1, 12))
def test_batch_agrees_with_the_naive_model(history, rest, size, within):
    until = (history[-1][0] if history else 0) + rest
    waiting, steps = run(BatchPolicy(size, seconds(within)), history, until)
    expected = naive_merges(history, until, lambda times: times[0] + within, size)
    assert fired(steps) == expected
    assert accounted(waiting, steps) == list(range(len(history)))


@given(histories(("a", "b", "c")), st.integers(0, 8), st.integers(1, 12))
def test_all_agrees_with_the_naive_model(history, rest, within):
    until = (history[-1][0] if history else 0) + rest
    waiting, steps = run(AllPolicy(("a", "b", "c"), seconds(within)), history, until)
    expected: list[Fired] = []
    first = 0
    for number, (time, _) in enumerate(history):
        recent = [index for index in range(first, number + 1) if history[index][0] > time - within]
        if {part for index in recent for part in history[index][1]} == {"a", "b", "c"}:
            expected.append((time, tuple(recent)))
            first = number + 1
    assert fired(steps) == expected
    assert accounted(waiting, steps) == list(range(len(history)))


def is_in_order(history: Sequence[Given], chosen: Sequence[int], parts: Sequence[str]) -> bool:
    """Whether the chosen events match the parts in order, each part with an event of its own."""
    if not parts:
        return True
    positions = [at for at, number in enumerate(chosen) if parts[0] in history[number][1]]
    return any(is_in_order(history, chosen[position + 1 :], parts[1:]) for position in positions)


@given(histories(("a", "b", "c")), st.integers(0, 8), st.integers(1, 12))
def test_sequence_agrees_with_the_naive_model(history, rest, within):
    names = ("a", "b", "c")
    until = (history[-1][0] if history else 0) + rest
    waiting, steps = run(SequencePolicy(names, seconds(within)), history, until)
    expected = []
    first = 0
    for number, (time, _) in enumerate(history):
        recent = [index for index in range(first, number + 1) if history[index][0] > time - within]
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
    waiting, steps = run(AbsencePolicy(seconds(within)), history, until)
    expected: list[Fired] = []
    for number, (time, parts) in enumerate(history):
        later = history[number + 1 :]
        is_followed = any("of" in kinds and when < time + within for when, kinds in later)
        if "after" in parts and not is_followed and time + within <= until:
            expected.append((time + within, (number,)))
    assert fired(steps) == expected
    assert accounted(waiting, steps) == list(range(len(history)))


POLICIES: list[GatheringPolicy] = [
    DebouncePolicy(seconds(4), seconds(9)),
    BatchPolicy(3, seconds(7)),
    AllPolicy(("a", "b", "c"), seconds(7)),
    SequencePolicy(("a", "b", "c"), seconds(7)),
    AbsencePolicy(seconds(5)),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
@given(st.data())
def test_the_result_does_not_depend_on_how_often_time_advances(policy, data):
    names = ("after", "of") if isinstance(policy, AbsencePolicy) else ("a", "b", "c")
    history = data.draw(histories(names))
    waiting: WaitingEvents = ()
    steps: list[GatheringOutcome] = []
    for number, arrival in enumerate(history):
        before = history[number - 1][0] if number else 0
        waiting, more = policy.advance_time(waiting, at(data.draw(st.integers(before, arrival[0]))))
        steps += more
        waiting, more = add_event(policy, waiting, event(number, arrival))
        steps += more
        due = policy.due_at(waiting)
        assert (due is None) == (waiting == ())
        assert due is None or due > at(arrival[0])
    final = history[-1][0] if history else 0
    assert (waiting, steps) == run(policy, history, final)
