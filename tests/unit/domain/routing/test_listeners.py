import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.events.gathering import GatheredEvent, Gathering, GatheringKey
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.routing.gathering_round import GatheringRound, gathering_listeners
from activityctl.domain.routing.index import EventIndex, FilterFailed
from activityctl.domain.routing.listeners import listeners_of, stored_listeners
from activityctl.domain.routing.routing import RoutingState
from activityctl.domain.values.ids import EventId

TASKS = [{"name": "note", "command": {"argv": ["true"]}}]
GOOD = {"name": "good", "event": {"type": "order.*"}}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def stored(
    *triggers: Any, params: Any = None, overrides: Any = None, **fields: Any
) -> dict[str, str | None]:
    """Return the fault of each listener, by trigger name."""
    spec = json.dumps({"triggers": triggers, "tasks": TASKS, **fields})
    found = stored_listeners("s", "r", spec, {} if params is None else params, overrides or {})
    return {listener.trigger: listener.fault for listener in found}


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "bad", "event": None},
        {"name": "bad", "event": [1]},
        {"name": "bad", "event": {"type": "a", "cron": 1}},
        {"name": "bad", "event": {"type": "a"}, "cron": {}},
        {"name": "bad", "event": {"type": "a", "filter": "(" * 5000}},
        {"name": "bad", "event": {"type": "a", "batch": {"size": -1}}},
    ],
)
def test_only_the_trigger_that_cannot_be_read_has_a_fault(bad):
    faults = stored(GOOD, bad)
    assert faults["good"] is None
    assert str(faults["bad"]).startswith("the trigger cannot be read: ")


@pytest.mark.parametrize(
    "override", [7, "x", [1], {"event": {"type": 3}}, {"event": {}, "cron": 1}]
)
def test_an_override_that_cannot_be_read_is_a_fault_of_its_trigger(override):
    faults = stored(GOOD, {"name": "other", "event": {"type": "a"}}, overrides={"other": override})
    assert faults["good"] is None
    assert str(faults["other"]).startswith("the trigger cannot be read: ")


def test_triggers_that_are_not_event_triggers_are_ignored():
    nightly = {"name": "nightly", "cron": {"colour": "red"}}
    assert stored(GOOD, nightly, overrides={"nightly": 7}) == {"good": None}
    assert stored(GOOD, {"name": "later", "tide": {"high": True}}) == {"good": None}
    assert stored(GOOD, overrides={"good": None}) == {}


@pytest.mark.parametrize("params", [7, "x", [1]])
def test_params_that_cannot_be_read_are_a_fault_of_each_trigger(params):
    assert str(stored(GOOD, params=params)["good"]).startswith("the params cannot be read: ")


def test_a_definition_of_another_shape_is_a_fault_of_each_event_trigger_in_it():
    fault = stored(GOOD, {"name": "daily", "cron": {}}, shape=7)
    assert fault == {"good": "the definition cannot be read: shape: Extra inputs are not permitted"}
    assert stored_listeners("s", "r", '{"triggers": [7, {"event": 1}]}', {}, {})[0].fault
    assert stored_listeners("s", "r", "[]", {}, {}) == []


def test_a_trigger_with_a_fault_fails_on_events_of_its_types_or_of_any_type():
    def outcome(body: Any, kind: str) -> list[type]:
        spec = DefinitionSpec.model_validate_json(
            json.dumps({"triggers": [{"name": "bad", "event": body}], "tasks": TASKS})
        )
        index = EventIndex(listeners_of("s", spec, {}, {}))
        event = {"specversion": "1.0", "id": "1", "source": "/a", "type": kind}
        return [type(result) for result in index.matches(event)]

    assert outcome({"type": ["a.*", "b"], "new": 1}, "a.x") == [FilterFailed]
    assert outcome({"type": ["a.*", "b"], "new": 1}, "c") == []
    assert outcome({"type": 7}, "c") == [FilterFailed]
    assert outcome({"anyOf": [{"type": "a"}]}, "c") == [FilterFailed]


def test_events_that_wait_for_a_trigger_with_a_fault_are_dropped_with_the_reason():
    spec = json.dumps(
        {"triggers": [{"name": "t", "event": {"type": "a", "new": 1}}], "tasks": TASKS}
    )
    listeners = stored_listeners("s", "r", spec, {}, {})
    waiting = (GatheredEvent(EventId("e"), NOW),)
    gathering = Gathering(GatheringKey("s", "t", ""), "form", waiting, NOW + timedelta(seconds=1))
    found = GatheringRound([gathering], gathering_listeners(listeners), RoutingState(NOW))
    found.advance_time(NOW + timedelta(minutes=1))
    routed = found.routed({})
    (verdict,) = routed.replaced_verdicts
    assert (verdict.outcome, verdict.reason) == ("dropped", listeners[0].fault)
    assert routed.emptied == (gathering.key,)
