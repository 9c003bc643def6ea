"""Adds events through the function of the schema: who may call it need not read events."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection
from activityctl.adapters.postgres.json_numbers import with_fractions
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.values.ids import EventId

ADD_EVENTS: Final = """
    SELECT add_events(%(ids)b::text[], %(sources)b::text[], %(sender_ids)b::text[],
        %(types)b::text[], %(subjects)b::text[], %(times)b::timestamptz[], %(digests)b::text[],
        %(documents)b::text[]) AS known"""
"""Stores events of different ids, wakes the router, and returns the ids that existed before."""


def event_arrays(
    rows: Sequence[tuple[EventEnvelope, EventId, str, str]],
) -> Mapping[str, list[Any]]:
    """Return the arguments of ADD_EVENTS: each event with our id, its text and its digest."""
    return {
        "ids": [event_id for _, event_id, _, _ in rows],
        "sources": [event.source for event, *_ in rows],
        "sender_ids": [event.id for event, *_ in rows],
        "types": [event.type for event, *_ in rows],
        "subjects": [event.subject for event, *_ in rows],
        "times": [event.time for event, *_ in rows],
        "digests": [digest for *_, digest in rows],
        "documents": [with_fractions(text) for _, _, text, _ in rows],
    }


async def insert_events(connection: Connection, events: Sequence[EventEnvelope]) -> None:
    """Store the events that are new, in the caller's transaction; the others stay as they are."""
    rows = {event.event_id: (event, event.event_id, *event.serialised()) for event in events}
    if rows:
        await connection.execute(ADD_EVENTS.encode(), event_arrays(list(rows.values())))
