"""Routing in Postgres: reads unrouted events and their listeners, and writes the results.

Everything is one transaction under the router's lock. The domain decides which listeners an
event matches.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection, Database, to_storable_text
from activityctl.adapters.postgres.events import gatherings, waits
from activityctl.adapters.postgres.events.chains import watches_of
from activityctl.adapters.postgres.events.rows import EVENT_COLUMNS, event_of
from activityctl.adapters.postgres.locks import Lock, try_lock_query
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.signals import wake_workers
from activityctl.domain.events.envelope import MAX_EVENT_BYTES
from activityctl.domain.events.gathering import Gathering, GatheringKey
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict
from activityctl.domain.routing.event_waits import EventWait
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.listeners import stored_listeners
from activityctl.domain.routing.routing import (
    EventFiring,
    RefusedFiring,
    Routed,
    refused_log_entries,
)
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values import ids
from activityctl.domain.values.ids import EventId
from activityctl.domain.values.moment import parse_days
from activityctl.ports import Routing, WaitsVersion, Work

_MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
"""Once the documents of a batch have this size, it takes no further event."""
_MAX_COMPRESSION: Final = 100
"""A compressed document is counted as this many times its stored size."""

# It grows when a trigger changes, and when a chain trigger begins.
_VERSION: Final = """((SELECT coalesce(max(id), 0) FROM applies)
    + (SELECT coalesce(max(place), 0) FROM chain_watches))"""
_SELECT_NOW_AND_VERSION: Final = f"""
    SELECT clock_timestamp() AS now, {_VERSION} AS version,
        w.waits, w.places
    FROM (SELECT count(*) AS waits, coalesce(sum(place), 0)::bigint AS places FROM waits
        WHERE {waits.IS_OPEN}) w"""
# Takes only as many events as fit in memory. The size of a compressed document is an estimate,
# because to decompress it costs more.
_SELECT_UNROUTED: Final = f"""
    SELECT {EVENT_COLUMNS}, e.waiting FROM (
        SELECT w.*, sum(w.size) OVER (ORDER BY w.place) - w.size AS before,
            count(*) OVER () AS waiting
        FROM (
            SELECT n.*, CASE WHEN pg_column_compression(n.document) IS NULL
                THEN pg_column_size(n.document)
                ELSE least(%(longest)s, %(unpacked)s * pg_column_size(n.document)) END AS size
            FROM events n WHERE n.routed_at IS NULL ORDER BY n.place LIMIT %(limit)s) w) e
    WHERE e.before < %(size)s ORDER BY e.place"""
# One statement, so that everything is read at one moment. The event trigger is in the definition
# or in an override of the subscription.
_SELECT_LISTENERS: Final = f"""
    SELECT a.version, s.id, s.params, s.triggers, v.id AS revision, v.spec::text AS spec,
        (SELECT jsonb_agg(to_jsonb(w)) FROM chain_watches w
         WHERE w.subscription_id = s.id AND w.ended_at IS NULL) AS watches
    FROM (SELECT {_VERSION} AS version) a
    LEFT JOIN (subscriptions s JOIN definitions d ON d.name = s.definition
        JOIN revisions v ON v.id = d.revision_id)
      ON s.status <> 'deleted' AND (%(owners)s::text[] IS NULL OR s.id = ANY(%(owners)s))
        AND (jsonb_path_exists(v.spec, '$.triggers[*] ? (exists(@.event) || exists(@.chain))')
        OR jsonb_path_exists(s.triggers, '$.* ? (exists(@.event) || exists(@.chain))'))
    ORDER BY s.name"""
_SELECT_CALENDARS: Final = f"""
    SELECT a.version, c.name, c.days
    FROM (SELECT {_VERSION} AS version) a
    LEFT JOIN calendars c ON c.name = ANY(%s) AND c.deleted_at IS NULL"""
# The firings of one subscription have the same revision and params, which are sent once.
_INSERT_FIRINGS: Final = """
    INSERT INTO firings (id, subscription_id, trigger, firing_key, due_at, created_at, fires_at,
        event_ids, order_key, priority, revision_id, params)
    SELECT x.id, x.subscription, x.trigger, x.key, x.due, %(now)s, x.fires, x.events,
        x.order_key, x.priority, o.revision, o.params
    FROM jsonb_to_recordset(%(rows)s) AS x(n int, id text, subscription text, trigger text,
        key text, due timestamptz, fires timestamptz, events text[], order_key text,
        priority int)
    LEFT JOIN jsonb_to_recordset(%(owners)s) AS o(subscription text, revision text, params jsonb)
      ON o.subscription = x.subscription
    ORDER BY x.n
    ON CONFLICT DO NOTHING"""
_INSERT_VERDICTS: Final = """
    INSERT INTO verdicts (event_id, subscription_id, trigger, feed, outcome, reason, firing_key,
        created_at)
    SELECT x.event, x.subscription, x.trigger, x.feed, x.outcome, x.reason, x.key, x.at
    FROM jsonb_to_recordset(%(rows)s) AS x(event text, subscription text, trigger text,
        feed text, outcome text, reason text, key text, at timestamptz)
    ON CONFLICT DO NOTHING"""
_INSERT_REFUSED: Final = """
    INSERT INTO runs (id, subscription_id, definition, revision_id, trigger, firing_key,
        workflow_id, due_at, status, reason, params, created_at, ended_at, events)
    SELECT x.id, x.subscription, v.definition, v.id, x.trigger, x.key, x.workflow,
        x.due, x.status, x.reason, x.params, %(now)s, %(now)s,
        (SELECT jsonb_agg(e.document ORDER BY e.place) FROM events e
         WHERE e.id = ANY(x.events))
    FROM jsonb_to_recordset(%(rows)s) AS x(id text, subscription text, trigger text, key text,
        workflow text, due timestamptz, status text, reason text, revision text, params jsonb,
        events text[])
    JOIN subscriptions s ON s.id = x.subscription JOIN definitions d ON d.name = s.definition
    JOIN revisions v ON v.id = coalesce(x.revision, d.revision_id)
    ON CONFLICT DO NOTHING"""


class PostgresRouting:
    """Implements the Routing port, within one transaction."""

    def __init__(
        self,
        connection: Connection,
        events: list[ArrivedEvent],
        catalog_version: int,
        now: datetime,
        *,
        is_last: bool,
        waits_version: WaitsVersion,
    ) -> None:
        self.waits_version = waits_version
        self._connection = connection
        self._saved: list[tuple[Routed, datetime]] = []
        self.events = events
        self.is_last = is_last
        self.catalog_version = catalog_version
        self.now = now

    async def listeners(self) -> list[Listener]:
        """Return every event trigger of every subscription that is not deleted, at one moment.

        Sets `catalog_version` to the version of the catalog that they belong to.
        """
        self.catalog_version, found = await read_listeners(self._connection, None)
        return found

    async def paused(self, subscriptions: Iterable[str]) -> frozenset[str]:
        """Return which of these subscriptions are paused."""
        cursor = await self._connection.execute(
            "SELECT id FROM subscriptions WHERE id = ANY(%s) AND status = 'paused'",
            (list(subscriptions),),
        )
        return frozenset([row["id"] for row in await cursor.fetchall()])

    async def calendars(self, names: Iterable[str]) -> DaysByCalendar:
        """Return the days of those of these calendars that are live.

        Sets `catalog_version` to the version of the catalog that they belong to.
        """
        cursor = await self._connection.execute(_SELECT_CALENDARS, (list(names),))
        rows = await cursor.fetchall()
        self.catalog_version = rows[0]["version"]
        return {
            row["name"]: tuple(parse_days(days) for days in row["days"])
            for row in rows
            if row["name"] is not None
        }

    async def gatherings(
        self, keys: Iterable[GatheringKey], until: datetime, limit: int
    ) -> list[Gathering]:
        """Return the gatherings with these keys, and up to `limit` that are due by `until`."""
        return await gatherings.read_gatherings(self._connection, keys, until, limit)

    async def stored_events(self, event_ids: Iterable[EventId]) -> dict[EventId, ArrivedEvent]:
        """Return those of these events that are still stored, by id."""
        cursor = await self._connection.execute(
            f"SELECT {EVENT_COLUMNS} FROM events e WHERE e.id = ANY(%s)".encode(),
            (list(event_ids),),
        )
        return {row["id"]: event_of(row) for row in await cursor.fetchall()}

    async def event_waits(self) -> list[EventWait]:
        """Return every open wait for an event that has no answer."""
        return await waits.read_event_waits(self._connection)

    async def older_events(self, wait: EventWait, limit: int) -> list[ArrivedEvent]:
        """Return routed events that may end the wait, in the order of arrival."""
        return await waits.read_older_events(self._connection, wait, limit)

    async def save(self, routed: Routed, now: datetime) -> None:
        """Write the results and wake the dispatcher, when the block ends without an exception."""
        self._saved.append((routed, now))

    async def commit(self) -> None:
        """Write everything in one round trip."""
        async with self._connection.committing():
            for routed, now in self._saved:
                await _write(self._connection, routed, now)


async def _write(connection: Connection, routed: Routed, now: datetime) -> None:
    await write_firings(connection, routed.firings, now)
    await write_verdicts(connection, routed.verdicts)
    await write_refused(connection, routed.refused, now)
    await gatherings.write_gatherings(connection, routed, now)
    await waits.write_answers(connection, routed.answers, routed.looked)
    await connection.execute(
        "UPDATE events SET routed_at = %s WHERE id = ANY(%s) AND routed_at IS NULL",
        (now, list(routed.events)),
    )


async def read_listeners(
    connection: Connection, owners: Sequence[str] | None
) -> tuple[int, list[Listener]]:
    """Return the version of the catalog, and the event triggers of all owners or of these."""
    wanted = None if owners is None else list(owners)
    cursor = await connection.execute(_SELECT_LISTENERS.encode(), {"owners": wanted})
    rows = await cursor.fetchall()
    return rows[0]["version"], await asyncio.to_thread(_listeners, rows)


def _listeners(rows: Iterable[Mapping[str, Any]]) -> list[Listener]:
    return [
        listener
        for row in rows
        if row["id"] is not None
        for listener in stored_listeners(
            row["id"],
            row["revision"],
            row["spec"],
            row["params"],
            row["triggers"],
            watches_of(row["watches"]),
        )
    ]


@asynccontextmanager
async def open_routing(database: Database, limit: int) -> AsyncIterator[Routing | None]:
    """Hold the router's lock and the oldest unrouted events; None when the lock is taken."""
    async with database.held_transaction() as connection:
        async with connection.pipeline():
            # Separate statements, so that the reads see the state after the lock was taken.
            lock_cursor = await connection.execute(*try_lock_query(Lock.ROUTER))
            state = await connection.execute(_SELECT_NOW_AND_VERSION.encode())
            unrouted_cursor = await connection.execute(_SELECT_UNROUTED.encode(), _limits(limit))
        (lock_row,), (state_row,) = await lock_cursor.fetchall(), await state.fetchall()
        rows = await unrouted_cursor.fetchall() if lock_row["is_held"] else []
        if not lock_row["is_held"]:
            yield None
            return
        routing = PostgresRouting(
            connection,
            [event_of(row) for row in rows],
            state_row["version"],
            state_row["now"],
            is_last=not rows or (rows[0]["waiting"] < limit and rows[0]["waiting"] == len(rows)),
            waits_version=WaitsVersion(state_row["waits"], state_row["places"]),
        )
        yield routing
        await routing.commit()


