"""Examples of how each gathering policy fires and drops events."""

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
from support.gathered import Given, at, event, formatted, named, plain, run, seconds


def test_a_debounce_waits_for_quiet_and_fires_with_all_events():
    policy = DebouncePolicy(seconds(10), None)
    assert formatted(run(policy, plain(0, 5, 14), 23)[1]) == []
    assert formatted(run(policy, plain(0, 5, 14), 24)[1]) == ["24: 0 1 2"]


def test_a_debounce_waits_no_longer_than_its_max():
    policy = DebouncePolicy(seconds(10), seconds(12))
    assert formatted(run(policy, plain(0, 5, 11, 15), 30)[1]) == ["12: 0 1 2", "25: 3"]


def test_an_event_at_the_end_of_the_quiet_time_begins_a_new_gathering():
    assert formatted(run(DebouncePolicy(seconds(10), None), plain(0, 10), 20)[1]) == [
        "10: 0",
        "20: 1",
    ]


def test_a_batch_fires_when_full_and_when_its_time_is_over():
    policy = BatchPolicy(3, seconds(10))
    assert formatted(run(policy, plain(0, 1, 2, 3, 4), 13)[1]) == ["2: 0 1 2", "13: 3 4"]


def test_all_parts_in_any_order_fire_once_with_every_event():
    policy = AllPolicy(("a", "b"), seconds(10))
    assert formatted(run(policy, named("0b 1b 2a 3a"), 5)[1]) == ["2: 0 1 2"]


def test_one_event_may_count_for_several_parts():
    assert formatted(run(AllPolicy(("a", "b"), seconds(10)), named("0ab"), 0)[1]) == ["0: 0"]


def test_an_event_that_is_too_old_is_dropped_with_the_missing_parts_as_reason():
    policy = AllPolicy(("a", "b"), seconds(10))
    assert formatted(run(policy, named("0a 8a 12b"), 20)[1]) == [
        "0: b did not come within 10s",
        "12: 1 2",
    ]


def test_a_sequence_fires_in_order_with_other_events_between():
    policy = SequencePolicy(("a", "b", "c"), seconds(10))
    assert formatted(run(policy, named("0b 1a 2c 3b 4a 5c"), 5)[1]) == [
        "0: out of order: a has not come before this event",
        "2: out of order: b has not come before this event",
        "5: 1 3 4 5",
    ]


@pytest.mark.parametrize(
    ("form", "history", "reasons"),
    [
        ("sequence", [(0, "2"), (1, "1")], ["before this event", "order.paid"]),
        ("sequence", [(0, "1"), (1, "3")], ["order.sent or order.kept"]),
        ("all", [(0, "1")], ["order.sent or order.kept and event 3"]),
    ],
)
def test_a_part_without_a_name_is_called_by_its_type(form, history, reasons):
    parts = [{"type": "order.paid"}, {"type": ["order.sent", "order.kept"]}, {"source": "/till"}]
    policy = gathering_policy_of(read({form: parts, "within": "10s"}))
    assert policy is not None
    shown = " ".join(formatted(run(policy, [(at, (part,)) for at, part in history], 20)[1]))
    assert all(reason in shown for reason in reasons)


def test_an_event_counts_for_one_part_of_a_sequence():
    policy = SequencePolicy(("a", "b"), seconds(10))
    assert formatted(run(policy, named("0ab"), 5)[1]) == []
    assert formatted(run(policy, named("0ab 1ab"), 5)[1]) == ["1: 0 1"]


def test_a_sequence_goes_on_from_the_next_first_part_when_the_first_is_too_old():
    policy = SequencePolicy(("a", "b"), seconds(10))
    assert formatted(run(policy, named("0a 8a 12b"), 20)[1]) == [
        "0: b did not come within 10s",
        "12: 1 2",
    ]


def test_absence_fires_for_each_event_that_is_not_followed():
    policy = AbsencePolicy(seconds(10))
    history: list[Given] = [(0, ("after",)), (3, ("after",)), (20, ("after",)), (25, ("of",))]
    assert formatted(run(policy, history, 40)[1]) == [
        "10: 0",
        "13: 1",
        "2: the expected event came: 3",
        "3: it came in time",
    ]


def test_a_heartbeat_ends_one_wait_and_begins_the_next():
    both = ("after", "of")
    history: list[Given] = [(0, both), (9, both), (18, both)]
    waiting, steps = run(AbsencePolicy(seconds(10)), history, 28)
    assert formatted(steps)[-1] == "28: 2"
    assert waiting == ()


def test_an_event_that_was_seen_late_counts_as_no_older_than_the_last():
    policy = DebouncePolicy(seconds(10), None)
    waiting, _ = add_event(policy, (event(0, (5, ())),), event(1, (3, ())))
    assert policy.due_at(waiting) == at(15)


@pytest.mark.parametrize(
    "policy", [DebouncePolicy(seconds(10), None), BatchPolicy(1_000, seconds(10))]
)
def test_debounce_and_batch_fire_before_there_are_too_many_events(policy, monkeypatch):
    monkeypatch.setattr(gathering, "MOST_BYTES", 100)
    waiting: WaitingEvents = ()
    steps: list[GatheringOutcome] = []
    for number in range(5):
        waiting, more = add_event(policy, waiting, event(number, (number, ()), size=40))
        steps += more
    assert formatted(steps) == ["2: 0 1 2"]
    assert [waiting_event.id for waiting_event in waiting] == ["3", "4"]


@pytest.mark.parametrize(
    "policy", [AllPolicy(("a", "b"), seconds(1)), SequencePolicy(("a", "b"), seconds(1))]
)
def test_all_and_sequence_drop_the_oldest_when_there_are_too_many_events(policy):
    waiting: WaitingEvents = ()
    steps: list[GatheringOutcome] = []
    for number in range(gathering.MOST_EVENTS + 2):  # at one moment, as from one file
        waiting, more = add_event(policy, waiting, event(number, (0, ("a",))))
        steps += more
    assert [dropped.id for step in steps for dropped in step.events] == ["0", "1"]
    assert all(
        isinstance(step, GatheringDropped) and "1,000 events" in step.reason for step in steps
    )
    waiting, steps = add_event(policy, waiting, event(9_999, (0, ("b",))))
    assert len(steps[0].events) == gathering.MOST_EVENTS + 1


def read(body: dict[str, Any]) -> EventTrigger:
    return EventTrigger.model_validate_json(json.dumps(body))


@pytest.mark.parametrize(
    ("body", "policy"),
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
def test_the_policy_follows_from_the_fields_of_the_trigger(body, policy):
    assert gathering_policy_of(read(body)) == policy


def test_the_pattern_hash_depends_on_keys_and_parts_but_not_on_durations():
    first = {"all": [{"type": "a"}, {"type": "b"}], "within": "1s", "key": "${ event.id }"}
    form = pattern_hash(read(first))
    assert pattern_hash(read({**first, "within": "2s", "priority": 3})) == form
    assert pattern_hash(read({**first, "key": "${ event.source }"})) != form
    assert pattern_hash(read({**first, "all": [{"type": "a"}, {"type": "c"}]})) != form
    sequence = {"sequence": first["all"], "within": "1s", "key": first["key"]}
    assert pattern_hash(read(sequence)) != form
