"""Fixtures of the Timetable suite: ports with one subscription and a clock that tests set."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from temporalio.testing import ActivityEnvironment

from activityctl import wiring
from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.adapters.memory.state import MemoryState
from activityctl.adapters.postgres.database import Database
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Plan, Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.firing import FiringCause, FiringRef, Ringing, firing_key
from activityctl.domain.timing.trigger import trigger_of
from activityctl.domain.values import ids
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter
from activityctl.domain.values.selection import Selection
from activityctl.ports import ListedSchedule
from activityctl.steps.ring import RingStep
from support.emptying import Emptier

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TRIGGER = "often"
# Postgres finds this function before its own one, since pg_catalog is last in the path.
_CLOCK = """
    CREATE SCHEMA clock;
    CREATE TABLE clock.face AS
        SELECT '2026-03-02T12:00:00Z'::timestamptz AS shows, '0'::interval AS step;
    CREATE SEQUENCE clock.readings;
    CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT shows + step * nextval(''clock.readings'') FROM clock.face';
    ALTER DATABASE {} SET search_path = clock, public, pg_catalog"""


class MemoryClock:
    """The clock of the memory ports."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def set(self, moment: datetime) -> None:
        self._state.catalog.clock = lambda: moment


class PostgresClock:
    """The clock of a database that has its own clock_timestamp function."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    @asynccontextmanager
    async def ticking(self, step: timedelta) -> AsyncIterator[None]:
        """Make the clock advance by `step` each time it is read."""
        statement = "UPDATE clock.face SET step = %s"
        await self._connection.execute("ALTER SEQUENCE clock.readings RESTART")
        await self._connection.execute(statement, (step,))
        yield
        await self._connection.execute(statement, (timedelta(0),))

    async def set(self, moment: datetime) -> None:
        await self._connection.execute("UPDATE clock.face SET shows = %s", (moment,))


@dataclass
class Ledger:
    """The ports with one subscription of one definition, and their clock."""

    ports: wiring.Ports | MemoryPorts
    clock: MemoryClock | PostgresClock
    now: datetime = NOON
    started: list[FiringRef] = field(default_factory=list)
    """The firings that started, in order: at once or by the dispatcher."""

    @property
    def owner(self) -> ids.SubscriptionId:
        return ids.subscription_id("mine")

    async def at(self, moment: datetime) -> None:
        self.now = moment
        await self.clock.set(moment)

    async def apply(
        self,
        kind: str = "interval",
        body: dict[str, Any] | None = None,
        *,
        params: dict[str, Any] | None = None,
        spec: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Plan:
        """Apply the subscription `mine` and its definition with that trigger."""
        triggers = [] if body is None else [{"name": TRIGGER, kind: body}]
        whole = {
            "triggers": triggers,
            "tasks": [{"name": "note", "command": {"argv": ["true"]}}],
            **(spec or {}),
        }
        definition = ActivityDefinition.model_validate_json(
            ids.canonical_json({"metadata": {"name": "digest"}, "spec": whole})
        )
        subscribed = {"activity": "digest", "params": params or {}, **fields}
        manifest = SubscriptionManifest.model_validate_json(
            ids.canonical_json({"metadata": {"name": "mine"}, "spec": subscribed})
        )
        return await self.write(ManifestSet({"digest": definition}, {"mine": manifest}, {}))

    async def write(self, manifests: ManifestSet) -> Plan:
        catalog = self.ports.catalog
        wanted = Wanted(
            manifests.definitions, manifests.subscriptions, calendars=manifests.calendars
        )
        async with catalog.changing():
            plan = plan_changes(wanted, await catalog.present())
            await catalog.write(plan, self.now)
        return plan

    async def pause(self) -> None:
        await self._set(SubscriptionStatus.PAUSED)

    async def resume(self, *, catch_up: bool = False) -> None:
        await self._set(SubscriptionStatus.ACTIVE, catch_up=catch_up)

    async def _set(self, status: Any, **options: Any) -> None:
        catalog = self.ports.catalog
        assert await catalog.set_subscription_status(self.owner, status, self.now, **options)

    def alarm(self, nominal: datetime) -> FiringRef:
        """Return the firing with which a schedule of one trigger started a workflow once."""
        key = firing_key(nominal)
        scheduled = ids.scheduled_workflow_id(self.owner, TRIGGER)
        return FiringRef(self.owner, TRIGGER, key, nominal.isoformat(), f"{scheduled}-{key}")

    async def process_alarm(self, nominal: datetime) -> bool:
        """Let the workflow of the alarm ask; return whether it executes the run."""
        return await self._ring(nominal, FiringCause.ALARM)

    async def process_wake_up(self, nominal: datetime) -> bool:
        """Let the overdue scanner's workflow ask; return whether it executes the run."""
        return await self._ring(nominal, FiringCause.WAKE_UP)

    async def _ring(self, nominal: datetime, cause: FiringCause) -> bool:
        started: list[FiringRef] = []
        for row in await self.ports.register.schedules(Selection(subscription_id=self.owner)):
            ringing = Ringing(row.wanted.alarm_id, nominal.isoformat(), cause)
            step = RingStep(self.ports.timetable, self.ports.runs)
            rung = await ActivityEnvironment().run(step.ring, ringing)
            while not rung.is_complete:
                rung = await ActivityEnvironment().run(step.ring, ringing)
            started += [
                firing for firing in rung.firings if await self.ports.timetable.process_due(firing)
            ]
        self.started += started
        return bool(started)

    async def process_old_alarm(self, nominal: datetime) -> bool:
        """Let the workflow of a schedule ask as it did before alarms were shared."""
        firing = self.alarm(nominal)
        starts = await self.ports.timetable.process_due(firing)
        if starts:
            self.started.append(firing)
        return starts

    async def dispatch(self) -> list[datetime]:
        """Start the firings that are due in the outbox; return their nominal times."""
        found: list[FiringRef] = []
        while True:
            async with self.ports.outbox.claimed(1_000) as claim:
                await claim.dispatched(claim.firings, self.now)
            if not claim.firings:
                break
            found += claim.firings
        self.started += found
        return [firing.due for firing in found]

    async def rows(self) -> list[Run]:
        """Return the runs in the database, by nominal time; mostly runs that did not start."""
        runs = await self.ports.run_lists.runs(Selection(limit=100_000))
        return sorted(runs, key=lambda run: run.due_at)

    async def reasons(self) -> list[str]:
        """Return the rows as `HH:MM:SS status: reason`."""
        return [f"{run.due_at:%H:%M:%S} {run.status}: {run.reason}" for run in await self.rows()]

    async def log(self) -> list[LogEntry]:
        page, _ = await self.ports.logbook.page(LogFilter((self.owner,)), Cursor(), limit=1_000)
        return page

    async def schedule(self) -> ListedSchedule:
        (row,) = await self.ports.register.schedules(Selection(subscription_id=self.owner))
        return row

    async def next_at(self) -> datetime | None:
        """Return the next nominal time that is not decided, read from the overdue schedules."""
        later = self.now + timedelta(days=4_000)
        await self.clock.set(later)
        overdue = await self.ports.timetable.overdue(10)
        await self.clock.set(self.now)
        return overdue[0].next_at if overdue else None

    async def outcomes(self) -> dict[datetime, str]:
        """Return the outcome of each nominal time: `fires`, or the status of its row."""
        await self.check_nothing_twice()
        outcomes = {run.due_at: str(run.status) for run in await self.rows()}
        return outcomes | {firing.due: "fires" for firing in self.started}

    async def check_nothing_twice(self) -> None:
        """Assert that no nominal time started twice, or started and has a row."""
        started = [firing.due for firing in self.started]
        assert len(set(started)) == len(started)
        assert set(started).isdisjoint(run.due_at for run in await self.rows())

    def due(self, kind: str, body: dict[str, Any], after: datetime) -> list[datetime]:
        """Return the nominal times after that moment and up to now."""
        times = nominal_times(trigger_of(kind, body), after)
        return list(takewhile(lambda time: time <= self.now, times))


