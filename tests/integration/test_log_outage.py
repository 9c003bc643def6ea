"""Postgres ends the connections of a worker while an attempt logs: no line is lost or doubled."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg

from activityctl.adapters.postgres.database import Database
from activityctl.adapters.postgres.logbook import PostgresLogbook
from activityctl.domain.values.log import LogEntry, LogFilter
from activityctl.errors import UnreachableError
from activityctl.steps.log_writer import LogWriter

_END_ALL = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


class Ended(PostgresLogbook):
    """Loses the answer of a write that Postgres has committed."""

    answers_lost = 1

    async def append(self, entries: Sequence[LogEntry]) -> None:
        await super().append(entries)
        if any(entry.message == "6" for entry in entries) and self.answers_lost:
            self.answers_lost -= 1
            raise UnreachableError("the connection is lost")


async def test_connections_that_end_while_lines_are_written_lose_and_double_none(
    database_url: str,
):
    database = await Database.connect(database_url, pool_size=2)
    try:
        logbook = Ended(database)
        log = LogWriter(logbook)
        with psycopg.connect(database_url, autocommit=True) as other:
            for number in range(10):
                entry = LogEntry("s", "r", str(number), "info", datetime.now(UTC), {"taskId": "t"})
                writing = asyncio.create_task(log.write(entry))
                if number in {2, 3, 8}:
                    await asyncio.sleep(0)
                    other.execute(_END_ALL)
                await writing
        await log.settle("t")
        entries, _ = await logbook.last(LogFilter(("s",)), 100)
        assert [entry.message for entry in entries] == [str(number) for number in range(10)]
        assert logbook.answers_lost == 0
    finally:
        await database.close()


class Late(PostgresLogbook):
    """Carries out the first write when it has been given up and repeated, as a slow server does."""

    late: Sequence[LogEntry] = ()

    async def append(self, entries: Sequence[LogEntry]) -> None:
        if not self.late:
            self.late = entries
            raise UnreachableError("no answer in time")
        await super().append(entries)
        await super().append(self.late)


async def test_a_write_that_the_server_carries_out_after_its_repetition_doubles_no_line(
    database_url: str,
):
    database = await Database.connect(database_url, pool_size=2)
    try:
        logbook = Late(database)
        log = LogWriter(logbook)
        await log.write(LogEntry("s", "r", "once", "info", datetime.now(UTC), {"taskId": "t"}))
        await log.settle("t")
        entries, _ = await logbook.last(LogFilter(("s",)), 100)
        assert [entry.message for entry in entries] == ["once"]
    finally:
        await database.close()
