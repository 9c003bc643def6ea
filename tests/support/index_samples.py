"""Listeners, events and filters of many kinds, to compare the index with plain matching."""

import json
from typing import Any

from hypothesis import strategies as st

from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.routing.index import FilterFailed, Listener, Matched
from activityctl.domain.routing.matching import match


def listener(number: int, body: dict[str, Any], params: dict[str, Any] | None = None) -> Listener:
    trigger = EventTrigger.model_validate_json(json.dumps(body))
    return Listener(f"s{number}", "t", trigger, params or {})


def event(**fields: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "/a", "type": "order.created", **fields}


def match_each(
    listeners: list[Listener], some_event: dict[str, Any]
) -> list[Matched | FilterFailed]:
    """Match the event with each listener, without an index."""
    found: list[Matched | FilterFailed] = []
    for each in listeners:
        result = match(each.event, each.params, some_event)
        if result.matched:
            found.append(Matched(each))
        elif result.has_failed:
            found.append(FilterFailed(each, result.reason or ""))
    return found


TEXTS = st.sampled_from(["", "a", "ab", "abc", "b", "é\n"])
PATTERNS = st.sampled_from(["a", "ab", "abc", "b", "a*", "ab*", "*", "*b", "a*c"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, 1.0, 2, 2**53, 2**53 + 1, 2.0**53, 2**63, 2**64, 2**70]),
    TEXTS,
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=2),
    st.just({"z": 1}),
    st.lists(st.sampled_from([{"z": 1}, {"z": "ab"}, {"w": 1}, {"z": [1]}, 1]), max_size=3),
)
FILTERS = st.sampled_from(
    [
        "event.data.x == params.p",
        "params.p == event.data.x && event.data.y == params.q",
        "event.data.x in params.p",
        "event.data.x in [params.p, 1, 'ab']",
        "event.data.x > params.p",
        "event.data.x >= params.p && params.q > event.data.x",
        "event.data.x <= 1 && event.data.y < params.q",
        "event.data.x == params.p || event.data.y == params.q",
        "event.data.y.startsWith(params.q)",
        "event.data.y.startsWith('a') && event.data.x == params.p",
        "event.data.y.startsWith('ab' + params.q)",
        "event.data.y.endsWith(params.q)",
        "(event.data.y.endsWith('b') // why\n)",
        "event.data.x == params.p || event.data.x in ['ab', params.q]",
        "event.data.y.startsWith('a') || event.data.y.startsWith(params.q)",
        "event.data.x == params.p || event.data.x > 1",
        "has(event.data.x) && event.data.x == params.p",
        "has(event.data.y) && event.data.y.startsWith(params.q)",
        "has(event.data.z.w) && event.data.z.w == params.p",
        "has(event.subject) && event.subject.endsWith('b') && event.data.x == params.p",
        "!has(event.data.x) || event.data.x == params.p",
        "event.data.y.contains(params.q)",
        "event.data.y.startsWith(params.q) && event.data.x != params.p // why",
        "event.data.x == 1",
        "event.data.y == 'ab' && event.data.x",
        "event.data.x.exists(i, i == params.p)",
        "event.data.y.matches('a+') && event.data.x.all(i, i == 1)",
        "has(event.data.x) && event.data.x != params.p",
        "params.p == 1",
        "event.subject + params.q == 'abab'",
        "event.data.y.contains('a' + params.q)",
        "event.data.y.contains(params.p) || event.data.x == params.q",
        "event.data.y.contains(params.q) || event.subject.contains('b')",
        "has(event.data.y) && event.data.y.contains(params.q) && event.subject.contains('a')",
        "event.data.y.lowerAscii().contains(params.q)",
        "event.data.y + event.subject.contains('a')",
        "true ? event.data.y == 'ab' : event.data.x.contains('b')",
        "event.data.y.matches('b$')",
        "event.data.y.matches('[ax]b+(c)?') && event.data.x == params.p",
        "event.data.y.matches('(')",
        "event.data.y.matches(params.q)",
        "params.p in event.data.x",
        "params.q in event.data.z || event.data.y == 'ab'",
        "event.data.x.exists(i, params.q == i)",
        "event.data.z.exists(i, i.z == params.p)",
        "event.data.x + 1 == params.p",
        "event.data.x * 2 > params.p && event.data.x + 1 <= params.q",
        "size(event.data.y) in params.p",
    ]
)
BODIES = st.fixed_dictionaries(
    {"type": st.one_of(PATTERNS, st.lists(PATTERNS, min_size=1, max_size=3))},
    optional={
        "source": PATTERNS,
        "subject": st.lists(PATTERNS, min_size=1, max_size=2),
        "match": st.dictionaries(
            st.sampled_from(["data.x", "data.y", "data.z.w", "subject"]),
            st.lists(SCALARS, min_size=1, max_size=3),
        ),
        "filter": FILTERS,
    },
)
PARAMS = st.fixed_dictionaries({}, optional={"p": VALUES, "q": VALUES})
EVENTS = st.builds(
    lambda fields, data: event(**fields, data=data),
    st.fixed_dictionaries({"type": TEXTS, "source": TEXTS}, optional={"subject": TEXTS}),
    st.one_of(st.fixed_dictionaries({}, optional={"x": VALUES, "y": VALUES, "z": VALUES}), VALUES),
)
