"""The locks: a login without rights stops nothing; an older version excludes a new one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime

import psycopg
import pytest

from activityctl import wiring
from activityctl.adapters.postgres.locks import Lock
from activityctl.adapters.postgres.rights import Role
from activityctl.adapters.postgres.runs.gates import _lock_number
from activityctl.adapters.postgres.schema.migrate import migrate
from activityctl.domain.runs.concurrency import GateResult
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.errors import ConflictError
from activityctl.settings import Settings
from support.engine import NAME, Engine
from support.logins import STRANGER, url_as

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MIGRATIONS = 0x61637469
OTHERS = [Role.READ, Role.EMIT, STRANGER]
QUICK = 45.0
"""Seconds: enough on a busy machine, and less than Postgres gives a transaction."""
Taker = Callable[[wiring.Ports], Awaitable[bool]]


@contextmanager
def holding(
    database_url: str, login: str, *numbers: int
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Hold advisory locks as a login."""
    url = url_as(database_url, login) if login else database_url
    with psycopg.connect(url, autocommit=True) as connection:
        for number in numbers:
            connection.execute("SELECT pg_advisory_lock(%s)", (number,))
        yield connection


async def change_catalog(ports: wiring.Ports) -> bool:
    async with ports.catalog.changing():
        return True


async def take_router(ports: wiring.Ports) -> bool:
    async with ports.events.routing(10) as routing:
        return routing is not None


async def take_reconciler(ports: wiring.Ports) -> bool:
    async with ports.register.reconcile_lock() as is_held:
        return is_held


async def take_drift(ports: wiring.Ports) -> bool:
    async with ports.register.drift_lock() as is_held:
        return is_held


TAKERS = [
    (Lock.CATALOG, change_catalog),
    (Lock.ROUTER, take_router),
    (Lock.RECONCILER, take_reconciler),
    (Lock.DRIFT, take_drift),
]


@pytest.mark.parametrize("login", OTHERS)
async def test_a_login_without_rights_holds_up_nothing(
    ports: wiring.Ports, database_url: str, login: str
):
    with holding(database_url, login, *(lock.old_number for lock in Lock)):
        async with asyncio.timeout(QUICK):
            for lock, take in TAKERS:
                assert await take(ports), lock
            assert await ports.backfills.release(10) == 0


@pytest.mark.parametrize(("lock", "take"), TAKERS)
@pytest.mark.parametrize("login", [Role.APPLY, Role.WORKER, ""])
async def test_an_older_version_with_rights_excludes_a_new_one(
    ports: wiring.Ports, database_url: str, login: str, lock: Lock, take: Taker
):
    with holding(database_url, login, lock.old_number) as connection:
        if lock is Lock.CATALOG:
            waiting = asyncio.create_task(change_catalog(ports))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            connection.execute("SELECT pg_advisory_unlock_all()")
            assert await asyncio.wait_for(waiting, QUICK)
        else:
            assert not await take(ports)
            connection.execute("SELECT pg_advisory_unlock_all()")
            assert await take(ports)


async def test_a_new_version_excludes_an_older_one_and_a_new_one(
    ports: wiring.Ports, settings: Settings, database_url: str
):
    async with (
        wiring.open_ports(settings) as other,
        ports.register.reconcile_lock() as is_held,
        ports.catalog.changing(),
    ):
        assert is_held
        assert not await take_reconciler(other)
        with psycopg.connect(database_url, autocommit=True) as older:
            for lock in (Lock.RECONCILER, Lock.CATALOG):
                row = older.execute("SELECT pg_try_advisory_lock(%s)", (lock.old_number,))
                assert row.fetchone() == (False,), lock


async def test_a_long_lock_does_not_hold_up_the_log(ports: wiring.Ports, database_url: str):
    async with ports.register.reconcile_lock(), ports.register.drift_lock():
        with psycopg.connect(database_url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
                " AND datname = current_database()"
            )
            assert row.fetchone() == (0,)


# ---- gates ---------------------------------------------------------------------------


@asynccontextmanager
async def entering(ports: wiring.Ports, key: str) -> AsyncIterator["asyncio.Task[GateResult]"]:
    """Let a run enter the gates of the sample, whose concurrency limit is one."""
    subscription = await Engine(ports).apply(
        {
            "tasks": [{"name": "one", "command": {"argv": ["true"]}}],
            "concurrency": {"limit": 1, "policy": "queue"},
        }
    )
    firing = FiringRequest(subscription.id, "manual", key, NOW).ref
    facts = await ports.runs.admission_input(firing)
    assert facts is not None
    run = Run(
        id=ids.run_id(subscription.id, "manual", key),
        subscription_id=subscription.id,
        subscription=NAME,
        definition=NAME,
        revision_id=facts.revision.id,
        trigger="manual",
        firing_key=key,
        due_at=NOW,
        status=RunStatus.QUEUED,
        created_at=NOW,
    )
    task = asyncio.create_task(ports.gates.enter(run, facts.spec, firing.workflow_id))
    yield task
    await task


@pytest.mark.parametrize("login", OTHERS)
async def test_a_login_without_rights_cannot_close_a_gate(
    ports: wiring.Ports, database_url: str, login: str
):
    number = _lock_number("gates", ids.subscription_id(NAME))
    with holding(database_url, login, number):
        async with asyncio.timeout(QUICK), entering(ports, "a") as entered:
            assert (await entered).outcome == "let_in"
        async with asyncio.timeout(QUICK), entering(ports, "b") as entered:
            assert (await entered).outcome == "queued"
        async with asyncio.timeout(QUICK):
            await ports.gates.let_in()


async def test_an_older_worker_closes_a_gate_for_a_new_one(ports: wiring.Ports, database_url: str):
    number = _lock_number("gates", ids.subscription_id(NAME))
    with holding(database_url, Role.WORKER, number) as connection:
        async with entering(ports, "a") as entered:
            await asyncio.sleep(0.3)
            assert not entered.done()
            connection.execute("SELECT pg_advisory_unlock_all()")
            assert (await asyncio.wait_for(entered, QUICK)).outcome == "let_in"


# ---- migrations ----------------------------------------------------------------------


@pytest.mark.parametrize("login", [*Role, STRANGER])
def test_a_login_without_rights_that_holds_up_a_migration_is_named(database_url: str, login: str):
    with (
        holding(database_url, login, MIGRATIONS),
        pytest.raises(ConflictError, match=f'"login_{login}"') as raised,
    ):
        migrate(database_url)
    assert "pg_terminate_backend" in (raised.value.hint or "")


async def test_a_migration_waits_for_another_one(database_url: str):
    with holding(database_url, "", MIGRATIONS) as connection:
        waiting = asyncio.create_task(asyncio.to_thread(migrate, database_url))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        connection.execute("SELECT pg_advisory_unlock_all()")
        await asyncio.wait_for(waiting, 60)