def _limits(limit: int) -> Mapping[str, int]:
    return {
        "limit": limit,
        "size": _MAX_BATCH_BYTES,
        "longest": MAX_EVENT_BYTES,
        "unpacked": _MAX_COMPRESSION,
    }


async def write_firings(
    connection: Connection, firings: Iterable[EventFiring], now: datetime
) -> None:
    """Insert the firings that are new, in their order, and wake the dispatcher."""
    firings = list(firings)
    rows = [_firing_row(number, firing) for number, firing in enumerate(firings)]
    owners = {firing.subscription_id: _owner_row(firing) for firing in firings}
    if rows:
        values = {"rows": Jsonb(rows), "owners": Jsonb(list(owners.values())), "now": now}
        await connection.execute(_INSERT_FIRINGS, values)
        await wake_workers(connection, Work.FIRING)


async def write_verdicts(connection: Connection, verdicts: Iterable[Verdict]) -> None:
    """Insert the verdicts that are new; an event and a trigger keep their first verdict."""
    rows = [_verdict_row(verdict) for verdict in verdicts]
    if rows:
        await connection.execute(_INSERT_VERDICTS, {"rows": Jsonb(rows)})


async def write_refused(
    connection: Connection, refused: Collection[RefusedFiring], now: datetime
) -> None:
    """Insert an ended run for each refused firing, and write it to the log."""
    rows = [_run_row(firing) for firing in refused]
    if rows:
        await connection.execute(_INSERT_REFUSED, {"rows": Jsonb(rows), "now": now})
        await insert_log_entries(connection, refused_log_entries(refused, now))


