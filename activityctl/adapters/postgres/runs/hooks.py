"""Triggers of executors in Postgres: each statement is a step that cannot be taken twice."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.postgres.database import (
    Connection,
    Database,
    to_jsonb,
    to_storable_text,
)
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.rows import log_entry_of
from activityctl.domain.chain.hook_log import MESSAGE
from activityctl.domain.chain.hook_outcome import HookOutcome, outcome_of
from activityctl.domain.chain.hook_payloads import HookContext
from activityctl.domain.values.log import LogEntry
from activityctl.ports import HookEnd, HookOwner, HookRow

_OWNER: Final = """
    SELECT s.account, s.params, s.created_at, s.status = 'deleted' AS is_deleted,
        coalesce(c.count, 0) AS count, c.last_at, coalesce(c.last_request_id, '') AS last
    FROM subscriptions s LEFT JOIN hook_counts c ON c.subscription_id = s.id
    WHERE s.id = %(id)s"""
_BEGIN: Final = """
    INSERT INTO hooks (key, subscription_id, run_id, request_id, payload, created_at)
    VALUES (%(key)s, %(subscription)s, %(run)s, %(request_id)s, %(payload)s, %(now)s)
    ON CONFLICT (key) DO NOTHING"""
_COUNT: Final = """
    INSERT INTO hook_counts AS c (subscription_id, count, last_at, last_request_id)
    SELECT h.subscription_id, 1, %(at)s, h.request_id FROM hooks h WHERE h.key = %(key)s
    ON CONFLICT (subscription_id) DO UPDATE SET count = c.count + 1,
        last_at = excluded.last_at, last_request_id = excluded.last_request_id"""


class PostgresHookLedger:
    """Implements the HookLedger port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def owner(self, subscription_id: str) -> HookOwner | None:
        """Return the subscription; None if there is none."""
        row = await self._database.fetch_one(_OWNER, id=subscription_id)
        if row is None:
            return None
        context = HookContext(row["count"], row["last_at"], row["last"])
        return HookOwner(
            row["account"], row["params"], row["created_at"], row["is_deleted"], context
        )

    async def begin(self, row: HookRow) -> HookRow:
        """Keep a new trigger; return the one that was kept under its key before, if any."""
        async with self._database.transaction() as connection:
            await connection.execute(
                _BEGIN.encode(),
                {
                    "key": row.key,
                    "subscription": row.subscription_id,
                    "run": row.run_id,
                    "request_id": row.request_id,
                    "payload": to_jsonb(dict(row.payload)),
                    "now": row.created_at,
                },
            )
            return await _read(connection, row.key)

    async def sending(self, key: str, request: str) -> None:
        """Keep what is about to be sent."""
        await self._database.fetch(
            "UPDATE hooks SET request = %(request)s WHERE key = %(key)s AND answered_at IS NULL",
            key=key,
            request=to_storable_text(request),
        )

    async def answered(
        self, key: str, response: str, outcome: HookOutcome | None, at: datetime
    ) -> HookRow:
        """Keep the answer, and count the trigger of its subscription; a second one is ignored."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                b"""UPDATE hooks SET response = %(response)s, outcome = %(outcome)s,
                        answered_at = %(at)s
                    WHERE key = %(key)s AND answered_at IS NULL""",
                {
                    "key": key,
                    "response": to_storable_text(response),
                    "outcome": None if outcome is None else to_jsonb(outcome.as_json()),
                    "at": at,
                },
            )
            if cursor.rowcount:
                await connection.execute(_COUNT.encode(), {"key": key, "at": at})
            return await _read(connection, key)

    async def decided(self, key: str, outcome: HookOutcome) -> HookRow:
        """Keep what became of it, before the executor is told; a second outcome is ignored."""
        async with self._database.transaction() as connection:
            await connection.execute(
                b"UPDATE hooks SET outcome = %(outcome)s WHERE key = %(key)s AND outcome IS NULL",
                {"key": key, "outcome": to_jsonb(outcome.as_json())},
            )
            return await _read(connection, key)

    async def close(self, key: str, end: HookEnd) -> None:
        """Keep the end, and write its log entry, once."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                b"""UPDATE hooks SET executed_request = %(request)s,
                        executed_response = %(response)s, closed_at = %(at)s
                    WHERE key = %(key)s AND closed_at IS NULL""",
                {
                    "key": key,
                    "request": to_storable_text(end.executed_request),
                    "response": to_storable_text(end.executed_response),
                    "at": end.at,
                },
            )
            if cursor.rowcount:
                await insert_log_entries(connection, [end.entry])

    async def entries(self, subscription_id: str, *, offset: int, limit: int) -> list[LogEntry]:
        """Return the log entries of ended triggers, newest first."""
        rows = await self._database.fetch(
            """SELECT * FROM log_entries
               WHERE subscription_id = %(owner)s AND message = %(message)s
                 AND metadata ? 'requestID'
               ORDER BY id DESC OFFSET %(offset)s LIMIT %(limit)s""",
            owner=subscription_id,
            message=MESSAGE,
            offset=offset,
            limit=limit,
        )
        return [log_entry_of(row) for row in rows]


async def read_open(connection: Connection, keys: Sequence[str]) -> list[HookRow]:
    """Return the triggers with these keys that have not ended, by key."""
    cursor = await connection.execute(
        b"SELECT * FROM hooks WHERE key = ANY(%s) AND closed_at IS NULL ORDER BY key", (list(keys),)
    )
    return [_row_of(row) for row in await cursor.fetchall()]


async def _read(connection: Connection, key: str) -> HookRow:
    cursor = await connection.execute(b"SELECT * FROM hooks WHERE key = %s", (key,))
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - it was inserted before, and the run is not removed yet
    return _row_of(row)


def _row_of(row: Mapping[str, Any]) -> HookRow:
    return HookRow(
        row["key"],
        row["subscription_id"],
        row["run_id"],
        row["request_id"],
        row["payload"],
        row["created_at"],
        row["request"],
        row["response"],
        None if row["outcome"] is None else outcome_of(row["outcome"]),
        row["executed_request"],
        row["executed_response"],
        row["closed_at"],
        row["answered_at"],
    )
