"""Implements the Purge port: reads the rows that contain a text, and writes them without it."""

from collections.abc import Sequence
from typing import Any, Final

from psycopg import sql
from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection, Database
from activityctl.domain.values.purging import purge_json, purge_text
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Occurrence

FREE_TEXTS: Final = {
    "applies": ("actor",),
    "attempts": ("error",),
    "audit_entries": ("actor", "request_id", "target"),
    "breakers": ("reason",),
    "chains": ("error",),
    "dead_letters": ("reason",),
    "events": ("event_id", "source", "subject", "type"),
    "firings": ("error",),
    "hooks": ("executed_request", "executed_response", "request", "response"),
    "letter_actions": ("actor", "reason"),
    "log_entries": ("message",),
    "runs": ("cancel_reason", "reason", "stuck_reason"),
    "refused_requests": ("content_type", "method", "reason", "sender"),
    "alarms": ("error",),
    "subscriptions": ("pause_reason",),
    "tasks": ("completed_by", "error", "reason"),
    "verdicts": ("reason",),
    "waits": ("answered_by", "error"),
}
"""Text columns that people and programs fill; other text columns hold names, keys and ids.

Columns with JSON always count as filled by them.
"""
_ROWS_AT_ONCE: Final = 200
_COLUMNS: Final = """
    SELECT c.relname AS "table", a.attname AS "column", t.typname AS type
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'runs'::regclass)
      AND c.relkind = 'r' AND c.relname = ANY(%s) AND t.typname IN ('text', 'jsonb', '_text')
    ORDER BY 1, 2"""


@frozen_dataclass
class _Column:
    table: str
    name: str
    type: str

    @property
    def is_key(self) -> bool:
        return self.type != "jsonb" and self.name not in FREE_TEXTS.get(self.table, ())

    @property
    def contains(self) -> sql.Composable:
        """The condition that the column has one of the texts; JSON has them escaped."""
        needles = sql.SQL("%(escaped)s" if self.type == "jsonb" else "%(texts)s")
        return sql.SQL(
            "EXISTS (SELECT FROM unnest({}::text[]) needle WHERE position(needle IN {}::text) > 0)"
        ).format(needles, sql.Identifier(self.name))


class PostgresPurge:
    """Implements the Purge port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, texts: Sequence[str]) -> list[Occurrence]:
        """Return where any of the texts is."""
        async with self._database.transaction(is_long=True) as connection:
            await connection.execute("SET LOCAL statement_timeout = 0")
            return await _found(connection, await _needles(connection, texts))

    async def replace(self, texts: Sequence[str]) -> list[Occurrence]:
        """Replace the texts by `***` in one transaction, except in keys; return where they were."""
        async with self._database.transaction(is_long=True) as connection:
            await connection.execute("SET LOCAL statement_timeout = 0")
            needles = await _needles(connection, texts)
            found = await _found(connection, needles)
            columns = await _columns(connection)
            for table in dict.fromkeys(place.table for place in found if not place.is_key):
                free = [each for each in columns if each.table == table and not each.is_key]
                await _rewrite(connection, table, free, needles, texts)
        return found


async def _needles(connection: Connection, texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts, and the texts as Postgres writes them inside of JSON."""
    cursor = await connection.execute(
        "SELECT array_agg(substr(quoted, 2, length(quoted) - 2)) AS escaped"
        " FROM (SELECT to_jsonb(needle)::text AS quoted FROM unnest(%s::text[]) needle) AS q",
        (list(texts),),
    )
    row = await cursor.fetchone()
    return {"texts": list(texts), "escaped": row["escaped"] if row else []}


async def _columns(connection: Connection) -> list[_Column]:
    from activityctl.adapters.postgres.schema.tables import metadata

    cursor = await connection.execute(_COLUMNS, (sorted(metadata.tables),))
    return [_Column(row["table"], row["column"], row["type"]) for row in await cursor.fetchall()]


async def _found(connection: Connection, needles: dict[str, list[str]]) -> list[Occurrence]:
    found = []
    for column in await _columns(connection):
        query = sql.SQL("SELECT count(*) AS rows FROM {} WHERE {}").format(
            sql.Identifier(column.table), column.contains
        )
        row = await (await connection.execute(query, needles)).fetchone()
        if row and row["rows"]:
            found.append(Occurrence(column.table, column.name, row["rows"], column.is_key))
    return found


async def _rewrite(
    connection: Connection,
    table: str,
    columns: Sequence[_Column],
    needles: dict[str, list[str]],
    texts: Sequence[str],
) -> None:
    """Write every row of the table that has one of the texts again, without them."""
    lock = sql.SQL("SELECT ctid::text AS row_id FROM {} WHERE {} FOR UPDATE").format(
        sql.Identifier(table), sql.SQL(" OR ").join(column.contains for column in columns)
    )
    select = sql.SQL("SELECT ctid::text AS row_id, {} FROM {} WHERE ctid = ANY(%s::tid[])").format(
        sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
        sql.Identifier(table),
    )
    update = sql.SQL("UPDATE {} SET {} WHERE ctid = %(row_id)s::tid").format(
        sql.Identifier(table),
        sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(column.name), sql.Placeholder(column.name))
            for column in columns
        ),
    )
    locked = await (await connection.execute(lock, needles)).fetchall()
    row_ids = [row["row_id"] for row in locked]  # they stay the same while the rows are locked
    for start in range(0, len(row_ids), _ROWS_AT_ONCE):
        some = row_ids[start : start + _ROWS_AT_ONCE]
        for row in await (await connection.execute(select, (some,))).fetchall():
            values = {column.name: _purged(column, row[column.name], texts) for column in columns}
            await connection.execute(update, {**values, "row_id": row["row_id"]})


def _purged(column: _Column, value: Any, texts: Sequence[str]) -> Any:
    if value is None:
        return None
    if column.type == "jsonb":
        return Jsonb(purge_json(value, texts))
    return purge_text(value, texts)
