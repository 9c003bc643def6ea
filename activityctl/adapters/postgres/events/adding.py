"""Adds events through the functions of the schema: who may call them need not read events."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from activityctl.adapters.postgres.audit_rows import ADD_ENTRY, entry_values
from activityctl.adapters.postgres.database import Connection
from activityctl.adapters.postgres.json_numbers import with_fractions
from activityctl.domain.events.emit_note import EmitNote
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
# Nothing is compared in most calls, in which no event is known.
_COMPARED: Final = f"""
    added AS MATERIALIZED ({ADD_EVENTS}),
    same AS MATERIALIZED (
        SELECT s.id FROM added CROSS JOIN LATERAL same_events(
            CASE WHEN known IS NULL THEN NULL ELSE {_ARRAY.format("ids")} END,
            CASE WHEN known IS NULL THEN NULL ELSE {_ARRAY.format("digests")} END) s),
    compared AS MATERIALIZED (
        SELECT array_agg(k.id) AS other, count(*) AS conflicts
        FROM added CROSS JOIN LATERAL unnest(known) AS k(id)
        WHERE NOT EXISTS (SELECT FROM same WHERE same.id = k.id))"""
_FOUND: Final = "SELECT known, other FROM added, compared"
STORE_EVENTS: Final = f"WITH {_COMPARED} {_FOUND}"
"""Does as ADD_EVENTS; also returns which of the known events are stored with other content."""
_COUNTS: Final = """jsonb_build_object(
            'accepted', %(given)s::int - coalesce(cardinality(known), 0),
            'duplicate', coalesce(cardinality(known), 0) - conflicts,
            'conflict', conflicts, 'invalid', %(invalid)s::int)"""
STORE_EVENTS_NOTED: Final = f"""
    WITH {_COMPARED},
    noted AS ({ADD_ENTRY.replace("%(details)s", _COUNTS)} FROM added, compared)
    {_FOUND}"""
"""Does as STORE_EVENTS, and keeps the entry of an EmitNote with the numbers of the events."""


_TEXTS: Final = ("ids", "sources", "sender_ids", "types", "subjects", "digests")
EventRow = tuple[EventEnvelope, EventId, str, str]
"""An event with our id, its text and its digest."""


def event_arrays(rows: Sequence[EventRow]) -> Mapping[str, Any]:
    """Return the arguments of ADD_EVENTS.

    Texts go joined: to write arrays of them takes the client ten times longer.
    """
    columns = list(zip(*map(_columns, rows), strict=True)) or [()] * (len(_TEXTS) + 2)
    *texts, documents, times = columns
    values: dict[str, Any] = dict(zip(_TEXTS, map(joined, texts), strict=True))
    return {**values, "documents": _joined_documents(documents), "times": list(times)}


def _columns(row: EventRow) -> tuple[Any, ...]:
    """Return the values of one event, in one visit: its parts are far from those of the next."""
    event, event_id, text, digest = row
    named = event.document
    attributes = (named["source"], named["id"], named["type"], named.get("subject") or _NOTHING)
    return (event_id, *attributes, digest, text, event.time)


def _joined_documents(documents: Sequence[str]) -> str:
    text = joined(documents)
    return joined(map(with_fractions, documents)) if "e+" in text else text


def joined(texts: Iterable[str]) -> str:
    """Return the texts as one, which the statements of this module make an array of again."""
    return storable(_BETWEEN.join(texts))


def note_values(note: EmitNote, given: int) -> Mapping[str, Any]:
    """Return the other arguments of STORE_EVENTS_NOTED, for so many events."""
    return {**entry_values(note.entry), "given": given, "invalid": note.invalid}


async def insert_events(connection: Connection, events: Sequence[EventEnvelope]) -> None:
    """Store the events that are new, in the caller's transaction; the others stay as they are."""
    rows = {event.event_id: (event, *event.stored) for event in events}
    if rows:
        await connection.execute(ADD_EVENTS.encode(), event_arrays(list(rows.values())))
