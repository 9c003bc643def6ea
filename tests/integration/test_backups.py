"""Backups of a real Postgres: what comes back, what is refused, and what a failure leaves."""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from alembic import command
from psycopg import sql
from typer.testing import CliRunner

from activityctl import wiring
from activityctl.adapters.memory.temporal import MemoryRunStarter, MemoryScheduleClient
from activityctl.adapters.postgres.backups.archive import BackupFile
from activityctl.adapters.postgres.backups.load import look_at_target
from activityctl.adapters.postgres.schema import migrate as migration
from activityctl.adapters.postgres.schema.version import package_versions
from activityctl.cli.main import app
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.errors import (
    InvalidInputError,
    NotAllowedError,
    RefusedError,
    SchemaMismatchError,
    WorkerStartedError,
)
from activityctl.operations.runs.settle_restore import RestoreSettling
from activityctl.settings import Settings
from support.logins import url_as

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NEWEST = package_versions()[1]
FAR = 10**13
"""More transactions than a young server has had."""
_NUMBERS = itertools.count()


@pytest.fixture
def empty_url(servers: dict[str, str]) -> Iterator[str]:
    """Create a database without tables."""
    server, name = servers["database_url"].rsplit("/", 1)[0], f"back_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE template0")
        connection.execute(create.format(sql.Identifier(name)))
        yield f"{server}/{name}"
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        connection.execute(drop.format(sql.Identifier(name)))


def fill(url: str, text: str) -> None:
    """Store an event and some lines of a log."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO log_entries (subscription_id, run_id, message, level, created_at, "
            "metadata, transaction) SELECT 's', NULL, %s || n, 'info', now(), '{}', %s * (n / 2) "
            "FROM generate_series(1, 200) n",
            (f"{text}é\\\t", FAR),
        )


def child_names() -> set[str]:
    """Return the names of the processes that were started here; the servers' come and go."""
    names = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            names.add(child.name())
    return names


def messages(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT message FROM log_entries ORDER BY transaction, id")
        return [str(message) for (message,) in rows.fetchall()]


def quiet(_: str) -> None:
    """Say nothing."""


def take(url: str, path: Path, tell: Callable[[str], None] = quiet) -> BackupFile:
    wiring.take_backup(url, path, replaces=True, tell=tell)
    return BackupFile(path)


def test_everything_comes_back_and_no_password_is_among_the_arguments(
    database_url: str, empty_url: str, servers: dict[str, str], tmp_path: Path
):
    fill(database_url, "old ")
    password = database_url.split(":")[2].partition("@")[0]
    seen: list[str] = []

    def watch(_: str) -> None:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                seen.append(" ".join(child.cmdline()))

    backup = take(database_url, tmp_path / "a", watch)
    assert backup.manifest.tables["log_entries"].rows == 200
    assert (backup.manifest.schema_revision, backup.manifest.role_prefixes) == (
        NEWEST,
        ("activityctl",),
    )
    wiring.verify_backup(database_url, backup, watch)
    assert wiring.load_backup(empty_url, backup, ["activityctl", "absent"], watch) == ["absent"]
    assert any("pg_dump" in line for line in seen)
    assert any("psql" in line for line in seen)
    assert not [line for line in seen if password in line]

    assert messages(empty_url) == messages(database_url)
    with psycopg.connect(empty_url) as connection:
        # Whoever reads a log leaves out the lines of transactions that have not ended.
        (future,) = connection.execute(
            "SELECT count(*) FROM log_entries "
            "WHERE transaction >= (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint"
        ).fetchall()
        assert future == (0,)
        # And begins at 0.
        (first,) = connection.execute("SELECT min(transaction) FROM log_entries").fetchall()
        assert first == (0,)
        callable_by_all = connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
            "AND (proacl IS NULL OR proacl::text ~ '[{,]=X')"
        ).fetchall()
        assert callable_by_all == []
    with psycopg.connect(url_as(empty_url, "read")) as reader:  # the roles have their rights
        assert reader.execute("SELECT count(*) FROM log_entries").fetchone() == (200,)
    with psycopg.connect(servers["superuser_url"]) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE '%verify%'")
        assert left.fetchall() == []


