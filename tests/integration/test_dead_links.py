"""Connections that die without a word, and clients that fall silent: the bounds on every wait."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from psycopg import waiting

from activityctl.adapters.postgres import kept_open, watched_connection
from activityctl.adapters.postgres.catalog import catalog
from activityctl.adapters.postgres.database import Database
from activityctl.adapters.postgres.locks import Lock, try_lock
from activityctl.adapters.postgres.signals import PostgresSignals
from activityctl.errors import UnreachableError
from activityctl.ports import WORK_CHANNEL
from support.link import Link

SOON = 40.0
"""Seconds: enough on a busy machine; without the bounds, a wait lasts for many minutes."""


@pytest.fixture
def link(database_url: str) -> Iterator[Link]:
    """A link to Postgres."""
    parts = urlsplit(database_url)
    assert parts.hostname
    assert parts.port
    with Link(parts.hostname, parts.port) as link:
        yield link


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask earlier than the product does, to keep the tests short."""
    monkeypatch.setattr(watched_connection, "ASK_AFTER", 0.4)
    monkeypatch.setattr(watched_connection, "_ASK_AGAIN", 0.3)
    monkeypatch.setattr(watched_connection, "_CONFIRM_AFTER", 0.3)
    monkeypatch.setattr(watched_connection, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(kept_open, "SEND_EVERY", 0.3)


@asynccontextmanager
async def opened(url: str, pool_size: int = 0) -> AsyncIterator[Database]:
    database = await Database.connect(url, pool_size=pool_size)
    try:
        yield database
    finally:
        await database.close()


@pytest.mark.parametrize("pool_size", [0, 1])
async def test_a_connection_that_is_left_in_pipeline_mode_is_not_used_again(
    database_url: str, pool_size: int
):
    """psycopg leaves it so when a block is broken off at a bad moment; reads then have no rows."""
    async with opened(database_url, pool_size) as database:
        async with database.connection() as connection:
            await connection.pipeline().__aenter__()
        assert await database.fetch("SELECT 1 AS one") == [{"one": 1}]


async def test_a_block_that_is_cancelled_before_it_begins_leaves_pipeline_mode(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", 0)  # as if no wait had yielded lately
    async with opened(database_url) as database, database.connection() as connection:

        async def nested() -> None:
            async with connection.pipeline(), connection.pipeline():
                raise AssertionError

        for yields in range(4):  # cancelled while it enters the first pipeline, or the second
            task = asyncio.create_task(nested())
            for _ in range(1 + yields):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert not connection.is_in_pipeline
        row = await (await connection.execute("SELECT 1 AS one")).fetchone()
        assert row == {"one": 1}


async def test_a_pool_replaces_connections_that_died_silently(link: Link, database_url: str):
    async with opened(link.url(database_url), 4) as database:
        sleeps = [database.fetch("SELECT pg_sleep(0.2)") for _ in range(4)]
        await asyncio.gather(*sleeps)  # so that the pool has four connections
        link.kill_connections()
        async with asyncio.timeout(SOON):
            with pytest.raises(UnreachableError, match="the server does not answer"):
                await database.fetch("SELECT 1")
            rows = await asyncio.gather(*[database.fetch("SELECT 1 AS one") for _ in range(8)])
        assert rows == [[{"one": 1}]] * 8


async def test_a_wait_ends_when_no_connection_gets_through(link: Link, database_url: str):
    async with opened(link.url(database_url)) as database:
        await database.fetch("SELECT 1")
        link.cut()
        async with asyncio.timeout(SOON):
            with pytest.raises(UnreachableError):
                await database.fetch("SELECT 1")
        link.heal()
        assert await database.fetch("SELECT 1 AS one") == [{"one": 1}]


async def test_a_statement_that_postgres_works_on_is_waited_for(link: Link, database_url: str):
    async with opened(link.url(database_url)) as database:
        rows = await database.fetch("SELECT 1 AS one FROM pg_sleep(2.5)")
        assert rows == [{"one": 1}]


async def test_a_listener_notices_a_dead_connection(link: Link, database_url: str):
    async with opened(link.url(database_url)) as database:

        async def listen() -> None:
            async with PostgresSignals(database).listening(WORK_CHANNEL) as payloads:
                link.kill_connections()
                async for _ in payloads:
                    pass

        async with asyncio.timeout(SOON):
            with pytest.raises(UnreachableError):
                await listen()


async def test_postgres_frees_the_locks_of_a_silent_client(database_url: str):
    async with opened(database_url, 2) as database:

        async def hold_and_be_silent() -> None:
            async with database.transaction() as connection:
                # In place of the 15 seconds that the product asks for.
                await connection.execute("SET idle_in_transaction_session_timeout = '500ms'")
                assert await try_lock(connection, Lock.ROUTER)
                await _until_free(database)
                await connection.execute("SELECT 1")

        async with asyncio.timeout(SOON):
            with pytest.raises(UnreachableError, match="nothing was changed"):
                await hold_and_be_silent()


async def test_only_a_long_transaction_may_take_long(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(watched_connection._NEWER_SETTINGS, "transaction_timeout", "300ms")
    async with opened(database_url) as database:

        async def take_long(*, is_long: bool) -> None:
            async with database.transaction(is_long=is_long) as connection:
                await connection.execute("SELECT 1")
                await asyncio.sleep(1)
                await connection.execute("SELECT 1")

        await take_long(is_long=True)
        with pytest.raises(UnreachableError, match="it took over 60 seconds: nothing was changed"):
            await take_long(is_long=False)


async def test_postgres_ends_a_transaction_that_was_cut_off_within_a_pipeline(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Its session is active, not idle, because the end of its statements has not come."""
    monkeypatch.setitem(watched_connection._NEWER_SETTINGS, "transaction_timeout", "2s")
    async with opened(database_url, 2) as database:

        async def hold_and_be_cut_off() -> None:
            async with database.transaction() as connection, connection.pipeline():
                await connection.execute("SET idle_in_transaction_session_timeout = '500ms'")
                assert await try_lock(connection, Lock.ROUTER)
                await _until_free(database)
                await connection.execute("SELECT 1")

        async with asyncio.timeout(SOON):
            with pytest.raises(UnreachableError):
                await hold_and_be_cut_off()


async def test_an_older_server_that_knows_no_bound_of_transactions_is_used_without(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(watched_connection, "_NEWER_SETTINGS", {"no_such_timeout": "2s"})
    monkeypatch.setattr(watched_connection, "_older_servers", set())
    async with opened(database_url) as database:
        (row,) = await database.fetch("SHOW transaction_timeout")
        assert row == {"transaction_timeout": "0"}


async def test_every_connection_has_the_bounds(database_url: str):
    async with opened(database_url) as database:
        (row,) = await database.fetch("SHOW idle_in_transaction_session_timeout")
        assert row == {"idle_in_transaction_session_timeout": "15s"}
        for is_long, bound in ((False, "1min"), (True, "1h")):
            async with database.transaction(is_long=is_long) as connection:
                shown = await (await connection.execute("SHOW transaction_timeout")).fetchone()
                assert shown == {"transaction_timeout": bound}


async def test_a_block_that_works_for_long_keeps_its_locks(database_url: str):
    async with opened(database_url, 2) as database, database.held_transaction() as connection:
        await connection.execute("SET idle_in_transaction_session_timeout = '2s'")
        assert await try_lock(connection, Lock.ROUTER)
        await asyncio.sleep(4)
        async with database.transaction() as other:
            assert not await try_lock(other, Lock.ROUTER)


async def test_an_apply_that_plans_for_long_goes_on_and_a_frozen_one_frees_its_lock(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        catalog, "_ALLOW_LONG_READ", "SET LOCAL idle_in_transaction_session_timeout = '2s'"
    )
    async with opened(database_url) as database:
        stored = catalog.PostgresCatalog(database)

        async def plan_for_long() -> None:
            async with stored.changing():
                assert not (await stored.present()).subscriptions
                await asyncio.sleep(4)  # as a thread plans
                assert not (await stored.present()).subscriptions

        await plan_for_long()
        monkeypatch.setattr(kept_open, "SEND_EVERY", 60)  # as if the process were frozen
        with pytest.raises(UnreachableError):
            await plan_for_long()


async def test_a_block_whose_connection_is_lost_is_cancelled(link: Link, database_url: str):
    async with opened(link.url(database_url), 2) as database:
        has_ended = False

        async def work() -> None:
            nonlocal has_ended
            async with database.held_transaction() as connection:
                await try_lock(connection, Lock.ROUTER)
                link.kill_connections()
                await asyncio.sleep(60)
                has_ended = True

        async with asyncio.timeout(SOON):
            with pytest.raises(UnreachableError):
                await work()
        assert not has_ended


async def test_a_cancelled_block_stays_cancelled(database_url: str):
    async with opened(database_url, 2) as database:

        async def hold() -> None:
            async with database.held_transaction():
                await asyncio.sleep(60)

        task = asyncio.create_task(hold())
        await asyncio.sleep(0.6)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def _until_free(database: Database) -> None:
    while True:
        async with database.transaction() as other:
            if await try_lock(other, Lock.ROUTER):
                return
        await asyncio.sleep(0.1)
