"""The event store in Postgres; `routing` routes the events."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from activityctl.adapters.postgres.audit_rows import ADD_ENTRY, entry_values, insert_audit_entry
from activityctl.adapters.postgres.database import (
    Connection,
    Database,
    prefix_pattern,
    to_storable_text,
)
from activityctl.adapters.postgres.events import gatherings
from activityctl.adapters.postgres.events.adding import (
    ADD_EVENTS,
    SAME_EVENTS,
    event_arrays,
    joined,
)
from activityctl.adapters.postgres.events.routing import open_routing, read_listeners
from activityctl.adapters.postgres.events.rows import (
    EVENT_COLUMNS,
    VERDICT_COLUMNS,
    event_of,
    like_patterns,
    verdict_of,
)
from activityctl.adapters.postgres.pages import after, place_of
from activityctl.domain.access.audit import AuditEntry
from activityctl.domain.events.emit_result import outcomes_of
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.events.query import resolve_event
from activityctl.domain.events.stored_event import (
    EVENT_STATUSES,
    ArrivedEvent,
    EmitOutcome,
    Verdict,
)
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.listeners import faults_of
from activityctl.domain.values.ids import EventId
from activityctl.domain.values.selection import Selection
from activityctl.errors import CANDIDATES_TOLD
from activityctl.ports import Note, Routing

_ADD_NEW: Final = f"""
    WITH added AS MATERIALIZED ({ADD_EVENTS}),
    noted AS ({ADD_ENTRY} FROM added WHERE coalesce(cardinality(known), 0) = 0)
    SELECT known FROM added"""
"""Adds one event, and the entry of the audit if the event is new."""
_OTHER: Final = ""
"""Stands for the digest of an event that is stored with another content than any that is given."""


class PostgresEventStore:
    """Implements the EventStore port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, events: Sequence[EventEnvelope], note: Note | None = None
    ) -> list[EmitOutcome]:
        """Store the events and wake the router; return one outcome for each, in order.

        The same event twice in one call is a duplicate too. The entry of `note` is kept in the same
        transaction.
        """
        if note is None:  # a statement that is a transaction by itself
            async with self._database.connection() as connection:
                return await _add(connection, events)
        if len(events) == 1 and await self._add_new(events[0], note([EmitOutcome.ACCEPTED])):
            return [EmitOutcome.ACCEPTED]
        async with self._database.transaction() as connection:
            outcomes = await _add(connection, events)
            async with connection.committing():
                await insert_audit_entry(connection, note(outcomes))
        return outcomes

    async def _add_new(self, event: EventEnvelope, entry: AuditEntry) -> bool:
        """Store an event with its entry in one round trip; return False if it is not new."""
        values = {**event_arrays([(event, *event.stored)]), **entry_values(entry)}
        async with self._database.connection() as connection:
            cursor = await connection.execute(_ADD_NEW.encode(), values)
            found = await cursor.fetchone()
        return bool(found and not found["known"])

    def routing(self, limit: int) -> AbstractAsyncContextManager[Routing | None]:
        """Hold the router's lock and the oldest unrouted events; None when the lock is taken."""
        return open_routing(self._database, limit)

    async def unreadable(self, owners: Sequence[str] | None = None) -> list[Listener]:
        """Return the stored event triggers that cannot be read, of all owners or of these."""
        async with self._database.transaction() as connection:
            _, listeners = await read_listeners(connection, owners)
        return faults_of(listeners)

    async def seconds_to_due(self) -> float | None:
        """Return the seconds until the next gathering is due; None when there is none."""
        return await gatherings.seconds_to_due(self._database)

    async def find_event(self, reference: str) -> ArrivedEvent:
        """Return the event with our id or the sender's id, else with a unique prefix of either.

        Raises NotFoundError when there is none, ConflictError when there are several.
        """
        rows = await self._database.fetch(
            f"""WITH named AS (
                    SELECT * FROM events
                    WHERE id = %(reference)s OR (event_id = %(reference)s AND %(reference)s <> '')
                    ORDER BY id <> %(reference)s, place LIMIT %(limit)s)
                SELECT {EVENT_COLUMNS} FROM (
                    SELECT * FROM named UNION ALL
                    (SELECT * FROM events
                     WHERE (id LIKE %(prefix)s OR event_id LIKE %(prefix)s)
                       AND %(reference)s <> '' AND NOT EXISTS (SELECT FROM named)
                     LIMIT %(limit)s)) AS e
                ORDER BY e.place""",
            reference=to_storable_text(reference),
            prefix=prefix_pattern(reference),
            limit=CANDIDATES_TOLD + 1,
        )
        return resolve_event(reference, [event_of(row) for row in rows])

    async def events(self, selection: Selection) -> list[ArrivedEvent]:
        """Return events, newest first."""
        rows = await self._database.fetch(
            f"""SELECT {EVENT_COLUMNS} FROM events e
                WHERE (%(since)s::timestamptz IS NULL OR e.arrived_at >= %(since)s)
                  AND (%(until)s::timestamptz IS NULL OR e.arrived_at < %(until)s)
                  AND (%(types)s::text[] IS NULL OR e.type LIKE ANY(%(types)s))
                  AND (%(sources)s::text[] IS NULL OR e.source LIKE ANY(%(sources)s))
                  AND (%(waits)s::boolean IS NULL OR (e.routed_at IS NULL) = %(waits)s)
                  AND (%(subscription)s::text IS NULL OR EXISTS (
                      SELECT FROM verdicts v
                      WHERE v.event_id = e.id AND v.subscription_id = %(subscription)s))
                  AND (%(run)s::text IS NULL OR e.id IN (
                      SELECT unnest(f.event_ids) FROM firings f
                      JOIN runs r USING (subscription_id, trigger, firing_key)
                      WHERE r.id = %(run)s))
                  AND {after(selection, "e.place DESC")}
                ORDER BY e.place DESC LIMIT %(limit)s""",
            since=selection.since,
            until=selection.until,
            types=like_patterns(selection.types) or None,
            sources=like_patterns(selection.sources) or None,
            waits=_waits(selection.statuses),
            subscription=selection.subscription_id,
            run=selection.run_id,
            limit=selection.limit,
            **place_of(selection),
        )
        return [event_of(row) for row in rows]

    async def unrouted(self, event_ids: Sequence[str]) -> list[EventId]:
        """Return which of these events are not routed yet."""
        rows = await self._database.fetch(
            "SELECT id FROM events WHERE id = ANY(%(ids)s) AND routed_at IS NULL",
            ids=list(event_ids),
        )
        return [EventId(row["id"]) for row in rows]

    async def verdicts(self, event_ids: Sequence[str]) -> list[Verdict]:
        """Return the verdicts on these events, by event, subscription and trigger."""
        rows = await self._database.fetch(
            f"""SELECT {VERDICT_COLUMNS} FROM verdicts v WHERE v.event_id = ANY(%(ids)s)
                ORDER BY v.event_id, v.subscription_id, v.trigger, v.feed""",
            ids=list(event_ids),
        )
        return [verdict_of(row) for row in rows]


