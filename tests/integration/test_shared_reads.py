"""Reads that are asked for together are one round trip, and each hears of its own failure."""

import asyncio
from urllib.parse import urlsplit

import pytest

from activityctl.adapters.postgres.database import Database
from activityctl.errors import ActivityctlError, UnstorableError
from support.link import Link


async def test_reads_of_the_same_moment_share_a_round_trip(database_url: str):
    parts = urlsplit(database_url)
    assert parts.hostname
    assert parts.port
    with Link(parts.hostname, parts.port) as link:
        database = await Database.connect(link.url(database_url))
        try:
            await database.fetch("SELECT 1")
            before = link.round_trips
            found = await asyncio.gather(
                *(database.fetch("SELECT %(n)s::int AS n", n=n) for n in range(20))
            )
            assert [rows[0]["n"] for rows in found] == list(range(20))
            assert link.round_trips - before <= 3
            before = link.round_trips
            for number in range(5):
                assert (await database.fetch("SELECT %(n)s::int AS n", n=number))[0]["n"] == number
            assert link.round_trips - before >= 5
        finally:
            await database.close()


async def test_a_read_that_fails_or_is_cancelled_harms_no_other(database_url: str):
    database = await Database.connect(database_url)
    try:
        good = [asyncio.create_task(database.fetch("SELECT 1 AS n")) for _ in range(3)]
        bad = asyncio.create_task(database.fetch("SELECT 'x'::int AS n"))
        cancelled = asyncio.create_task(database.fetch("SELECT 2 AS n"))
        last = asyncio.create_task(database.fetch("SELECT 3 AS n"))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert [rows[0]["n"] for rows in await asyncio.gather(*good, last)] == [1, 1, 1, 3]
        with pytest.raises(UnstorableError):
            await bad
        first = asyncio.create_task(database.fetch("SELECT 'x'::int AS n"))
        second = asyncio.create_task(database.fetch("SELECT 4 AS n"))
        assert (await second)[0]["n"] == 4
        with pytest.raises(UnstorableError):
            await first
        leads = asyncio.create_task(database.fetch("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.1)
        waits = asyncio.create_task(database.fetch("SELECT 5 AS n"))
        leads.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leads
        assert (await waits)[0]["n"] == 5
    finally:
        await database.close()


async def test_reads_that_wait_for_a_server_that_is_gone_fail_together():
    database = await Database.connect("postgresql://nobody@127.0.0.1:1/none")
    failed = await asyncio.gather(
        *(database.fetch("SELECT 1") for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(error, ActivityctlError) for error in failed)
    await database.close()
