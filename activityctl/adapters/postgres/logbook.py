"""The log in Postgres: appended, paged in commit-safe order, NOTIFY as a hint."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, Database, to_jsonb, to_storable_text
from activityctl.adapters.postgres.rows import log_entry_of
from activityctl.domain.values.log import Cursor, LogEntry
from activityctl.ports import LOG_CHANNEL

# Only rows of transactions that every later snapshot sees as ended are read, so that a
# reader's cursor never passes a row that commits behind it.
_SETTLED: Final = "transaction < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint"


async def insert_log_entries(connection: Connection, entries: Sequence[LogEntry]) -> None:
    """Insert the entries with one statement, and hint at them once a subscription."""
    if not entries:
        return
    await connection.execute(
        """INSERT INTO log_entries (subscription_id, run_id, level, message, metadata, created_at)
           SELECT * FROM unnest(%(subscriptions)s::text[], %(runs)s::text[], %(levels)s::text[],
               %(messages)s::text[], %(metadata)s::jsonb[], %(times)s::timestamptz[])""",
        {
            "subscriptions": [entry.subscription_id for entry in entries],
            "runs": [entry.run_id for entry in entries],
            "levels": [entry.level for entry in entries],
            "messages": [to_storable_text(entry.message) for entry in entries],
            "metadata": [to_jsonb(dict(entry.metadata)) for entry in entries],
            "times": [entry.created_at for entry in entries],
        },
    )
    for subscription in sorted({entry.subscription_id for entry in entries}):
        await connection.execute("SELECT pg_notify(%s, %s)", (LOG_CHANNEL, subscription))


class PostgresLogbook:
    """The Logbook port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entries: Sequence[LogEntry]) -> None:
        """Add entries and wake those who follow."""
        async with self._database.transaction() as connection:
            await insert_log_entries(connection, entries)

    async def page(
        self,
        subscription_id: str,
        after: Cursor,
        *,
        limit: int,
        since: datetime | None = None,
        run_id: str | None = None,
    ) -> tuple[list[LogEntry], Cursor]:
        """Return the next settled entries and the cursor after them."""
        rows = await self._database.fetch(
            f"""SELECT * FROM log_entries
                WHERE subscription_id = %(subscription)s
                  AND (transaction, id) > (%(transaction)s, %(id)s) AND {_SETTLED}
                  AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
                  AND (%(run)s::text IS NULL OR run_id = %(run)s)
                ORDER BY transaction, id LIMIT %(limit)s""",
            subscription=subscription_id,
            transaction=after.transaction,
            id=after.id,
            since=since,
            run=run_id,
            limit=limit,
        )
        return [log_entry_of(row) for row in rows], _cursor_of(rows[-1]) if rows else after

    async def tail(self, subscription_id: str, count: int) -> Cursor:
        """Return the cursor before the last `count` settled entries."""
        row = await self._database.fetch_one(
            f"""SELECT transaction, id FROM log_entries
                WHERE subscription_id = %(subscription)s AND {_SETTLED}
                ORDER BY transaction DESC, id DESC OFFSET %(count)s LIMIT 1""",
            subscription=subscription_id,
            count=count,
        )
        return _cursor_of(row) if row else Cursor()


def _cursor_of(row: dict[str, Any]) -> Cursor:
    return Cursor(row["transaction"], row["id"])
