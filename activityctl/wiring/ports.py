"""Opens the ports that Postgres implements."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from activityctl.ports import (
    AuditTrail,
    Backfills,
    Catalog,
    ChainStore,
    DeadLetters,
    EventArchive,
    EventStore,
    Facts,
    Gates,
    Guards,
    HookLedger,
    Lanes,
    Lateness,
    Logbook,
    MetricsSource,
    Notices,
    Outbox,
    Purge,
    RelayLedger,
    Replays,
    Restores,
    RetentionStore,
    RunLists,
    RunStore,
    ScheduleRegister,
    Signals,
    SigningLedger,
    SourceLedger,
    SpendLedger,
    Storage,
    StuckRuns,
    Timetable,
    Tokens,
    UnfinishedWork,
    Waits,
    Workers,
)
from activityctl.settings import Settings
from activityctl.wiring.servers import database_url

if TYPE_CHECKING:
    from activityctl.adapters.postgres.database import Database


class Ports:
    """The ports that Postgres implements. Each adapter is imported when it is first used."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    @cached_property
    def catalog(self) -> Catalog:
        """Definitions, subscriptions, calendars, event sources and their history."""
        from activityctl.adapters.postgres.catalog.catalog import PostgresCatalog

        return PostgresCatalog(self._database)

    @cached_property
    def register(self) -> ScheduleRegister:
        """The schedules that Temporal should have."""
        from activityctl.adapters.postgres.schedules.schedules import PostgresScheduleRegister

        return PostgresScheduleRegister(self._database)

    @cached_property
    def outbox(self) -> Outbox:
        """Firings whose runs are not started yet."""
        from activityctl.adapters.postgres.schedules.outbox import PostgresOutbox

        return PostgresOutbox(self._database)

    @cached_property
    def runs(self) -> RunStore:
        """Runs and tasks, for the steps that change them."""
        from activityctl.adapters.postgres.runs.runs import PostgresRunStore

        return PostgresRunStore(self._database)

    @cached_property
    def guards(self) -> Guards:
        """Breakers and limits."""
        from activityctl.adapters.postgres.runs.guards import PostgresGuards

        return PostgresGuards(self._database)

    @cached_property
    def hooks(self) -> HookLedger:
        """Triggers of executors."""
        from activityctl.adapters.postgres.runs.hooks import PostgresHookLedger

        return PostgresHookLedger(self._database)

    @cached_property
    def spends(self) -> SpendLedger:
        """What executions have spent."""
        from activityctl.adapters.postgres.runs.spends import PostgresSpendLedger

        return PostgresSpendLedger(self._database)

    @cached_property
    def relays(self) -> RelayLedger:
        """Relayed transactions and the nonces of relayers."""
        from activityctl.adapters.postgres.runs.relays import PostgresRelayLedger

        return PostgresRelayLedger(self._database)

    @cached_property
    def signing(self) -> SigningLedger:
        """What the signer knows and keeps."""
        from activityctl.adapters.postgres.runs.signing import PostgresSigningLedger

        return PostgresSigningLedger(self._database)

    @cached_property
    def letters(self) -> DeadLetters:
        """What people do with dead letters."""
        from activityctl.adapters.postgres.runs.letters import PostgresDeadLetters

        return PostgresDeadLetters(self._database)

    @cached_property
    def replays(self) -> Replays:
        """Wishes to replay runs."""
        from activityctl.adapters.postgres.runs.replays import PostgresReplays

        return PostgresReplays(self._database)

    @cached_property
    def lanes(self) -> Lanes:
        """The instances of a large forEach that workers take by themselves."""
        from activityctl.adapters.postgres.runs.lanes import PostgresLanes

        return PostgresLanes(self._database)

    @cached_property
    def lateness(self) -> Lateness:
        """Runs that are late."""
        from activityctl.adapters.postgres.runs.lateness import PostgresLateness

        return PostgresLateness(self._database)

    @cached_property
    def notices(self) -> Notices:
        """What is to be told of subscriptions."""
        from activityctl.adapters.postgres.notices import PostgresNotices

        return PostgresNotices(self._database)

    @cached_property
    def stuck_runs(self) -> StuckRuns:
        """Runs whose workflow cannot go on."""
        from activityctl.adapters.postgres.runs.stuck import PostgresStuckRuns

        return PostgresStuckRuns(self._database)

    @cached_property
    def unfinished(self) -> UnfinishedWork:
        """What is under way, to compare it with Temporal."""
        from activityctl.adapters.postgres.runs.unfinished import PostgresUnfinishedWork

        return PostgresUnfinishedWork(self._database)

    @cached_property
    def waits(self) -> Waits:
        """Tasks that wait, and their answers."""
        from activityctl.adapters.postgres.runs.waits import PostgresWaits

        return PostgresWaits(self._database)

    @cached_property
    def run_lists(self) -> RunLists:
        """Lists of runs, tasks and dead letters."""
        from activityctl.adapters.postgres.runs.lists import PostgresRunLists

        return PostgresRunLists(self._database)

    @cached_property
    def facts(self) -> Facts:
        """The facts of a subscription for people."""
        from activityctl.adapters.postgres.runs.facts import PostgresFacts

        return PostgresFacts(self._database)

    @cached_property
    def logbook(self) -> Logbook:
        """The log of every subscription."""
        from activityctl.adapters.postgres.logbook import PostgresLogbook

        return PostgresLogbook(self._database)

    @cached_property
    def signals(self) -> Signals:
        """Notifications between processes."""
        from activityctl.adapters.postgres.signals import PostgresSignals

        return PostgresSignals(self._database)

    @cached_property
    def workers(self) -> Workers:
        """Which workers are alive."""
        from activityctl.adapters.postgres.signals import PostgresWorkers

        return PostgresWorkers(self._database)

    @cached_property
    def backfills(self) -> Backfills:
        """Backfills: requests to run due times of the past."""
        from activityctl.adapters.postgres.schedules.backfills import PostgresBackfills

        return PostgresBackfills(self._database)

    @cached_property
    def timetable(self) -> Timetable:
        """The due times of schedules, and what became of them."""
        from activityctl.adapters.postgres.schedules.timetable import PostgresTimetable

        return PostgresTimetable(self._database)

    @cached_property
    def metrics(self) -> MetricsSource:
        """Counts for metrics and `status`."""
        from activityctl.adapters.postgres.metrics import PostgresMetricsSource

        return PostgresMetricsSource(self._database)

    @cached_property
    def gates(self) -> Gates:
        """Concurrency limits, throttles and queues."""
        from activityctl.adapters.postgres.runs.gates import PostgresGates

        return PostgresGates(self._database)

    @cached_property
    def sources(self) -> SourceLedger:
        """Event sources while requests come."""
        from activityctl.adapters.postgres.catalog.sources import PostgresSourceLedger

        return PostgresSourceLedger(self._database)

    @cached_property
    def events(self) -> EventStore:
        """Stored events, and the triggers that they match."""
        from activityctl.adapters.postgres.events.events import PostgresEventStore

        return PostgresEventStore(self._database)

    @cached_property
    def chains(self) -> ChainStore:
        """How far EVM chains are read."""
        from activityctl.adapters.postgres.events.chains import PostgresChainStore

        return PostgresChainStore(self._database)

    @cached_property
    def archive(self) -> EventArchive:
        """Queries over stored events."""
        from activityctl.adapters.postgres.events.archive import PostgresEventArchive

        return PostgresEventArchive(self._database)

    @cached_property
    def tokens(self) -> Tokens:
        """The tokens of the HTTP API."""
        from activityctl.adapters.postgres.access_store import PostgresTokens

        return PostgresTokens(self._database)

    @cached_property
    def audit(self) -> AuditTrail:
        """The record of what was changed."""
        from activityctl.adapters.postgres.access_store import PostgresAuditTrail

        return PostgresAuditTrail(self._database)

    @cached_property
    def retention(self) -> RetentionStore:
        """The removal of what is old."""
        from activityctl.adapters.postgres.retention import PostgresRetention

        return PostgresRetention(self._database)

    @cached_property
    def restores(self) -> Restores:
        """Restores of the database from a backup."""
        from activityctl.adapters.postgres.restores import PostgresRestores

        return PostgresRestores(self._database)

    @cached_property
    def storage(self) -> Storage:
        """The version and the sizes of the database."""
        from activityctl.adapters.postgres.storage import PostgresStorage

        return PostgresStorage(self._database)

    @cached_property
    def purge(self) -> Purge:
        """The removal of a text from everything that is stored."""
        from activityctl.adapters.postgres.purging import PostgresPurge

        return PostgresPurge(self._database)


@asynccontextmanager
async def open_ports(
    settings: Settings, *, pool_size: int = 0, must_answer: bool = True
) -> AsyncIterator[Ports]:
    """Connect to Postgres; pool_size 0 means one connection, which is enough for a command.

    Raises UnreachableError if no daemon is running or Postgres does not answer. If it need not
    answer now, each use of a port raises it.
    """
    from activityctl.adapters.postgres.database import Database

    database = await Database.connect(
        await database_url(settings), pool_size=pool_size, must_answer=must_answer
    )
    try:
        yield Ports(database)
    finally:
        await database.close()
