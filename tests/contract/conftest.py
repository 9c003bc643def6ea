"""One suite for each port; every test runs against memory and against Postgres."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from activityctl import wiring
from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN
from activityctl.domain.gitops.plan import Plan, Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.runs.run import ENDED_RUNS, Run, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.operations.gitops.history import delete
from activityctl.settings import Secret, Settings
from support.logins import EVERY_ROLE, url_as

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
_SPEC = {
    "triggers": [{"name": "daily", "cron": {"schedule": "0 8 * * *"}}],
    "tasks": [{"name": "note", "command": {"argv": ["true"]}}],
}
_EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'gate_locks')
    LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
END $$"""


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def contract_database_url(servers: dict[str, str]) -> str:
    """Create one database for the whole suite; to empty it is ten times faster than a new one."""
    server = servers["database_url"].rsplit("/", 1)[0]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE contract TEMPLATE activityctl")
    with psycopg.connect(f"{server}/contract", autocommit=True) as connection:
        # Tests make events older; no role may.
        connection.execute(f"GRANT UPDATE (arrived_at) ON events TO login_{EVERY_ROLE}".encode())
    return f"{server}/contract"


@pytest.fixture(scope="session")
def emptier(contract_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Open one connection for the session; opening takes longer than emptying the database."""
    with psycopg.connect(contract_database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # no foreign key checks
        yield connection


@pytest.fixture
def empty_database_url(contract_database_url: str, emptier: psycopg.Connection[Any]) -> str:
    """Empty the suite's database; its sequences and transaction ids are not reset."""
    emptier.execute(_EMPTY)
    return contract_database_url


@pytest.fixture(params=["memory", "postgres"])
async def ports(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[wiring.Ports | MemoryPorts]:
    """Return all ports, without data: first in memory, then in Postgres."""
    if request.param == "memory":
        yield memory_ports()
        return
    # Not the owner: what the stores do must be among the rights of the roles.
    database_url = url_as(request.getfixturevalue("empty_database_url"), EVERY_ROLE)
    settings = Settings(home=tmp_path, database_url=Secret(database_url))
    async with wiring.open_ports(settings, pool_size=6) as opened:
        yield opened


@pytest.fixture
def define() -> Callable[..., ActivityDefinition]:
    """Make a definition with a trigger `daily` and a task `note`; `spec` replaces its fields."""

    def make(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> ActivityDefinition:
        metadata = {"name": name, "labels": labels or {}}
        return ActivityDefinition.model_validate_json(
            ids.canonical_json({"metadata": metadata, "spec": {**_SPEC, **spec}})
        )

    return make


@pytest.fixture
def subscribe() -> Callable[..., SubscriptionManifest]:
    """Make the manifest of a subscription; `spec` adds fields."""

    def make(
        name: str, activity: str = "digest", *, labels: dict[str, str] | None = None, **spec: Any
    ) -> SubscriptionManifest:
        metadata = {"name": name, "labels": labels or {}}
        return SubscriptionManifest.model_validate_json(
            ids.canonical_json({"metadata": metadata, "spec": {"activity": activity, **spec}})
        )

    return make


@pytest.fixture
def apply(ports: wiring.Ports) -> Callable[..., Awaitable[Plan]]:
    """Apply manifests as the command does; return the plan."""

    async def carry_out(
        *manifests: ActivityDefinition | SubscriptionManifest, at: datetime = NOW
    ) -> Plan:
        wanted = Wanted(
            {
                manifest.metadata.name: manifest
                for manifest in manifests
                if isinstance(manifest, ActivityDefinition)
            },
            {
                manifest.metadata.name: manifest
                for manifest in manifests
                if isinstance(manifest, SubscriptionManifest)
            },
        )
        async with ports.catalog.changing():
            plan = plan_changes(wanted, await ports.catalog.present())
            await ports.catalog.write(plan, at)
        return plan

    return carry_out


@pytest.fixture
def remove(ports: wiring.Ports) -> Callable[..., Awaitable[Plan]]:
    """Delete a subscription as the command does; return the plan."""

    async def carry_out(name: str, at: datetime = NOW) -> Plan:
        return await delete(ports.catalog, "Subscription", name, lambda: at, UNKNOWN_ORIGIN)

    return carry_out


@pytest.fixture
async def mine(
    ports: wiring.Ports,
    apply: Callable[..., Awaitable[Plan]],
    define: Callable[..., ActivityDefinition],
    subscribe: Callable[..., SubscriptionManifest],
) -> Subscription:
    """Apply the definition `digest` and the subscription `mine`; return the subscription."""
    await apply(define("digest"), subscribe("mine"))
    return await ports.catalog.find_subscription("mine")


@pytest.fixture
def make_run(ports: wiring.Ports, mine: Subscription) -> Callable[..., Awaitable[Run]]:
    """Open a run with the tasks `note[0..n-1]`; `fields` are set on the run."""

    async def make(
        key: str,
        *,
        tasks: int = 1,
        kind: str = "command",
        at: datetime = NOW,
        status: RunStatus = RunStatus.RUNNING,
        **fields: Any,
    ) -> Run:
        facts = await ports.runs.admission_input(FiringRequest(mine.id, "manual", key, at).ref)
        assert facts is not None
        has_ended = status in ENDED_RUNS
        run = Run(
            id=ids.run_id(mine.id, "manual", key),
            subscription_id=mine.id,
            subscription=mine.name,
            definition=mine.definition,
            revision_id=facts.revision.id,
            trigger="manual",
            firing_key=key,
            due_at=at,
            status=status,
            created_at=at,
            started_at=at,
            ended_at=at if has_ended else None,
            **fields,
        )
        created = tuple(
            TaskInstance(
                id=ids.task_id(run.id, "note", index),
                run_id=run.id,
                name="note",
                index=index,
                phase="main",
                kind=kind,
                status=TaskStatus.PENDING,
                created_at=at,
            )
            for index in range(tasks)
        )
        assert await ports.runs.open(f"run/{mine.id}/manual/{key}", RunChange(run, create=created))
        return run

    return make
