"""The log in Postgres, read in an order in which late commits are not missed.

NOTIFY only tells readers to look at the table.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, Database, to_jsonb, to_storable_text
from activityctl.adapters.postgres.rows import log_entry_of
from activityctl.domain.values.log import Cursor, LogEntry
from activityctl.ports import LOG_CHANNEL

# Reads only rows of transactions that are older than every open transaction. So no row can
# commit later at a position that the cursor of a reader has passed.
_IS_VISIBLE_TO_ALL: Final = "transaction < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint"


async def insert_log_entries(connection: Connection, entries: Sequence[LogEntry]) -> None:
    """Insert the entries with one statement, and wake the readers of each subscription once."""
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
    """Implements the Logbook port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entries: Sequence[LogEntry]) -> None:
        """Add the entries and wake the readers that follow the log."""
        async with self._database.one_trip() as connection:
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
        """Return the next entries after the cursor, and the cursor after them."""
        rows = await self._database.fetch(
            f"""SELECT * FROM log_entries
                WHERE subscription_id = %(subscription)s
                  AND (transaction, id) > (%(transaction)s, %(id)s) AND {_IS_VISIBLE_TO_ALL}
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

    async def tail(self, subscription_id: str, count: int, run_id: str | None = None) -> Cursor:
        """Return the cursor before the last `count` entries, of one run or of all."""
        row = await self._database.fetch_one(
            f"""SELECT transaction, id FROM log_entries
                WHERE subscription_id = %(subscription)s AND {_IS_VISIBLE_TO_ALL}
                  AND (%(run)s::text IS NULL OR run_id = %(run)s)
                ORDER BY transaction DESC, id DESC OFFSET %(count)s LIMIT 1""",
            subscription=subscription_id,
            run=run_id,
            count=count,
        )
        return _cursor_of(row) if row else Cursor()


def _cursor_of(row: dict[str, Any]) -> Cursor:
    return Cursor(row["transaction"], row["id"])
