"""The log in Postgres, read in an order in which late commits are not missed.

NOTIFY only tells readers to look at the table.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg

from activityctl.adapters.postgres.database import Connection, Database, to_jsonb, to_storable_text
from activityctl.adapters.postgres.rows import log_entry_of
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter, LogNews, end_of
from activityctl.domain.values.search_text import required_text
from activityctl.errors import UnstorableError, UsageError
from activityctl.ports import LOG_CHANNEL

# Reads only rows of transactions that are older than every open transaction. So no row can
# commit later at a position that the cursor of a reader has passed.
_IS_VISIBLE_TO_ALL: Final = "transaction < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint"
_IS_AFTER: Final = "(transaction, id) > (%(transaction)s, %(id)s)"
# What holds a task up is told by its id alone.
_IS_OF_TASK: Final = """EXISTS (
    SELECT FROM (
        SELECT metadata ->> 'task' AS name, metadata ->> 'index' AS index
        WHERE metadata ->> 'task' IS NOT NULL
        UNION ALL
        SELECT t.name, t.index::text FROM tasks t
        WHERE metadata ->> 'task' IS NULL AND t.id = metadata ->> 'taskId') AS told
    WHERE %(task)s IN (told.name, format('%%s[%%s]', told.name, told.index))
        OR starts_with(told.name, %(task)s || '.') OR starts_with(told.name, %(task)s || '['))"""
_START: Final = Cursor()
_INTO: Final = (
    "INSERT INTO log_entries (subscription_id, run_id, level, message, metadata, created_at)"
)
_VALUES: Final = """unnest(%(subscriptions)s::text[], %(runs)s::text[], %(levels)s::text[],
    %(messages)s::text[], %(metadata)s::jsonb[], %(times)s::timestamptz[])"""
_INSERT: Final = f"{_INTO} SELECT * FROM {_VALUES}"
# An entry is found by the index on its time.
_INSERT_AGAIN: Final = f"""{_INTO}
    SELECT subscription_id, run_id, level, message, metadata, created_at
    FROM {_VALUES} WITH ORDINALITY
        AS new(subscription_id, run_id, level, message, metadata, created_at, place)
    WHERE NOT EXISTS (
        SELECT FROM log_entries present
        WHERE present.subscription_id = new.subscription_id
            AND present.created_at = new.created_at
            AND present.run_id IS NOT DISTINCT FROM new.run_id
            AND present.level = new.level AND present.message = new.message
            AND present.metadata = new.metadata)
    ORDER BY place"""


async def insert_log_entries(
    connection: Connection, entries: Sequence[LogEntry], *, again: bool = False
) -> None:
    """Insert the entries with one statement, and wake the readers of each subscription once.

    With `again`, insert only those that are not there yet.
    """
    if not entries:
        return
    await connection.execute(
        _INSERT_AGAIN if again else _INSERT,
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
        """Add the entries that are missing, and wake the readers that follow the log.

        Also at the first try: the server may carry it out after it was given up and repeated.
        """
        async with self._database.one_trip() as connection:
            await insert_log_entries(connection, entries, again=True)

    async def page(
        self, wanted: LogFilter, after: Cursor, *, limit: int
    ) -> tuple[list[LogEntry], Cursor]:
        """Return the next entries after the cursor, and the cursor after them."""
        rows = await self._read(page_query(wanted), wanted, after=after, limit=limit)
        return [log_entry_of(row) for row in rows], _cursor_of(rows[-1]) if rows else after

    async def tail(self, wanted: LogFilter, count: int) -> Cursor:
        """Return the cursor before the last `count` of these entries."""
        rows = await self._read(tail_query(wanted), wanted, limit=count + 1)
        return _cursor_of(rows[-1]) if len(rows) > count else Cursor()

    async def last(self, wanted: LogFilter, count: int) -> tuple[list[LogEntry], Cursor]:
        """Return the last `count` of these entries, oldest first, and the cursor after all."""
        every = LogFilter(wanted.subscription_ids, wanted.run_id, level="debug")
        newest = await self._read(tail_query(every), every, limit=1)  # first: more may come
        rows = await self._read(tail_query(wanted), wanted, limit=count) if count else []
        ends = [_cursor_of(row) for row in (*newest, *rows[:1])]
        last = max(ends, key=lambda end: (end.transaction, end.id), default=_START)
        return [log_entry_of(row) for row in reversed(rows)], last

    async def news(self, subscription_ids: Sequence[str], after: Cursor, *, limit: int) -> LogNews:
        """Return the next entries of these subscriptions after the cursor, oldest first."""
        wanted = LogFilter(tuple(subscription_ids))
        rows = await self._read(_NEWS, wanted, after=after, limit=limit)
        entries = [log_entry_of(row) for row in rows if row["id"] is not None]
        is_full = len(entries) == limit
        cursor = _cursor_of(rows[-1]) if is_full else end_of(rows[0]["oldest_open"] - 1)
        return LogNews(entries, cursor, is_held_back=rows[0]["is_held_back"])

    async def matches(self, patterns: Sequence[str], texts: Sequence[str]) -> list[list[int]]:
        """Return for each regular expression the positions of the texts in which it is found."""
        async with self._database.transaction() as connection:
            await connection.execute(_MATCH_SOON)
            values = {"patterns": list(patterns), "texts": list(texts)}
            rows = await (await connection.execute(_MATCHES, values)).fetchall()
        return [[place - 1 for place in row["places"]] for row in rows]

    async def is_held_back(self, wanted: LogFilter) -> bool:
        """Return whether an open transaction is older than the newest of these entries."""
        return bool(await self._read(held_back_query(wanted), wanted, limit=1))

    async def _read(
        self, query: str, wanted: LogFilter, *, limit: int, after: Cursor = _START
    ) -> list[dict[str, Any]]:
        values = {
            "transaction": after.transaction,
            "id": after.id,
            "limit": limit,
            "run": wanted.run_id,
            "text": wanted.text,
            "required": required_text(wanted.text or ""),
            "task": wanted.task,
            "since": wanted.since,
            "until": wanted.until,
        }
        try:
            return await self._database.fetch(
                query, subscriptions=list(wanted.subscription_ids), **values
            )
        except UnstorableError as error:
            if not isinstance(error.__cause__, psycopg.errors.InvalidRegularExpression):
                raise
            raise UsageError(
                f"not a regular expression: {wanted.text!r}",
                hint=r"write a \ before a sign that means itself, such as \( or \[",
            ) from error


def page_query(wanted: LogFilter) -> str:
    """Return the statement that reads the next entries after a position, oldest first."""
    return _query(wanted, f"{_IS_AFTER} AND {_IS_VISIBLE_TO_ALL}", "transaction, id")


def tail_query(wanted: LogFilter) -> str:
    """Return the statement that reads the last entries, newest first."""
    return _query(wanted, _IS_VISIBLE_TO_ALL, "transaction DESC, id DESC")


def held_back_query(wanted: LogFilter) -> str:
    """Return the statement that reads an entry that is not visible to all, if there is one."""
    return _query(wanted, f"NOT {_IS_VISIBLE_TO_ALL}", "transaction DESC, id DESC")


def _query(wanted: LogFilter, place: str, order: str) -> str:
    """Return a statement whose every part reads one range of an index, in its order."""
    is_wanted = " AND ".join([place, *_conditions(wanted)])
    if wanted.run_id is not None:
        return f"""SELECT * FROM log_entries WHERE run_id = %(run)s AND {is_wanted}
            ORDER BY {order} LIMIT %(limit)s"""
    return f"""SELECT entry.* FROM unnest(%(subscriptions)s::text[]) AS owner(id)
        CROSS JOIN LATERAL (
            SELECT * FROM log_entries WHERE subscription_id = owner.id AND {is_wanted}
            ORDER BY {order} LIMIT %(limit)s) AS entry
        ORDER BY {order} LIMIT %(limit)s"""


def _news_query() -> str:
    """Return the statement that reads what is new, and how far; one row at least.

    Nothing is held back while no transaction is open, so it is looked for only then.
    """
    every = LogFilter(())
    return f"""SELECT now.oldest_open, now.oldest_open < now.next_one AND EXISTS (
            {held_back_query(every)}) AS is_held_back, entry.*
        FROM (SELECT (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint AS oldest_open,
            (pg_snapshot_xmax(pg_current_snapshot())::text)::bigint AS next_one) AS now
        LEFT JOIN ({page_query(every)}) AS entry ON true
        ORDER BY entry.transaction, entry.id"""


def _conditions(wanted: LogFilter) -> Iterator[str]:
    if wanted.level != "debug":
        yield "level IN (" + ", ".join(f"'{level}'" for level in wanted.levels) + ")"
    if wanted.since is not None:
        yield "created_at >= %(since)s"
    if wanted.until is not None:
        yield "created_at < %(until)s"
    if wanted.task is not None:
        yield _IS_OF_TASK
    if wanted.text is not None:
        # The second is dear; Postgres tries them in this order.
        yield "strpos(message, %(required)s) > 0"
        yield "message ~ %(text)s"


def _cursor_of(row: dict[str, Any]) -> Cursor:
    return Cursor(row["transaction"], row["id"])


_NEWS: Final = _news_query()
_MATCH_SOON: Final = "SET LOCAL statement_timeout = '500ms'"
# A pattern after the other, so that Postgres compiles each once.
_MATCHES: Final = """
    SELECT ARRAY(
        SELECT t.place FROM unnest(%(texts)s::text[]) WITH ORDINALITY AS t(message, place)
        WHERE t.message ~ p.pattern ORDER BY t.place) AS places
    FROM unnest(%(patterns)s::text[]) WITH ORDINALITY AS p(pattern, place) ORDER BY p.place"""
