"""Gatherings: examples in words."""

import json
from typing import Any

import pytest

from activityctl.domain.events import gathering
from activityctl.domain.events.gathering import (
    AbsencePolicy,
    AllPolicy,
    BatchPolicy,
    DebouncePolicy,
    GatheringDropped,
    GatheringOutcome,
    SequencePolicy,
    WaitingEvents,
    add_event,
    gathering_policy_of,
    pattern_hash,
)
from activityctl.domain.events.trigger import EventTrigger
from support.gathered import Given, at, event, named, plain, run, seconds, told


def test_a_debounce_waits_for_quiet_and_fires_with_all_that_came():
    rule = DebouncePolicy(seconds(10), None)
    assert told(run(rule, plain(0, 5, 14), 23)[1]) == []
    assert told(run(rule, plain(0, 5, 14), 24)[1]) == ["24: 0 1 2"]


def test_a_debounce_waits_no_longer_than_its_max():
    rule = DebouncePolicy(seconds(10), seconds(12))
    assert told(run(rule, plain(0, 5, 11, 15), 30)[1]) == ["12: 0 1 2", "25: 3"]


def test_an_event_at_the_very_end_of_the_quiet_begins_anew():
    assert told(run(DebouncePolicy(seconds(10), None), plain(0, 10), 20)[1]) == ["10: 0", "20: 1"]


def test_a_batch_fires_when_full_and_when_its_time_is_over():
    rule = BatchPolicy(3, seconds(10))
    assert told(run(rule, plain(0, 1, 2, 3, 4), 13)[1]) == ["2: 0 1 2", "13: 3 4"]


def test_all_parts_in_any_order_fire_once_with_every_event():
    rule = AllPolicy(("a", "b"), seconds(10))
    assert told(run(rule, named("0b 1b 2a 3a"), 5)[1]) == ["2: 0 1 2"]


def test_one_event_may_count_for_several_parts():
    assert told(run(AllPolicy(("a", "b"), seconds(10)), named("0ab"), 0)[1]) == ["0: 0"]


def test_what_is_too_old_is_dropped_alone_and_says_what_did_not_come():
    rule = AllPolicy(("a", "b"), seconds(10))
    assert told(run(rule, named("0a 8a 12b"), 20)[1]) == [
        "0: b did not come within 10s",
        "12: 1 2",
    ]


def test_a_sequence_fires_in_order_whatever_comes_between():
    rule = SequencePolicy(("a", "b", "c"), seconds(10))
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
    rule = gathering_policy_of(read({form: parts, "within": "10s"}))
    assert rule is not None
    shown = " ".join(told(run(rule, [(at, (part,)) for at, part in history], 20)[1]))
    assert all(reason in shown for reason in reasons)


def test_an_event_takes_one_step_of_a_sequence():
    rule = SequencePolicy(("a", "b"), seconds(10))
    assert told(run(rule, named("0ab"), 5)[1]) == []
    assert told(run(rule, named("0ab 1ab"), 5)[1]) == ["1: 0 1"]


def test_a_sequence_goes_on_from_the_next_first_part_when_the_first_is_too_old():
    rule = SequencePolicy(("a", "b"), seconds(10))
    assert told(run(rule, named("0a 8a 12b"), 20)[1]) == [
        "0: b did not come within 10s",
        "12: 1 2",
    ]


def test_absence_fires_for_each_event_that_nothing_followed():
    rule = AbsencePolicy(seconds(10))
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
    waiting, steps = run(AbsencePolicy(seconds(10)), history, 28)
    assert told(steps)[-1] == "28: 2"
    assert waiting == ()


def test_an_event_that_was_seen_late_counts_as_no_older_than_the_last():
    rule = DebouncePolicy(seconds(10), None)
    waiting, _ = add_event(rule, (event(0, (5, ())),), event(1, (3, ())))
    assert rule.due_at(waiting) == at(15)


@pytest.mark.parametrize(
    "rule", [DebouncePolicy(seconds(10), None), BatchPolicy(1_000, seconds(10))]
)
def test_what_merges_events_fires_before_they_are_too_many(rule, monkeypatch):
    monkeypatch.setattr(gathering, "MOST_BYTES", 100)
    waiting: WaitingEvents = ()
    steps: list[GatheringOutcome] = []
    for number in range(5):
        waiting, more = add_event(rule, waiting, event(number, (number, ()), size=40))
        steps += more
    assert told(steps) == ["2: 0 1 2"]
    assert [one.id for one in waiting] == ["3", "4"]


@pytest.mark.parametrize(
    "rule", [AllPolicy(("a", "b"), seconds(1)), SequencePolicy(("a", "b"), seconds(1))]
)
def test_what_waits_for_others_leaves_out_the_oldest_when_they_are_too_many(rule):
    waiting: WaitingEvents = ()
    steps: list[GatheringOutcome] = []
    for number in range(gathering.MOST_EVENTS + 2):  # at one moment, as from one file
        waiting, more = add_event(rule, waiting, event(number, (0, ("a",))))
        steps += more
    assert [one.id for step in steps for one in step.events] == ["0", "1"]
    assert all(
        isinstance(step, GatheringDropped) and "1,000 events" in step.reason for step in steps
    )
    waiting, steps = add_event(rule, waiting, event(9_999, (0, ("b",))))
    assert len(steps[0].events) == gathering.MOST_EVENTS + 1


def read(body: dict[str, Any]) -> EventTrigger:
    return EventTrigger.model_validate_json(json.dumps(body))


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"type": "a"}, None),
        ({"type": "a", "debounce": {"for": "2s"}}, DebouncePolicy(seconds(2), None)),
        ({"type": "a", "batch": {"size": 3, "within": "1s"}}, BatchPolicy(3, seconds(1))),
        (
            {"all": [{"type": "a"}, {"type": "b", "name": "second"}], "within": "1s"},
            AllPolicy(("1", "second"), seconds(1), ("a", "second")),
        ),
        (
            {"sequence": [{"type": "a"}, {"type": "b"}], "within": "1s"},
            SequencePolicy(("1", "2"), seconds(1), ("a", "b")),
        ),
        (
            {"absence": {"after": {"type": "a"}, "of": {"type": "b"}, "within": "2s"}},
            AbsencePolicy(seconds(2)),
        ),
    ],
)
def test_a_trigger_gathers_as_it_says(body, rule):
    assert gathering_policy_of(read(body)) == rule


def test_what_waits_outlives_a_change_of_durations_but_not_of_keys_or_parts():
    first = {"all": [{"type": "a"}, {"type": "b"}], "within": "1s", "key": "${ event.id }"}
    form = pattern_hash(read(first))
    assert pattern_hash(read({**first, "within": "2s", "priority": 3})) == form
    assert pattern_hash(read({**first, "key": "${ event.source }"})) != form
    assert pattern_hash(read({**first, "all": [{"type": "a"}, {"type": "c"}]})) != form
    sequence = {"sequence": first["all"], "within": "1s", "key": first["key"]}
    assert pattern_hash(read(sequence)) != form
