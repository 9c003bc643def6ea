"""Which waiting tasks an event answers; the same index as for triggers finds them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime

from pydantic import ValidationError

from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.routing.index import EventIndex, Listener, Matched
from activityctl.domain.values.ids import EventId, TaskId
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class EventWait:
    """A task that waits for an event."""

    task_id: TaskId
    pattern: Mapping[str, JsonValue]
    """The fields of an EventPattern, rendered."""
    params: Mapping[str, JsonValue]
    """The params of the run."""
    since: datetime
    """Events that arrived earlier do not count."""
    own_events: frozenset[str] = field(default_factory=frozenset)
    """The ids of the events that started the run; they do not count."""
    looks_after: int | None = None
    """The position of the last stored event that was looked at, of those that were routed before
    the wait was known; None once all were."""

    def accepts(self, event: ArrivedEvent) -> bool:
        """Return whether the event may count, by its time; the pattern is another question."""
        return event.id not in self.own_events and event.arrived_at >= self.since


@frozen_dataclass
class EventAnswer:
    """The event that ends the wait of a task."""

    task_id: TaskId
    event_id: EventId


class EventWaitIndex:
    """An index of waiting tasks. It does not change."""

    def __init__(self, waits: Iterable[EventWait]) -> None:
        readable = ((wait, _trigger(wait.pattern)) for wait in waits)
        known = [(wait, trigger) for wait, trigger in readable if trigger is not None]
        self._waits = {wait.task_id: wait for wait, _ in known}
        self._index = EventIndex(
            Listener(wait.task_id, "", trigger, wait.params) for wait, trigger in known
        )

    @property
    def waits(self) -> Sequence[EventWait]:
        """The waits of the index."""
        return tuple(self._waits.values())

    def answers(self, events: Iterable[ArrivedEvent]) -> list[EventAnswer]:
        """Return for each wait the first event, in the order given, that ends it."""
        found: dict[TaskId, EventAnswer] = {}
        for event in events if self._waits else ():
            for result in self._index.matches(event.document):
                wait = self._waits[TaskId(result.listener.subscription)]
                if isinstance(result, Matched) and wait.accepts(event):
                    found.setdefault(wait.task_id, EventAnswer(wait.task_id, event.id))
        return list(found.values())


def _trigger(pattern: Mapping[str, JsonValue]) -> EventTrigger | None:
    """Return the pattern as a trigger has it; None for one that another version has stored."""
    try:
        return EventTrigger.model_validate_json(json.dumps(dict(pattern)))
    except ValidationError:
        return None