def test_a_failed_or_stopped_restore_changes_nothing(
    database_url: str, empty_url: str, tmp_path: Path
):
    fill(database_url, "old ")
    backup = take(database_url, tmp_path / "a")
    wiring.load_backup(empty_url, backup, [], quiet)
    fill(empty_url, "new ")
    before = messages(empty_url)
    assert look_at_target(empty_url, backup).has_data

    def stop(text: str) -> None:
        if text.startswith("checking"):  # all is loaded, and not committed
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wiring.load_backup(empty_url, backup, [], stop)
    assert messages(empty_url) == before
    content = bytearray(backup.path.read_bytes())
    content[backup.manifest.dump_bytes // 2] ^= 1
    (tmp_path / "damaged").write_bytes(content)
    with pytest.raises((InvalidInputError, RefusedError)):
        wiring.load_backup(empty_url, BackupFile(tmp_path / "damaged"), [], quiet)
    assert messages(empty_url) == before
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("CREATE VIEW mine AS SELECT message FROM log_entries")
        with pytest.raises(RefusedError, match="depend"):
            wiring.load_backup(empty_url, backup, [], quiet)
        assert messages(empty_url) == before
        connection.execute("DROP VIEW mine; CREATE TABLE of_others AS SELECT 7 AS n")
    assert not {"psql", "pg_restore", "pg_dump"} & child_names()
    wiring.load_backup(empty_url, backup, [], quiet)
    assert messages(empty_url) == messages(database_url)
    again = take(empty_url, tmp_path / "b")  # the tables of others are neither saved nor touched
    assert "of_others" not in again.manifest.tables
    wiring.load_backup(empty_url, again, [], quiet)
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT n FROM of_others").fetchone() == (7,)


def test_older_schemas_are_migrated_newer_ones_and_poor_logins_refused(
    database_url: str, empty_url: str, tmp_path: Path
):
    with migration._connection(empty_url) as connection:
        config = migration.alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0026")
        connection.commit()
    backup = take(empty_url, tmp_path / "old")
    assert backup.manifest.schema_revision == "0026"
    wiring.load_backup(database_url, backup, [], quiet)
    assert look_at_target(database_url, backup).revision == NEWEST
    wiring.load_backup(empty_url, backup, [], quiet)

    with pytest.raises(NotAllowedError):
        take(url_as(database_url, "read"), tmp_path / "poor")
    assert not (tmp_path / "poor").exists()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(SchemaMismatchError, match="newer"):
            take(database_url, tmp_path / "newer")
        with pytest.raises(SchemaMismatchError, match="newer"):
            look_at_target(database_url, backup)
        (tmp_path / "future").write_bytes(
            backup.path.read_bytes().replace(
                b'"schema_revision": "0026"', b'"schema_revision": "9026"'
            )
        )
        with pytest.raises(SchemaMismatchError, match="9026"):
            look_at_target(empty_url, BackupFile(tmp_path / "future"))


async def test_a_restore_and_a_worker_that_starts_do_not_wait_for_each_other(
    settings: Settings, ports: wiring.Ports, tmp_path: Path
):
    """The worker holds the lock of the drift detector while it reads other tables."""
    url = settings.required_database_url()
    backup = take(url, tmp_path / "a")
    async with ports.register.drift_lock() as is_held, asyncio.timeout(50):
        assert is_held
        restoring = asyncio.create_task(
            asyncio.to_thread(wiring.load_backup, url, backup, [], quiet)
        )
        with psycopg.connect(url, autocommit=True) as connection:
            while not connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():
                await asyncio.sleep(0.02)
        await ports.register.stored(["any"])
    await restoring


async def test_a_restore_has_a_worker_end_that_had_just_passed_the_fence(
    settings: Settings, ports: wiring.Ports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    url, path, load = settings.required_database_url(), tmp_path / "a", wiring.load_backup
    take(url, path)
    beat = WorkerBeat("w", "host", 1, "1", await ports.workers.server_time())
    loop, loads = asyncio.get_running_loop(), itertools.count(1)

    async def end_and_settle() -> None:
        """Do what a worker does when it is told to end, and the next one at its start."""
        while await ports.workers.beat(beat):
            await asyncio.sleep(0.1)
        await ports.workers.leave("w")
        while (latest := await ports.restores.latest()) is None:
            await asyncio.sleep(0.1)
        await ports.restores.settle(latest.restored_at, [])

    def load_beside_a_worker(*arguments: Any) -> list[str]:
        if next(loads) == 1:
            asyncio.run_coroutine_threadsafe(ports.workers.beat(beat), loop).result()
        try:
            return load(*arguments)
        except WorkerStartedError:
            working.append(asyncio.run_coroutine_threadsafe(end_and_settle(), loop))
            raise

    working: list[Future[None]] = []
    monkeypatch.setattr(wiring, "load_backup", load_beside_a_worker)
    monkeypatch.setenv("ACTIVITYCTL_DATABASE_URL", url)
    command = ["restore", str(path), "--replace", "--yes", "--stop-workers"]
    done = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert (done.exit_code, next(loads)) == (0, 3), done.output
    await asyncio.gather(*map(asyncio.wrap_future, working))
    beat = replace(beat, started_at=await ports.workers.server_time())
    loads = itertools.count(1)
    refused = await asyncio.to_thread(CliRunner().invoke, app, command[:-1])
    assert isinstance(refused.exception, WorkerStartedError)


async def test_workers_are_fenced_off_and_temporal_is_settled_once(
    settings: Settings, ports: wiring.Ports, tmp_path: Path
):
    url = settings.required_database_url()
    backup = take(url, tmp_path / "a")
    started = await ports.workers.server_time()
    beat = WorkerBeat("w", "host", 1, "1", started)
    assert await ports.workers.beat(beat)
    with pytest.raises(WorkerStartedError):
        wiring.load_backup(url, backup, [], quiet)
    await ports.restores.fence(timedelta(minutes=1))
    assert not await ports.workers.beat(beat)
    assert await ports.restores.is_fenced()
    await ports.workers.leave("w")
    wiring.load_backup(url, backup, [], quiet)
    assert not await ports.restores.is_fenced()
    assert not await ports.workers.beat(beat)  # it began before the restore
    fresh = WorkerBeat("x", "host", 2, "1", await ports.workers.server_time())
    assert await ports.workers.beat(fresh)

    latest = await ports.restores.latest()
    assert latest is not None
    await ports.restores.settle(latest.restored_at - timedelta(seconds=1), ["of the one before"])
    assert await ports.restores.latest() == latest, "only what was looked at is settled"

    starter, schedules = MemoryRunStarter(), MemoryScheduleClient()
    unknown = FiringRequest(ids.subscription_id("gone"), "manual", "k", NOW).ref
    await starter.start(unknown)
    times = iter([NOW, datetime.now(UTC) + timedelta(hours=1)])

    async def wait(_: float) -> None:
        await starter.start(unknown)  # a late line of Temporal's listing

    settling = RestoreSettling(
        ports.restores, starter, ports.register, schedules, lambda: next(times), wait
    )
    settled = await settling.settle()
    assert settled is not None
    assert (settled.unknown, settled.carried) == ([unknown.workflow_id], [])
    assert starter.terminated == [unknown.workflow_id] * 2
    assert await settling.settle() is None
    latest = await ports.restores.latest()
    assert latest is not None
    assert (list(latest.ended), latest.ended_count) == ([unknown.workflow_id], 1)
    assert latest.taken_at == backup.manifest.taken_at