async def _add(connection: Connection, events: Sequence[EventEnvelope]) -> list[EmitOutcome]:
    rows = [event.stored for event in events]
    first_index: dict[EventId, int] = {}
    for index, (event_id, _, _) in enumerate(rows):
        first_index.setdefault(event_id, index)
    known = await _insert(
        connection, [(events[index], *rows[index]) for index in first_index.values()]
    )
    given = [(event_id, digest) for event_id, _, digest in rows]
    digests = {event_id: rows[index][2] for event_id, index in first_index.items()}
    digests.update(dict.fromkeys(map(EventId, known), _OTHER))
    digests.update(await _same_digests(connection, known, given))
    return outcomes_of(given, first_index.keys() - set(known), digests)


async def _insert(
    connection: Connection, rows: Sequence[tuple[EventEnvelope, EventId, str, str]]
) -> list[str]:
    """Insert events of different ids in one statement; return the ids that existed before."""
    if not rows:
        return []
    cursor = await connection.execute(ADD_EVENTS.encode(), event_arrays(rows))
    found = await cursor.fetchone()
    return found["known"] or [] if found else []


async def _same_digests(
    connection: Connection, known: Sequence[str], given: Sequence[tuple[EventId, str]]
) -> Mapping[EventId, str]:
    """Return the digests of those known events that are stored with a digest given here.

    This is a separate statement, so that it sees what other transactions have added.
    """
    if not known:
        return {}
    stored = frozenset(known)
    wanted = [(event_id, digest) for event_id, digest in given if event_id in stored]
    values = {
        "ids": joined(event_id for event_id, _ in wanted),
        "digests": joined(digest for _, digest in wanted),
    }
    cursor = await connection.execute(SAME_EVENTS.encode(), values)
    return {EventId(row["id"]): row["digest"] for row in await cursor.fetchall()}


def _waits(statuses: Sequence[str]) -> bool | None:
    """Return whether only events that wait are wanted, or only others; None for both."""
    wanted = set(statuses)
    return None if wanted in (set(), set(EVENT_STATUSES)) else "waiting" in wanted
