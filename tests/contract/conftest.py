"""One suite for each port; every test runs against memory and against Postgres."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from activityctl import wiring
from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.adapters.postgres.database import Database
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
from support.emptying import Emptier
from support.logins import EVERY_ROLE, url_as

_FOLDER = Path(__file__).parent
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CONNECTIONS = 6
_SPEC = {
    "triggers": [{"name": "daily", "cron": {"schedule": "0 8 * * *"}}],
    "tasks": [{"name": "note", "command": {"argv": ["true"]}}],
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder on one event loop, so that connections live on."""
    for item in items:
        if item.path.is_relative_to(_FOLDER) and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session", autouse=True)
async def begun_loop() -> None:
    """Begin the loop before a test counts the open files."""


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
def emptier(contract_database_url: str) -> Iterator[Emptier]:
    """Return what empties the suite's database."""
    with closing(Emptier(contract_database_url)) as emptier:
        yield emptier


@pytest.fixture
def empty_database_url(contract_database_url: str, emptier: Emptier) -> str:
    """Empty the suite's database."""
    emptier.empty()
    return contract_database_url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def connected(contract_database_url: str) -> AsyncIterator[Database]:
    """Keep the connections for the session: to open them takes longer than most of its tests.

    They are not the owner's: what the stores do must be among the rights of the roles. All are
    opened now, since some tests count open files.
    """
    url = url_as(contract_database_url, EVERY_ROLE)
    database = await Database.connect(url, pool_size=CONNECTIONS)
    async with AsyncExitStack() as stack:
        for _ in range(CONNECTIONS):
            await stack.enter_async_context(database.connection())
    yield database
    await database.close()


@pytest.fixture(params=["memory", "postgres"])
def ports(request: pytest.FixtureRequest) -> wiring.Ports | MemoryPorts:
    """Return all ports, without data: first in memory, then in Postgres."""
    if request.param == "memory":
        return memory_ports()
    request.getfixturevalue("empty_database_url")
    return wiring.Ports(request.getfixturevalue("connected"))


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


@pytest_asyncio.fixture(loop_scope="session")
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
