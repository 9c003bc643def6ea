"""Gatherings in Postgres, read and written in the router's transaction."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection, Database, to_storable_text
from activityctl.domain.events.gathering import GatheredEvent, Gathering, GatheringKey
from activityctl.domain.events.stored_event import Verdict
from activityctl.domain.routing.routing import Routed
from activityctl.domain.values import ids
from activityctl.domain.values.ids import EventId

_SELECT_GATHERINGS: Final = """
    SELECT subscription_id, trigger, key, state, due_at FROM gatherings
    WHERE id = ANY(%(ids)s) OR id IN (
        SELECT id FROM gatherings WHERE due_at <= %(until)s ORDER BY due_at, id LIMIT %(limit)s)
    ORDER BY due_at, id"""
_UPSERT_GATHERINGS: Final = """
    INSERT INTO gatherings AS g (id, subscription_id, trigger, key, state, due_at, opened_at,
        updated_at)
    SELECT x.id, x.subscription, x.trigger, x.key, x.state, x.due, x.opened, %(now)s
    FROM jsonb_to_recordset(%(rows)s) AS x(id text, subscription text, trigger text, key text,
        state jsonb, due timestamptz, opened timestamptz)
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, due_at = excluded.due_at,
        opened_at = excluded.opened_at, updated_at = excluded.updated_at"""
# An event that was removed from the archive gets no verdict.
_REPLACE_VERDICTS: Final = """
    INSERT INTO verdicts (event_id, subscription_id, trigger, outcome, reason, firing_key,
        created_at)
    SELECT e.id, x.subscription, x.trigger, x.outcome, x.reason, x.key, x.at
    FROM jsonb_to_recordset(%(rows)s) AS x(event text, subscription text, trigger text,
        outcome text, reason text, key text, at timestamptz)
    JOIN events e ON e.id = x.event
    ON CONFLICT (event_id, subscription_id, trigger, feed) DO UPDATE SET
        outcome = excluded.outcome, reason = excluded.reason, firing_key = excluded.firing_key,
        created_at = excluded.created_at"""


async def read_gatherings(
    connection: Connection, keys: Iterable[GatheringKey], until: datetime, limit: int
) -> list[Gathering]:
    """Return the gatherings with these keys, and up to `limit` that are due by `until`."""
    cursor = await connection.execute(
        _SELECT_GATHERINGS,
        {"ids": [ids.gathering_id(*key) for key in keys], "until": until, "limit": limit},
    )
    return [_gathering_of(row) for row in await cursor.fetchall()]


async def write_gatherings(connection: Connection, routed: Routed, now: datetime) -> None:
    """Write the changed gatherings, delete the empty ones, replace the verdicts."""
    if routed.gatherings:
        rows = [_gathering_row(gathering) for gathering in routed.gatherings]
        await connection.execute(_UPSERT_GATHERINGS, {"rows": Jsonb(rows), "now": now})
    if routed.emptied:
        emptied_ids = [ids.gathering_id(*key) for key in routed.emptied]
        await connection.execute("DELETE FROM gatherings WHERE id = ANY(%s)", (emptied_ids,))
    if routed.replaced_verdicts:
        verdicts = [_verdict_row(verdict) for verdict in routed.replaced_verdicts]
        await connection.execute(_REPLACE_VERDICTS, {"rows": Jsonb(verdicts)})


async def seconds_to_due(database: Database) -> float | None:
    """Return the seconds until the next gathering is due; None when there is none."""
    row = await database.fetch_one(
        """SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 AS seconds
           FROM gatherings"""
    )
    return None if row is None or row["seconds"] is None else max(float(row["seconds"]), 0.0)


def _gathering_row(gathering: Gathering) -> dict[str, Any]:
    return {
        "id": ids.gathering_id(*gathering.key),
        "subscription": gathering.key.subscription_id,
        "trigger": gathering.key.trigger,
        "key": gathering.key.key,
        "state": {
            "form": gathering.form,
            "judged_by": gathering.judged_by,
            "events": [_event_json(event) for event in gathering.events],
        },
        "due": gathering.due_at.isoformat(),
        "opened": gathering.events[0].arrived_at.isoformat(),
    }


def _event_json(event: GatheredEvent) -> list[Any]:
    return [event.id, event.arrived_at.isoformat(), list(event.parts), event.size]


def _gathering_of(row: dict[str, Any]) -> Gathering:
    state = row["state"]
    events = tuple(
        GatheredEvent(EventId(event_id), datetime.fromisoformat(arrived_at), tuple(parts), size)
        for event_id, arrived_at, parts, size in state["events"]
    )
    key = GatheringKey(row["subscription_id"], row["trigger"], row["key"])
    return Gathering(key, state["form"], events, row["due_at"], state.get("judged_by"))


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    return {
        "event": verdict.event_id,
        "subscription": verdict.subscription_id,
        "trigger": verdict.trigger,
        "outcome": verdict.outcome.value,
        "reason": to_storable_text(verdict.reason),
        "key": verdict.firing_key,
        "at": verdict.created_at.isoformat(),
    }
