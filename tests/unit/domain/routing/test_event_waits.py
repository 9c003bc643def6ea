"""Which waiting tasks an event answers."""

from datetime import UTC, datetime, timedelta
from typing import Any

from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.routing.event_waits import EventAnswer, EventWait, EventWaitIndex
from activityctl.domain.values.ids import EventId, TaskId

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def event(number: int, minutes: float = 0, **data: Any) -> ArrivedEvent:
    document = {
        "specversion": "1.0",
        "id": str(number),
        "source": "/shop",
        "type": "order.paid",
        "data": data,
    }
    arrived_at = NOW + timedelta(minutes=minutes)
    return ArrivedEvent(EventId(f"e{number}"), number, document, arrived_at)


def wait(name: str, **pattern: Any) -> EventWait:
    return EventWait(TaskId(name), {"type": "order.paid", **pattern}, {"least": 10}, NOW)


def test_the_first_event_that_matches_ends_a_wait_and_may_end_several():
    index = EventWaitIndex(
        [
            wait("one", match={"data.order": 7}),
            wait("two", match={"data.order": [7, 8]}, filter="event.data.amount >= params.least"),
            wait("never", match={"data.order": 9}),
            wait("other", type="order.*", source="/other"),
        ]
    )
    events = [event(1, order=8, amount=5), event(2, order=7, amount=10), event(3, order=7)]
    assert index.answers(events) == [
        EventAnswer(TaskId("one"), EventId("e2")),
        EventAnswer(TaskId("two"), EventId("e2")),
    ]


def test_an_event_that_is_too_old_or_started_the_run_does_not_count():
    own = EventWait(TaskId("t"), {"type": "order.paid"}, {}, NOW, frozenset({"e1"}))
    index = EventWaitIndex([own])
    assert index.answers([event(1), event(2, minutes=-1)]) == []
    assert index.answers([event(1), event(3)]) == [EventAnswer(TaskId("t"), EventId("e3"))]


def test_a_filter_that_fails_is_no_match_and_an_unreadable_pattern_is_left_out():
    index = EventWaitIndex([wait("t", filter="event.data.missing > 1"), wait("u", type=7)])
    assert index.answers([event(1)]) == []
    assert [each.task_id for each in index.waits] == ["t"]
