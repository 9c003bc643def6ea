"""Event triggers of several events: their shape, their checks, and how the index finds them."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from activityctl.domain.cel.static_type import params_type
from activityctl.domain.events.trigger import EventTrigger, check_event_trigger
from activityctl.domain.manifests.checks import Kinds, check_definition
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.routing.index import EventIndex, FilterFailed, Listener, Matched
from activityctl.domain.values.finding import findings_of
from activityctl.domain.values.model import canonical

PARAMS = params_type({"type": "object", "properties": {"limit": {"type": "number"}}})
TWO: list[dict[str, Any]] = [{"name": "order", "type": "order.*"}, {"type": "payment"}]
ABSENCE: dict[str, Any] = {"after": {"type": "a"}, "of": {"type": "b"}, "within": "2h"}


def read(body: dict[str, Any]) -> EventTrigger:
    return EventTrigger.model_validate_json(json.dumps(body))


def refused(body: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        read(body)
    found = findings_of(caught.value, EventTrigger)
    return [(".".join(map(str, finding.path)), finding.reason) for finding in found]


def wrong(body: dict[str, Any]) -> list[tuple[str, str]]:
    found = check_event_trigger(read(body), PARAMS)
    return [(".".join(map(str, finding.path)), finding.reason) for finding in found]


@pytest.mark.parametrize(
    "body",
    [
        {"type": "a", "debounce": {"for": "10s", "key": "${ event.data.id }", "max": "1m"}},
        {"type": "a", "batch": {"size": 100, "within": "30s"}},
        {"all": TWO, "key": "${ event.data.id + string(params.limit) }", "within": "1h"},
        {"sequence": TWO, "within": "1h", "ordered": True},
        {"absence": {**ABSENCE, "key": "${ event.subject }"}, "priority": 5},
    ],
)
def test_a_valid_trigger_is_the_same_after_its_canonical_form(body):
    trigger = read(body)
    assert wrong(body) == []
    assert read(canonical(trigger)) == trigger
    assert EventTrigger.model_validate(canonical(trigger)) == trigger


@pytest.mark.parametrize(
    ("body", "place", "reason"),
    [
        ({"debounce": {"for": "1s"}}, "", "names no event"),
        ({"type": "a", "debounce": {}}, "debounce.for", "required field is missing"),
        ({"type": "a", "debounce": {"for": "0s"}}, "debounce.for", "longer than 0s"),
        (
            {"type": "a", "debounce": {"for": "5s", "max": "1s"}},
            "debounce.max",
            "is shorter than for",
        ),
        ({"type": "a", "batch": {"size": 0, "within": "1s"}}, "batch.size", "greater than"),
        ({"type": "a", "batch": {"size": 5000, "within": "1s"}}, "batch.size", "less than"),
        ({"type": "a", "batch": {"size": 2}}, "batch.within", "required field is missing"),
        ({"all": [{"type": "a"}], "within": "1s"}, "all", "at least 2 items"),
        ({"all": [{"type": "a"}, {}], "within": "1s"}, "all.1", "names no event"),
        ({"all": [{"typ": "a"}, {"type": "a"}], "within": "1s"}, "all.0.typ", "unknown field"),
        ({"all": TWO, "within": 5}, "within", "write 5s"),
        ({"absence": {**ABSENCE, "of": {}}}, "absence.of", "names no event"),
        ({"absence": {**ABSENCE, "of": {"name": "x", "type": "b"}}}, "absence.of.name", "unknown"),
    ],
)
def test_a_wrong_shape_is_refused_with_its_path(body, place, reason):
    found = refused(body)
    assert (place, True) in [(where, reason in why) for where, why in found], found


@pytest.mark.parametrize(
    ("body", "place", "reason"),
    [
        ({"type": "a", "batch": {"size": 2, "within": "1s"}, "debounce": {"for": "1s"}}, "batch",
         "cannot be combined with debounce"),
        ({"all": TWO, "sequence": TWO, "within": "1s"}, "sequence", "cannot be combined with all"),
        ({"all": TWO}, "all", "needs the field within next to it"),
        ({"all": TWO, "within": "1s", "type": "x"}, "type", "write it in each part of all"),
        ({"absence": ABSENCE, "filter": "true"}, "filter", "its parts after and of"),
        ({"absence": ABSENCE, "within": "1s"}, "within", "belongs inside absence"),
        ({"type": "a", "batch": {"size": 2, "within": "1s"}, "key": "x"}, "key", "inside batch"),
        ({"type": "a", "debounce": {"for": "1s"}, "within": "1s"}, "within", "for and max"),
        ({"type": "a", "key": "x"}, "key", "no effect without all or sequence"),
        ({"all": [{"name": "x", "type": "a"}, {"name": "x", "type": "b"}], "within": "1s"},
         "all.1.name", "'x' is used twice"),
        ({"all": [{"name": "2", "type": "a"}, {"type": "b"}], "within": "1s"},
         "all.1.name", "'2' is used twice"),
        ({"all": [{"type": "a"}, {"filter": "event.typ == 3 && params.limt > 1"}], "within": "1s"},
         "all.1.filter", "did you mean `limit`?"),
        ({"absence": {**ABSENCE, "of": {"filter": "event.type"}}}, "absence.of.filter",
         "the result is a string, not true or false"),
        ({"all": TWO, "within": "1s", "key": "${ tasks.a.output }"}, "key", "not available here"),
        ({"type": "a", "debounce": {"for": "1s", "key": "${ params.limt }"}}, "debounce.key",
         "did you mean `limit`?"),
        ({"type": "a", "batch": {"size": 2, "within": "1s", "key": "${ event."}}, "batch.key",
         "is not closed"),
        ({"absence": {**ABSENCE, "key": "${ event.source.x }"}}, "absence.key", "no field `x`"),
        ({"type": "a", "debounce": {"for": "1s", "key": "event.data.k"}}, "debounce.key",
         "is the same for every event; write ${ event.data.k } for its value, or leave"),
        ({"all": TWO, "within": "1s", "key": "order"}, "key", "use ${ … } or leave the key out"),
    ],
)  # fmt: skip
def test_a_contradiction_is_found_with_its_path(body, place, reason):
    found = wrong(body)
    assert len(found) == 1
    assert found[0][0] == place
    assert reason in found[0][1]


def definition(**event: Any) -> DefinitionSpec:
    document = {
        "params": {"type": "object", "properties": {"limit": {"type": "number"}}},
        "triggers": [{"name": "several", "event": event}],
        "tasks": [{"name": "a", "say": "x"}],
    }
    return DefinitionSpec.model_validate_json(json.dumps(document))


def places(spec: DefinitionSpec) -> list[str]:
    found = check_definition(spec, Kinds({}, {}))
    return [".".join(map(str, finding.path)) for finding in found if finding.path[0] == "triggers"]


def test_only_keys_may_be_templates():
    key = "${ event.data.id }"
    assert places(definition(all=TWO, key=key, within="1s")) == []
    assert places(definition(type="a", debounce={"for": "1s", "key": key})) == []
    found = places(definition(all=[{"type": key}, {"type": "b"}], key=key, within="1s"))
    assert found == ["triggers.0.event.all.0.type"]
    found = places(definition(type="a", debounce={"for": "${ params.limit }"}))
    assert found == ["triggers.0.event.debounce.for"]


def listeners(body: dict[str, Any], params: dict[str, Any] | None = None) -> tuple[Listener, ...]:
    return Listener("mine", "several", read(body), params or {}).each_part()


def test_the_index_finds_the_parts_of_a_trigger_separately():
    plain = Listener("other", "plain", read({"type": "payment"}), {})
    entries = listeners({"all": [*TWO, {"filter": "event.data.x > 1"}], "within": "1s"})
    index = EventIndex((*entries, plain))
    event = {"specversion": "1.0", "id": "1", "source": "/x", "type": "payment"}
    found = [
        (type(match), match.listener.trigger, match.listener.part) for match in index.matches(event)
    ]
    assert found == [
        (Matched, "several", "2"),
        (FilterFailed, "several", "3"),
        (Matched, "plain", None),
    ]
    order = {**event, "type": "order.paid", "data": {"x": 2}}
    assert [match.listener.part for match in index.matches(order)] == ["order", "3"]


def test_a_trigger_without_parts_is_one_listener():
    (listener,) = listeners({"type": "a", "debounce": {"for": "1s"}})
    assert listener.part is None
    assert listener.pattern is listener.event
