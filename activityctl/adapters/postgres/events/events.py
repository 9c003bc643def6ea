"""The event store in Postgres; `routing` routes the events."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

from activityctl.adapters.postgres.audit_rows import insert_audit_entry
from activityctl.adapters.postgres.database import (
    Connection,
    Database,
    prefix_pattern,
    to_storable_text,
)
from activityctl.adapters.postgres.events import gatherings
from activityctl.adapters.postgres.events.adding import (
    SAME_EVENTS,
    STORE_EVENTS,
    STORE_EVENTS_NOTED,
    EventRow,
    event_arrays,
    joined,
    note_values,
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
from activityctl.domain.events.emit_note import EmitNote
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
from activityctl.ports import Routing

_OTHER: Final = ""
"""Stands for the digest of an event that is stored with another content than any that is given."""


class PostgresEventStore:
    """Implements the EventStore port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, events: Sequence[EventEnvelope], note: EmitNote | None = None
    ) -> list[EmitOutcome]:
        """Store the events and wake the router; return one outcome for each, in order.

        The same event twice in one call is a duplicate too. The entry of `note` is kept in the same
        transaction.
        """
        rows = [(event, *event.stored) for event in events]
        if len({row[1] for row in rows}) == len(rows):  # one statement, which is a transaction
            async with self._database.connection() as connection:
                return (await _store(connection, rows, note)).outcomes(rows)
        async with self._database.transaction() as connection:
            outcomes = await _store_repeated(connection, rows)
            if note is not None:
                async with connection.committing():
                    await insert_audit_entry(connection, note.counted(outcomes))
        return outcomes

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


class _Stored(NamedTuple):
    """What became of events of different ids."""

    known: frozenset[str]
    """The ids that existed before."""
    other: frozenset[str]
    """Those of them that are stored with other content."""

    def outcomes(self, rows: Sequence[EventRow]) -> list[EmitOutcome]:
        """Return the outcome of each event, in order."""
        if not self.known:
            return [EmitOutcome.ACCEPTED] * len(rows)
        return [self._outcome(row[1]) for row in rows]

    def _outcome(self, event_id: EventId) -> EmitOutcome:
        if event_id not in self.known:
            return EmitOutcome.ACCEPTED
        return EmitOutcome.CONFLICT if event_id in self.other else EmitOutcome.DUPLICATE


async def _store(
    connection: Connection, rows: Sequence[EventRow], note: EmitNote | None = None
) -> _Stored:
    """Store events of different ids, and the entry of the audit, in one statement."""
    statement, values = STORE_EVENTS, event_arrays(rows)
    if note is not None:
        statement, values = STORE_EVENTS_NOTED, {**values, **note_values(note, len(rows))}
    cursor = await connection.execute(statement.encode(), values)
    found = await cursor.fetchone() or {}
    return _Stored(frozenset(found["known"] or ()), frozenset(found["other"] or ()))


async def _store_repeated(connection: Connection, rows: Sequence[EventRow]) -> list[EmitOutcome]:
    """Store events of which some have the same id."""
    firsts: dict[EventId, EventRow] = {}
    for row in rows:
        firsts.setdefault(row[1], row)
    stored = await _store(connection, list(firsts.values()))
    given = [(event_id, digest) for _, event_id, _, digest in rows]
    digests = {event_id: digest for event_id, (*_, digest) in firsts.items()}
    digests.update(dict.fromkeys(map(EventId, stored.other), _OTHER))
    digests.update(await _same_digests(connection, stored.other, given))
    return outcomes_of(given, digests.keys() - stored.known, digests)


async def _same_digests(
    connection: Connection, known: Collection[str], given: Sequence[tuple[EventId, str]]
) -> Mapping[EventId, str]:
    """Return the digests of those known events that are stored with a digest given here."""
    if not known:
        return {}
    wanted = [(event_id, digest) for event_id, digest in given if event_id in known]
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
