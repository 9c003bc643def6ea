"""The schema: the migrated equals the declared one, and unstorable text is replaced."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.pool import NullPool

from activityctl import wiring
from activityctl.adapters.postgres.schema.migrate import migrate, migration_script
from activityctl.adapters.postgres.schema.tables import metadata
from activityctl.adapters.postgres.schema.version import has_package_schema
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.log import LogEntry
from activityctl.errors import SchemaMismatchError, UnreachableError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HARD = "a\0b\ud800c"
STORED = "a\ufffdb\ufffdc"
_NUMBERS = itertools.count()

_COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity,
        identity_generation
    FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"""
_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"""
_INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname"


@pytest.fixture
def bare_urls(servers: dict[str, str]) -> Iterator[list[str]]:
    """Return the URLs of two databases without tables."""
    server = servers["database_url"].rsplit("/", 1)[0]
    names = [f"bare_{os.getpid()}_{next(_NUMBERS)}" for _ in range(2)]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        for name in names:
            create = sql.SQL("CREATE DATABASE {} TEMPLATE template0")
            connection.execute(create.format(sql.Identifier(name)))
        yield [f"{server}/{name}" for name in names]
        for name in names:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


def engine_of(url: str) -> Engine:
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)


def schema_of(url: str) -> list[tuple[object, ...]]:
    """Return every column, constraint and index, without those of Alembic's own table."""
    with psycopg.connect(url) as connection:
        rows = [
            row
            for query in (_COLUMNS, _CONSTRAINTS, _INDEXES)
            for row in connection.execute(query.encode()).fetchall()
        ]
    return [row for row in rows if "alembic_version" not in str(row)]


def versions_of(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchall()


# ---- migrations ----------------------------------------------------------------------


def test_the_migrated_schema_needs_no_further_change(bare_urls: list[str]):
    wiring.migrate(bare_urls[0])
    with engine_of(bare_urls[0]).connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_the_migrated_schema_equals_the_declared_schema(bare_urls: list[str]):
    migrated, declared = bare_urls
    wiring.migrate(migrated)
    metadata.create_all(engine_of(declared))
    assert len(schema_of(declared)) > 100
    assert schema_of(migrated) == schema_of(declared)


def test_a_second_migration_changes_nothing(bare_urls: list[str]):
    url = bare_urls[0]
    assert not has_package_schema(url)
    wiring.migrate(url)
    assert has_package_schema(url)
    before = schema_of(url), versions_of(url)
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO revisions (id, definition, number, created_at) VALUES ('r', 'd', 1, now())"
        )
    wiring.migrate(url)
    migrate(url)  # also past the check that the schema is the newest
    assert (schema_of(url), versions_of(url)) == before
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT id FROM revisions").fetchall() == [("r",)]


def test_two_processes_can_migrate_an_empty_database_at_once(bare_urls: list[str]):
    program = "import sys; from activityctl import wiring; wiring.migrate(sys.argv[1])"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, bare_urls[0]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert len(versions_of(bare_urls[0])) == 1


@pytest.mark.parametrize("prefix", [None, "activityctl"])
def test_an_older_version_says_that_the_database_is_of_a_newer_one(
    database_url: str, prefix: str | None
):
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = schema_of(database_url)

    for ask in (migrate, migration_script):
        with pytest.raises(SchemaMismatchError, match="has schema 9999, which is newer") as refused:
            ask(database_url, roles_prefix=prefix)
        assert refused.value.hint == "install the version of activityctl that migrated it"
    assert schema_of(database_url) == before


def test_migrating_without_a_server_is_an_error():
    with pytest.raises(UnreachableError):
        wiring.migrate("postgresql://postgres@127.0.0.1:1/activityctl")


# ---- what Postgres cannot store ------------------------------------------------------


async def subscribed(ports: wiring.Ports) -> Subscription:
    """Apply a definition with one task, and a subscription to it."""
    definition = ActivityDefinition.model_validate_json(
        """{"metadata": {"name": "digest"},
            "spec": {"tasks": [{"name": "note", "command": {"argv": ["true"]}}]}}"""
    )
    manifest = SubscriptionManifest.model_validate_json(
        '{"metadata": {"name": "mine"}, "spec": {"activity": "digest"}}'
    )
    wanted = Wanted({"digest": definition}, {"mine": manifest})
    async with ports.catalog.changing():
        await ports.catalog.write(plan_changes(wanted, await ports.catalog.present()), NOW)
    return await ports.catalog.find_subscription("mine")


async def opened(ports: wiring.Ports, mine: Subscription) -> tuple[Run, TaskInstance]:
    """Open a run with one task."""
    firing = FiringRequest(mine.id, "manual", "k", NOW).ref
    facts = await ports.runs.admission_input(firing)
    assert facts is not None
    run = replace(new_run(firing, facts, NOW), status=RunStatus.RUNNING)
    key = ids.task_id(run.id, "note", 0)
    task = TaskInstance(key, run.id, "note", 0, "main", "command", TaskStatus.PENDING, NOW)
    assert await ports.runs.open(firing.workflow_id, RunChange(run, create=(task,)))
    return run, task


async def test_nul_and_lone_surrogates_in_outputs_errors_and_messages_are_replaced(
    ports: wiring.Ports, database_url: str
):
    mine = await subscribed(ports)
    run, task = await opened(ports, mine)
    entry = LogEntry(mine.id, run.id, HARD, "info", NOW, {HARD: [HARD]})
    await ports.runs.fail_attempt(task.id, HARD, entry)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT error FROM tasks").fetchall() == [(STORED,)]
        rows = connection.execute("SELECT message, metadata FROM log_entries").fetchall()
        assert rows == [(STORED, {STORED: [STORED]})]
    ended = replace(
        task, status=TaskStatus.FAILED, output={"deep": [{HARD: HARD}]}, error=HARD, ended_at=NOW
    )
    async with ports.runs.locked(run.id) as locked:
        await locked.save(RunChange(run, update=(ended,), entries=(entry,)))
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT output, error FROM tasks").fetchall()
        assert rows == [({"deep": [{STORED: STORED}]}, STORED)]


async def test_text_that_looks_like_an_escape_is_kept(ports: wiring.Ports, database_url: str):
    texts = {"path": "C:\\u0000\\ud800", "face": "\U0001f600", "line": "\u2028"}
    await ports.logbook.append([LogEntry("s", None, texts["path"], "info", NOW, texts)])
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT message, metadata FROM log_entries").fetchall()
        assert rows == [(texts["path"], texts)]


# ---- a connection that breaks --------------------------------------------------------


async def test_a_listener_gets_an_error_when_its_connection_breaks(
    ports: wiring.Ports, database_url: str
):
    async with ports.signals.listening("some_channel") as payloads:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        with pytest.raises(UnreachableError):
            await anext(payloads)