@pytest.fixture(scope="session")
def clocked_database_url(servers: dict[str, str]) -> str:
    """Return the URL of a database whose clock is a row of a table."""
    server = servers["database_url"].rsplit("/", 1)[0]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE clocked TEMPLATE activityctl")
    with psycopg.connect(f"{server}/clocked", autocommit=True) as connection:
        connection.execute(sql.SQL(_CLOCK).format(sql.Identifier("clocked")))
    return f"{server}/clocked"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def clocked_database(clocked_database_url: str) -> AsyncIterator[Database]:
    """Keep the connections for the session, as those of the other contracts."""
    database = await Database.connect(clocked_database_url, pool_size=6)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def clocked_emptier(clocked_database_url: str) -> Iterator[Emptier]:
    """Return what empties the database of the suite."""
    with closing(Emptier(clocked_database_url)) as emptier:
        yield emptier


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def clock_connection(
    clocked_database_url: str,
) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Yield the connection that sets the clock."""
    async with await psycopg.AsyncConnection.connect(
        clocked_database_url, autocommit=True
    ) as connection:
        yield connection


@pytest.fixture(params=["memory", "postgres"])
def empty_ledger(request: pytest.FixtureRequest) -> Ledger:
    """Return a ledger without data, whose clock is not set: in memory, then in Postgres."""
    if request.param == "memory":
        state = MemoryState()
        return Ledger(memory_ports(state), MemoryClock(state))
    request.getfixturevalue("clocked_emptier").empty()
    opened = wiring.Ports(request.getfixturevalue("clocked_database"))
    return Ledger(opened, PostgresClock(request.getfixturevalue("clock_connection")))


@pytest_asyncio.fixture(loop_scope="session")
async def ledger(empty_ledger: Ledger) -> Ledger:
    """Return an empty ledger at noon."""
    await empty_ledger.at(NOON)
    return empty_ledger
