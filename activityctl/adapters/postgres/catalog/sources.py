"""Event sources in Postgres: the live ones, the changes of a plan, and what came to them."""

from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection, Database
from activityctl.domain.gitops.plan import Change, Plan
from activityctl.domain.manifests.event_source import PresentEventSource
from activityctl.domain.sources.spec import EventSourceSpec
from activityctl.domain.sources.traffic import (
    MOST_REFUSALS,
    REFUSALS_KEPT_FOR,
    RefusedRequest,
    SourceTraffic,
)
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.model import canonical
from activityctl.domain.values.selection import Selection

SELECT_LIVE_SOURCES: Final = "SELECT o.* FROM event_sources o WHERE o.deleted_at IS NULL"
_COUNTS: Final = ("accepted", "duplicates", "challenges", "ignored", "refused")
_TIMES: Final = ("last_accepted_at", "last_refused_at")
_REFUSAL: Final = (
    "at",
    "code",
    "reason",
    "status",
    "method",
    "content_type",
    "size",
    "sha256",
    "sender",
)
_COUNT: Final = f"""
    INSERT INTO source_traffic AS t (source, {", ".join((*_COUNTS, *_TIMES))})
    VALUES (%(source)s, {", ".join(f"%({name})s" for name in (*_COUNTS, *_TIMES))})
    ON CONFLICT (source) DO UPDATE SET
        {", ".join(f"{name} = t.{name} + excluded.{name}" for name in _COUNTS)},
        {", ".join(f"{name} = coalesce(excluded.{name}, t.{name})" for name in _TIMES)}"""
_KEEP: Final = f"""
    INSERT INTO refused_requests (source, {", ".join(_REFUSAL)})
    VALUES (%(source)s, {", ".join(f"%({name})s" for name in _REFUSAL)})"""
_TRIM: Final = """
    DELETE FROM refused_requests WHERE source = %(source)s AND id <= (
        SELECT id FROM refused_requests WHERE source = %(source)s
        ORDER BY id DESC OFFSET %(most)s LIMIT 1)"""
_NO_WAIT: Final = "SET LOCAL synchronous_commit = off"
"""Counts are no ledger: the row that all requests of a source share is locked for less long."""


def source_of(row: dict[str, Any]) -> PresentEventSource:
    """Return the event source of a row of the table."""
    return PresentEventSource(
        row["name"],
        EventSourceSpec.model_validate_json(canonical_json(row["spec"])),
        row["created_at"],
        row["updated_at"],
        row["labels"],
        row["annotations"],
        row["applyset"],
    )


async def listed_sources(
    database: Database, selection: Selection
) -> list[tuple[PresentEventSource, SourceTraffic]]:
    """Return the live event sources with what came to them, by name."""
    rows = await database.fetch(
        f"""SELECT o.*, {", ".join(f"t.{name}" for name in (*_COUNTS, *_TIMES))}
            FROM event_sources o LEFT JOIN source_traffic t ON t.source = o.name
            WHERE o.deleted_at IS NULL AND (%(name)s::text IS NULL OR o.name = %(name)s)
              AND o.labels @> %(labels)s ORDER BY o.name LIMIT %(limit)s""",
        name=selection.name,
        labels=Jsonb(dict(selection.labels)),
        limit=selection.limit,
    )
    return [(source_of(row), _traffic_of(row)) for row in rows]


def _traffic_of(row: dict[str, Any]) -> SourceTraffic:
    counts: dict[str, Any] = {name: row[name] or 0 for name in _COUNTS}
    return SourceTraffic(**counts, **{name: row[name] for name in _TIMES})


async def refused_requests(database: Database, source: str, limit: int) -> list[RefusedRequest]:
    """Return the last refused requests of a source, newest first."""
    rows = await database.fetch(
        f"""SELECT {", ".join(_REFUSAL)} FROM refused_requests
            WHERE source = %(source)s AND at > clock_timestamp() - %(age)s::interval
            ORDER BY id DESC LIMIT %(limit)s""",
        source=source,
        age=REFUSALS_KEPT_FOR,
        limit=limit,
    )
    return [RefusedRequest(*(row[name] for name in _REFUSAL)) for row in rows]


async def write_sources(
    connection: Connection, plan: Plan, changed: list[Change], now: datetime
) -> None:
    """Write and delete the event sources that the plan changes, in the caller's transaction."""
    names = {change.name for change in changed if change.kind == "EventSource"}
    rows = [
        {
            "name": name,
            "spec": canonical(source.spec),
            "labels": source.metadata.labels,
            "annotations": source.metadata.annotations,
        }
        for name, source in plan.sources.items()
        if name in names
    ]
    await connection.execute(
        """INSERT INTO event_sources (name, spec, labels, annotations, applyset, created_at,
               updated_at)
           SELECT x.name, x.spec, x.labels, x.annotations, %(applyset)s, %(now)s, %(now)s
           FROM jsonb_to_recordset(%(rows)s) AS x(name text, spec jsonb, labels jsonb,
               annotations jsonb)
           ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, labels = excluded.labels,
               annotations = excluded.annotations, updated_at = excluded.updated_at,
               applyset = coalesce(excluded.applyset, event_sources.applyset),
               deleted_at = NULL""",
        {"rows": Jsonb(rows), "applyset": plan.applyset, "now": now},
    )
    await connection.execute(
        "UPDATE event_sources SET deleted_at = %s, applyset = NULL WHERE name = ANY(%s)",
        (now, plan.deleted("EventSource")),
    )


class PostgresSourceLedger:
    """Implements the SourceLedger port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, name: str) -> PresentEventSource | None:
        """Return the live event source of that name; None if there is none."""
        row = await self._database.fetch_one(
            f"{SELECT_LIVE_SOURCES} AND o.name = %(name)s", name=name
        )
        return None if row is None else source_of(row)

    async def note(
        self, name: str, traffic: SourceTraffic, refused: RefusedRequest | None = None
    ) -> None:
        """Add the counts of one request, and keep it if it was refused."""
        counts = {each: getattr(traffic, each) for each in (*_COUNTS, *_TIMES)}
        async with self._database.one_trip() as connection:
            await connection.execute(_NO_WAIT.encode())
            if refused is not None:
                row = {each: getattr(refused, each) for each in _REFUSAL}
                await connection.execute(_KEEP.encode(), {"source": name, **row})
                await connection.execute(_TRIM.encode(), {"source": name, "most": MOST_REFUSALS})
            await connection.execute(_COUNT.encode(), {"source": name, **counts})

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove the oldest refused requests over this age, by Postgres' clock; return how many."""
        rows = await self._database.fetch(
            """DELETE FROM refused_requests WHERE id IN (
                   SELECT id FROM refused_requests
                   WHERE at < clock_timestamp() - %(age)s::interval ORDER BY at LIMIT %(limit)s)
               RETURNING id""",
            age=age,
            limit=limit,
        )
        return len(rows)