def _firing_row(number: int, firing: EventFiring) -> Mapping[str, Any]:
    return {
        "n": number,
        "id": ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key),
        "subscription": firing.subscription_id,
        "trigger": firing.trigger,
        "key": firing.firing_key,
        "due": firing.due_at.isoformat(),
        "fires": firing.fires_at.isoformat(),
        "events": list(firing.event_ids),
        "order_key": firing.order_key,
        "priority": firing.priority,
    }


def _owner_row(firing: EventFiring) -> Mapping[str, Any]:
    """Return what the runs of the subscription have; no params without a revision."""
    return {
        "subscription": firing.subscription_id,
        "revision": firing.revision_id,
        "params": dict(firing.params) if firing.revision_id else None,
    }


def _verdict_row(verdict: Verdict) -> Mapping[str, Any]:
    return {
        "event": verdict.event_id,
        "subscription": verdict.subscription_id,
        "trigger": verdict.trigger,
        "feed": verdict.replay,
        "outcome": verdict.outcome.value,
        "reason": to_storable_text(verdict.reason),
        "key": verdict.firing_key,
        "at": verdict.created_at.isoformat(),
    }


def _run_row(firing: RefusedFiring) -> Mapping[str, Any]:
    return {
        "id": firing.run_id,
        "subscription": firing.subscription_id,
        "trigger": firing.trigger,
        "key": firing.firing_key,
        "workflow": ids.NO_WORKFLOW,
        "due": firing.due_at.isoformat(),
        "status": firing.status.value,
        "reason": to_storable_text(firing.reason),
        "revision": firing.revision_id,
        "params": dict(firing.params),
        "events": list(firing.event_ids),
    }
