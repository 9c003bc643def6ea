"""Adds events through the function of the schema: who may call it need not read events."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection
from activityctl.adapters.postgres.json_numbers import with_fractions
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.values.ids import EventId
from activityctl.domain.values.untrusted import storable

# Neither an attribute of an event nor a JSON text has these characters as they are.
_BETWEEN: Final = "\x1f"
_NOTHING: Final = "\x1e"
_ARRAY: Final = "string_to_array(%({})b, U&'\\001F', U&'\\001E')"
ADD_EVENTS: Final = f"""
    SELECT add_events({_ARRAY.format("ids")}, {_ARRAY.format("sources")},
        {_ARRAY.format("sender_ids")}, {_ARRAY.format("types")}, {_ARRAY.format("subjects")},
        %(times)b::timestamptz[], {_ARRAY.format("digests")}, {_ARRAY.format("documents")})
        AS known"""
"""Stores events of different ids, wakes the router, and returns the ids that existed before."""
SAME_EVENTS: Final = f"""
    SELECT id, digest FROM same_events({_ARRAY.format("ids")}, {_ARRAY.format("digests")})"""


def event_arrays(
    rows: Sequence[tuple[EventEnvelope, EventId, str, str]],
) -> Mapping[str, Any]:
    """Return the arguments of ADD_EVENTS: each event with our id, its text and its digest.

    Texts go joined: to write arrays of them takes the client ten times longer.
    """
    documents = [event.document for event, *_ in rows]
    return {
        "ids": joined(event_id for _, event_id, _, _ in rows),
        "sources": joined(document["source"] for document in documents),
        "sender_ids": joined(document["id"] for document in documents),
        "types": joined(document["type"] for document in documents),
        "subjects": joined(document.get("subject") or _NOTHING for document in documents),
        "times": [event.time for event, *_ in rows],
        "digests": joined(digest for *_, digest in rows),
        "documents": joined(with_fractions(text) for _, _, text, _ in rows),
    }


def joined(texts: Iterable[str]) -> str:
    """Return the texts as one, which the statements of this module make an array of again."""
    return storable(_BETWEEN.join(texts))


async def insert_events(connection: Connection, events: Sequence[EventEnvelope]) -> None:
    """Store the events that are new, in the caller's transaction; the others stay as they are."""
    rows = {event.event_id: (event, *event.stored) for event in events}
    if rows:
        await connection.execute(ADD_EVENTS.encode(), event_arrays(list(rows.values())))
