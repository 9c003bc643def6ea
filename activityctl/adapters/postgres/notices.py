"""Notices in Postgres: written with what they tell of, gathered, and removed when they are told.

`troubles` has what a subscription must recover from: its failures and misses since the last run
that succeeded. A failure and a success lock the row of the subscription, so they come one after
the other. A miss only adds rows: it is written with those of other subscriptions, whose rows two
transactions would lock in a different order.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, Database, to_jsonb
from activityctl.domain.runs.notices import (
    GatheredNotice,
    Notice,
    NoticeKind,
    opened_notice,
    recovered_notice,
)
from activityctl.domain.runs.run import Run
from activityctl.domain.tasks.breaker import BreakerStatus
from activityctl.ports import BreakerChange

_MOST_MISSES: Final = 100
"""How many rows of misses are kept for a subscription. They only have to be there."""
_INSERT: Final = """
    INSERT INTO notices (subscription_id, kind, items, count, created_at)
    VALUES (%(subscription)s, %(kind)s, %(items)s, %(count)s, %(at)s)"""
_INSERT_OF_RUN: Final = """
    INSERT INTO notices (subscription_id, kind, items, count, created_at)
    SELECT r.subscription_id, %(kind)s, %(items)s, %(count)s, %(at)s
    FROM runs r WHERE r.id = %(run)s"""
_MISSED: Final = f"""
    INSERT INTO troubles (subscription_id, kind, count, created_at)
    SELECT %(subscription)s, 'missed', %(count)s, %(at)s
    WHERE (SELECT count(*) FROM (
        SELECT FROM troubles WHERE subscription_id = %(subscription)s LIMIT {_MOST_MISSES}
    ) AS known) < {_MOST_MISSES}"""
_FAILED: Final = """
    WITH counted AS (
        UPDATE troubles SET count = count + 1
        WHERE subscription_id = %(subscription)s AND kind = 'failed' RETURNING id)
    INSERT INTO troubles (subscription_id, kind, count, created_at)
    SELECT %(subscription)s, 'failed', 1, %(at)s WHERE NOT EXISTS (SELECT FROM counted)"""
_RECOVER: Final = """
    WITH gone AS (
        DELETE FROM troubles WHERE subscription_id = %(subscription)s RETURNING *)
    INSERT INTO notices (subscription_id, kind, items, count, created_at)
    SELECT %(subscription)s, %(kind)s, jsonb_build_array((%(items)s::jsonb -> 0)
        || jsonb_build_object(
            'failed', coalesce(sum(count) FILTER (WHERE kind = 'failed'), 0),
            'missed', coalesce(sum(count) FILTER (WHERE kind = 'missed'), 0),
            'since', to_char(min(created_at) AT TIME ZONE 'UTC',
                             'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))), %(count)s, %(at)s
    FROM gone HAVING count(*) > 0"""
# Two workers may gather at once. Each gives the rows that it takes a batch of its own.
_GATHER: Final = """
    UPDATE notices n SET batch = %(batch)s
    FROM (
        SELECT subscription_id, kind FROM notices WHERE batch IS NULL
        GROUP BY subscription_id, kind
        HAVING max(created_at) <= clock_timestamp() - %(quiet)s::interval
            OR min(created_at) <= clock_timestamp() - %(longest)s::interval
        ORDER BY min(id) LIMIT %(limit)s) AS ready
    WHERE n.batch IS NULL AND n.subscription_id = ready.subscription_id AND n.kind = ready.kind"""
_GATHERED: Final = """
    SELECT told.*, s.name, s.definition, d.labels || s.labels AS labels,
        coalesce(v.spec ? (CASE told.kind WHEN 'missed' THEN 'onMissed'
            WHEN 'recovered' THEN 'onRecovered' END), false) AS has_tasks
    FROM (
        SELECT batch, subscription_id, kind, min(id) AS first_id, min(created_at) AS at,
            sum(count)::int AS count, jsonb_agg(items ORDER BY id) AS items
        FROM notices WHERE batch IS NOT NULL
        GROUP BY batch, subscription_id, kind ORDER BY min(id) LIMIT %(limit)s) AS told
    JOIN subscriptions s ON s.id = told.subscription_id
    JOIN definitions d ON d.name = s.definition
    JOIN revisions v ON v.id = d.revision_id
    ORDER BY told.first_id"""
_REMOVE: Final = """
    DELETE FROM notices
    WHERE batch = %(batch)s AND subscription_id = %(subscription)s AND kind = %(kind)s"""


async def write_notices(connection: Connection, notices: Sequence[Notice]) -> None:
    """Write what has to be told; a subscription that has missed firings is in trouble, too."""
    for notice in notices:
        values = notice_values(notice)
        await connection.execute(_INSERT, values)
        if notice.kind is NoticeKind.MISSED:
            await connection.execute(_MISSED.encode(), values)


async def write_opened(connection: Connection, run_id: str, change: BreakerChange) -> None:
    """Write what has to be told of a breaker that opens at an attempt of that run."""
    if change.after.status is BreakerStatus.OPEN and change.before.status is not BreakerStatus.OPEN:
        values = notice_values(opened_notice("", run_id, change.after))
        await connection.execute(_INSERT_OF_RUN, {**values, "run": run_id})


async def count_trouble(connection: Connection, subscription: str, at: datetime) -> None:
    """Count a failure of a subscription whose row the caller has locked."""
    await connection.execute(_FAILED, {"subscription": subscription, "at": at})


async def write_recovery(connection: Connection, run: Run, now: datetime) -> None:
    """Write what has to be told of the run if its success ends the trouble of its subscription."""
    notice = recovered_notice(run, now, failed=0, missed=0, since=now)  # the statement counts
    await connection.execute(_RECOVER, notice_values(notice))


def notice_values(notice: Notice) -> dict[str, object]:
    """Return the values of a row of notices."""
    return {
        "subscription": notice.subscription_id,
        "kind": notice.kind.value,
        "items": to_jsonb(list(notice.items)),
        "count": notice.count,
        "at": notice.at,
    }


class PostgresNotices:
    """Implements the Notices port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def gather(
        self, quiet: timedelta, longest: timedelta, limit: int
    ) -> list[GatheredNotice]:
        """Return what may be told now, also what another worker has gathered and not told yet."""
        async with self._database.transaction() as connection:
            values = {"quiet": quiet, "longest": longest, "limit": limit}
            await connection.execute(_GATHER, {**values, "batch": uuid.uuid4().hex})
            cursor = await connection.execute(_GATHERED, {"limit": limit})
            rows = await cursor.fetchall()
        return [_gathered_of(row) for row in rows]

    async def told(self, notice: GatheredNotice) -> None:
        """Remove a notice whose firing and event are stored."""
        await self._database.fetch(
            _REMOVE,
            batch=notice.batch,
            subscription=notice.subscription_id,
            kind=notice.kind.value,
        )


def _gathered_of(row: Mapping[str, Any]) -> GatheredNotice:
    return GatheredNotice(
        row["first_id"],
        row["subscription_id"],
        row["name"],
        row["definition"],
        row["labels"],
        NoticeKind(row["kind"]),
        row["at"],
        [item for items in row["items"] for item in items],
        row["count"],
        row["has_tasks"],
        row["batch"],
    )
