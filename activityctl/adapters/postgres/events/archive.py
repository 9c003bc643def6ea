"""The event archive in Postgres: counts, pages, replays and the removal of old events."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.adapters.postgres.database import Database, to_storable_text
from activityctl.adapters.postgres.events.routing import (
    write_firings,
    write_refused,
    write_verdicts,
)
from activityctl.adapters.postgres.events.rows import EVENT_COLUMNS, event_of, like_patterns
from activityctl.domain.events.parts import ANY
from activityctl.domain.events.query import EventQuery
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict
from activityctl.domain.routing.routing import EventFiring, RefusedFiring
from activityctl.domain.values import ids

_KEEP_EVENTS: Final = "SELECT keep_events(%s) AS id"
# A verdict of an earlier call of the same replay is decided again, unless it is `woken`.
_DELETE_OLD_VERDICTS: Final = """
    DELETE FROM verdicts v
    USING unnest(%(events)s::text[], %(subscriptions)s::text[], %(triggers)s::text[],
        %(feeds)s::text[]) AS x(event, subscription, trigger, feed)
    WHERE v.event_id = x.event AND v.subscription_id = x.subscription
      AND v.trigger = x.trigger AND v.feed = x.feed AND v.outcome <> 'woken'"""
_COUNT_WAITING: Final = """
    SELECT count(*) AS n FROM firings f
    WHERE f.dispatched_at IS NULL AND f.fires_at <= clock_timestamp()
      AND starts_with(f.firing_key, %(prefix)s)"""
# An event stays while a waiting firing has it or an open gathering may have it.
_REMOVE: Final = """
    WITH waiting AS MATERIALIZED (
        SELECT unnest(f.event_ids) AS id FROM firings f
        WHERE f.dispatched_at IS NULL AND f.event_ids IS NOT NULL
    ), old AS (
        SELECT e.id FROM events e
        WHERE e.arrived_at < clock_timestamp() - %(age)s::interval AND e.routed_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM waiting w WHERE w.id = e.id)
          AND NOT EXISTS (
              SELECT FROM verdicts v
              JOIN gatherings g ON g.subscription_id = v.subscription_id AND g.trigger = v.trigger
              WHERE v.event_id = e.id AND v.outcome = 'gathered' AND g.opened_at <= v.created_at)
        ORDER BY e.arrived_at LIMIT %(limit)s FOR UPDATE OF e SKIP LOCKED
    ), removed AS (
        DELETE FROM events e USING old WHERE e.id = old.id RETURNING e.id
    )
    SELECT count(*) AS n FROM removed"""


class PostgresEventArchive:
    """Implements the EventArchive port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, query: EventQuery) -> int:
        """Return how many events match the query."""
        where, values = _where(query)
        row = await self._database.fetch_one(
            f"SELECT count(*) AS n FROM events e WHERE {where}", **values
        )
        return int(row["n"]) if row else 0

    async def arrival(self, query: EventQuery, place: int) -> datetime | None:
        """Return when the event arrived that has this place in the order of arrival."""
        where, values = _where(query)
        row = await self._database.fetch_one(
            f"""SELECT e.arrived_at FROM events e WHERE {where}
                ORDER BY e.arrived_at, e.place OFFSET %(place)s LIMIT 1""",
            **values,
            place=place,
        )
        return None if row is None else row["arrived_at"]

    async def page(
        self,
        query: EventQuery,
        after: ArrivedEvent | None,
        limit: int,
        *,
        newest_first: bool = False,
    ) -> list[ArrivedEvent]:
        """Return the next events after that one, in the order of arrival or newest first."""
        where, values = _where(query)
        order = "DESC" if newest_first else "ASC"
        if after is not None:
            where += f" AND (e.arrived_at, e.place) {'<' if newest_first else '>'} (%(at)s, %(nr)s)"
            values |= {"at": after.arrived_at, "nr": after.position}
        rows = await self._database.fetch(
            f"""SELECT {EVENT_COLUMNS} FROM events e WHERE {where}
                ORDER BY e.arrived_at {order}, e.place {order} LIMIT %(limit)s""",
            **values,
            limit=limit,
        )
        return [event_of(row) for row in rows]

    async def write_replayed(
        self,
        firings: Sequence[EventFiring],
        verdicts: Sequence[Verdict],
        now: datetime,
        refused: Sequence[RefusedFiring] = (),
    ) -> int:
        """Write the results of a replay in one transaction; return how many firings are new.

        A verdict of an earlier call is replaced, unless it is `woken`.
        """
        async with self._database.transaction() as connection:
            event_ids = {verdict.event_id for verdict in verdicts}
            event_ids.update(*(firing.event_ids for firing in refused))
            cursor = await connection.execute(_KEEP_EVENTS, (list(event_ids),))
            stored_ids = {row["id"] for row in await cursor.fetchall()}
            present = [verdict for verdict in verdicts if verdict.event_id in stored_ids]
            firings_by_id = {
                _firing_id(firing): firing
                for firing in firings
                if stored_ids.issuperset(firing.event_ids)
            }
            cursor = await connection.execute(
                "SELECT id FROM firings WHERE id = ANY(%s)", (list(firings_by_id),)
            )
            for row in await cursor.fetchall():
                del firings_by_id[row["id"]]
            await write_firings(connection, firings_by_id.values(), now)
            await connection.execute(_DELETE_OLD_VERDICTS, _verdict_keys(present))
            await write_verdicts(connection, present)
            refused_by_id = {
                firing.run_id: firing
                for firing in refused
                if stored_ids.issuperset(firing.event_ids)
            }
            cursor = await connection.execute(
                "SELECT id FROM runs WHERE id = ANY(%s)", (list(refused_by_id),)
            )
            for row in await cursor.fetchall():
                del refused_by_id[row["id"]]
            await write_refused(connection, refused_by_id.values(), now)
        return len(firings_by_id)

    async def waiting(self, firing_keys: str) -> int:
        """Return how many firings with this key prefix are due and not started."""
        row = await self._database.fetch_one(_COUNT_WAITING, prefix=firing_keys)
        return int(row["n"]) if row else 0

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove the oldest events above that age that nothing waits for; return how many."""
        row = await self._database.fetch_one(_REMOVE, age=age, limit=limit)
        return int(row["n"]) if row else 0


def _firing_id(firing: EventFiring) -> str:
    return ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)


def _verdict_keys(verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    return {
        "events": [verdict.event_id for verdict in verdicts],
        "subscriptions": [verdict.subscription_id for verdict in verdicts],
        "triggers": [verdict.trigger for verdict in verdicts],
        "feeds": [verdict.replay for verdict in verdicts],
    }


def _where(query: EventQuery) -> tuple[str, dict[str, Any]]:
    where = "e.arrived_at >= %(since)s AND e.arrived_at < %(until)s"
    values: dict[str, Any] = {"since": query.since, "until": query.until}
    for column, patterns in (("type", query.types), ("source", query.sources)):
        if patterns and not any(ANY in pattern for pattern in patterns):
            where += (
                f" AND e.{column} = ANY(%({column})s)"  # without LIKE, so that the index is used
            )
            values[column] = [to_storable_text(pattern) for pattern in patterns]
        elif patterns:
            where += f" AND e.{column} LIKE ANY(%({column})s)"
            values[column] = like_patterns(patterns)
    return where, values
