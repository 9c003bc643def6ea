"""Wake-up signals by NOTIFY and LISTEN, and the heartbeats of workers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection, Database, translate_errors
from activityctl.domain.runs.worker import COUNTS_AS_ALIVE, LoopTrouble, WorkerBeat
from activityctl.ports import WORK_CHANNEL, Work

_PROBE_AFTER: Final = 3
"""After so many quiet seconds, a listener checks that its connection is alive."""


def notify_sql(work: Work) -> str:
    """Return an SQL expression that wakes the workers when the transaction commits."""
    return f"pg_notify('{WORK_CHANNEL}', '{work}')"


async def wake_workers(connection: Connection, work: Work) -> None:
    """Wake the workers when the caller's transaction commits."""
    await connection.execute(f"SELECT {notify_sql(work)}".encode())


class PostgresSignals:
    """Implements the Signals port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def listening(self, channel: str) -> AsyncIterator[AsyncIterator[str]]:
        """Iterate over the payloads of a channel; yield "" after each second without one."""
        connection = await self._database.dedicated()
        async with connection:
            with translate_errors():
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            yield _payloads(connection)


async def _payloads(connection: Connection) -> AsyncIterator[str]:
    quiet = 0
    while True:
        with translate_errors():
            if quiet >= _PROBE_AFTER:  # on a dead connection no payload ever comes
                await connection.execute("SELECT 1")
                quiet = 0
            # Read all at once: a suspended `notifies` holds the connection's lock, and a
            # caller that leaves `listening` would then wait for that lock forever.
            notifies = connection.notifies(timeout=1.0, stop_after=1)
            payloads = [notify.payload async for notify in notifies]
        quiet = 0 if payloads else quiet + 1
        for payload in payloads or [""]:
            yield payload


_SORT_IN_FILE: Final = """
    SELECT max(number) FROM (
        SELECT number FROM generate_series(1, 20000) AS number ORDER BY -number OFFSET 0) AS sorted
"""
"""It writes some hundred KB, more than its `work_mem`."""


class PostgresWorkers:
    """Implements the Workers port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def beat(self, worker: WorkerBeat) -> bool:
        """Record that this worker is alive; remove workers not heard of for a day.

        Return False if it has to end, because the database is being restored or was restored.
        """
        row = await self._database.fetch_one(
            """WITH gone AS (
                   DELETE FROM workers
                   WHERE seen_at < clock_timestamp() - interval '1 day' AND id <> %(id)s)
               INSERT INTO workers (id, host, pid, version, started_at, troubles, seen_at)
               VALUES (%(id)s, %(host)s, %(pid)s, %(version)s, %(started_at)s, %(troubles)s,
                   clock_timestamp())
               ON CONFLICT (id) DO UPDATE
               SET seen_at = excluded.seen_at, troubles = excluded.troubles
               RETURNING NOT EXISTS (
                   SELECT FROM restores r WHERE r.fenced_until > clock_timestamp()
                   OR r.restored_at > workers.started_at) AS may_go_on""",
            id=worker.id,
            host=worker.host,
            pid=worker.pid,
            version=worker.version,
            started_at=worker.started_at,
            troubles=Jsonb([_stored(trouble) for trouble in worker.troubles]),
        )
        return bool(row and row["may_go_on"])

    async def server_time(self) -> datetime:
        """Return the time by Postgres' clock, UTC."""
        (row,) = await self._database.fetch("SELECT clock_timestamp() AS now")
        now: datetime = row["now"]
        return now

    async def require_space(self) -> None:
        """Raise UnreachableError if the disk is full; sorts in a file, which needs no right."""
        async with self._database.connection() as connection:
            with suppress(psycopg.errors.ConfigurationLimitExceeded):  # for temporary files
                async with connection.begun():
                    await connection.execute("SET LOCAL work_mem = '64kB'")
                    await connection.execute(_SORT_IN_FILE)

    async def leave(self, worker_id: str) -> None:
        """Record that this worker has stopped."""
        await self._database.fetch("DELETE FROM workers WHERE id = %(id)s", id=worker_id)

    async def alive(self, within: timedelta = COUNTS_AS_ALIVE) -> list[WorkerBeat]:
        """Return the workers heard of within that time, the one that started first at the front."""
        rows = await self._database.fetch(
            """SELECT id, host, pid, version, started_at, troubles FROM workers
               WHERE seen_at BETWEEN clock_timestamp() - %(within)s
                   AND clock_timestamp() + %(within)s  -- later: the clock was set back since
               ORDER BY started_at""",
            within=within,
        )
        return [
            WorkerBeat(**{**row, "troubles": tuple(map(_trouble, row["troubles"]))}) for row in rows
        ]


def _stored(trouble: LoopTrouble) -> dict[str, Any]:
    return {**asdict(trouble), "since": trouble.since.isoformat()}


def _trouble(stored: dict[str, Any]) -> LoopTrouble:
    return LoopTrouble(**{**stored, "since": datetime.fromisoformat(stored["since"])})
