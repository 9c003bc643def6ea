"""Creates the adapters from the settings; nothing else chooses adapters.

Adapters are imported inside the builder functions, so that a command loads only what it uses.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from activityctl.domain.cel.evaluator import evaluating_with
from activityctl.domain.events.envelope import MAX_EVENT_BYTES
from activityctl.domain.values.model import JsonValue
from activityctl.errors import InvalidInputError
from activityctl.ports import (
    Backfills,
    Catalog,
    ContextSource,
    EventArchive,
    EventStore,
    Executor,
    Gates,
    Logbook,
    ManifestSource,
    MetricsSource,
    Outbox,
    Purge,
    RunLists,
    RunStarter,
    RunStore,
    ScheduleClient,
    ScheduleRegister,
    Signals,
    StuckRuns,
    Timetable,
    UnfinishedWork,
    Workers,
)
from activityctl.secret import (
    Secret,
    SecretReference,
    has_password,
    require_sound_url,
    with_password,
)
from activityctl.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client

    from activityctl.adapters.evaluator.pool import EvaluatorPool
    from activityctl.adapters.manifests.event_source import EventSource
    from activityctl.adapters.postgres.database import Database
    from activityctl.domain.manifests.checks import Kinds

Executors = Mapping[str, Executor]
_API_KEY = "TEMPORAL_API_KEY"


class Ports:
    """The ports that Postgres implements. Each adapter is imported when it is first used."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    @cached_property
    def catalog(self) -> Catalog:
        """Definitions, subscriptions, calendars and their history."""
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
    def run_lists(self) -> RunLists:
        """Lists of runs, tasks and dead letters."""
        from activityctl.adapters.postgres.runs.lists import PostgresRunLists

        return PostgresRunLists(self._database)

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
    def events(self) -> EventStore:
        """Stored events, and the triggers that they match."""
        from activityctl.adapters.postgres.events.events import PostgresEventStore

        return PostgresEventStore(self._database)

    @cached_property
    def archive(self) -> EventArchive:
        """Queries over stored events."""
        from activityctl.adapters.postgres.events.archive import PostgresEventArchive

        return PostgresEventArchive(self._database)

    @cached_property
    def purge(self) -> Purge:
        """The removal of a text from everything that is stored."""
        from activityctl.adapters.postgres.purging import PostgresPurge

        return PostgresPurge(self._database)


@asynccontextmanager
async def open_ports(settings: Settings, *, pool_size: int = 0) -> AsyncIterator[Ports]:
    """Connect to Postgres; pool_size 0 means one connection, which is enough for a command.

    Raises UnreachableError if no daemon is running or Postgres does not answer.
    """
    from activityctl.adapters.postgres.database import Database

    database = await Database.connect(await database_url(settings), pool_size=pool_size)
    try:
        yield Ports(database)
    finally:
        await database.close()


async def database_url(settings: Settings) -> str:
    """Return the URL of the database, with the password that the settings refer to.

    Raises UnreachableError if no daemon is running, InvalidInputError for a malformed URL, and
    what `read_secret` raises.
    """
    from activityctl.adapters.postgres.database import require_readable

    url, reference = settings.required_database_url(), settings.database_password_ref
    require_sound_url(url)
    require_readable(url)
    if reference is None or settings.uses_local_daemon or has_password(url):
        return url
    return with_password(url, (await read_secret(reference)).value)


async def read_secret(reference: SecretReference) -> Secret:
    """Read a secret from the key store, variable or file in which it is stored.

    Raises NotAllowedError if it would be sent to an address from another source,
    InvalidInputError if it does not exist, UnreachableError if the key store does not answer.
    """
    reference.require_own_address()
    match reference.store:
        case "keyring":
            from activityctl.adapters.keystore.system_keyring import read_keyring

            return await read_keyring(reference)
        case "file":
            from activityctl.adapters.keystore.secret_file import read_file

            return read_file(reference)
        case "env":
            if reference.found is None:
                raise InvalidInputError(
                    f"{reference.setting} names {reference}, which is not set",
                    hint=f"export {reference.name}=…",
                )
            return reference.found


def migrate(url: str, *, roles_prefix: str | None = None) -> None:
    """Migrate the schema of the database to the newest version; create roles with that prefix."""
    from activityctl.adapters.postgres.schema import migrate as migration

    migration.migrate(url, roles_prefix=roles_prefix)


def migration_script(url: str, *, roles_prefix: str | None = None) -> tuple[list[str], str]:
    """Return the titles of the migrations that are missing, and the SQL of the roles' rights."""
    from activityctl.adapters.postgres.schema import migrate as migration

    return migration.migration_script(url, roles_prefix=roles_prefix)


def manifest_source() -> ManifestSource:
    """Return the reader of YAML files."""
    from activityctl.adapters.manifests.manifests import YamlManifests

    return YamlManifests()


def known_kinds() -> "Kinds":
    """Return every kind of task and context source that this installation knows."""
    from activityctl.executors.registry import known_kinds as known

    return known()


@asynccontextmanager
async def open_executors(settings: Settings, ports: Ports) -> AsyncIterator[Executors]:
    """Create the executors of all task kinds, limited by the settings; close them at exit."""
    from activityctl.adapters.daemon_ports import DaemonPorts
    from activityctl.executors.command import CommandExecutor
    from activityctl.executors.emit import EmitExecutor
    from activityctl.executors.http import HttpExecutor
    from activityctl.executors.registry import added_task_kinds

    built: dict[str, Executor] = {name: kind() for name, kind in added_task_kinds().items()}
    built["command"] = CommandExecutor(
        allowed=settings.allow_commands, base_environment=settings.task_environment
    )
    built["emit"] = EmitExecutor(ports.events, ports.runs)
    built["http"] = HttpExecutor(
        allow_http=settings.allow_http,
        allowed_networks=settings.allowed_networks,
        own_api=settings.api_url,
        own_ports=settings.own_ports,
        listening=DaemonPorts(settings.home).listening,
    )
    try:
        yield built
    finally:
        for executor in built.values():
            await executor.close()


def build_sources(ports: Ports) -> Mapping[str, ContextSource]:
    """Create every context source."""
    from activityctl.executors.registry import added_context_kinds
    from activityctl.executors.runs import RunsSource

    added = {name: kind() for name, kind in added_context_kinds().items()}
    return {**added, RunsSource.kind: RunsSource(ports.runs)}


async def connect_temporal(settings: Settings) -> "Client":
    """Connect a client of Temporal; raise UnreachableError, and what `read_secret` raises."""
    from activityctl.adapters.temporal.client import connect

    reference = settings.temporal_api_key_ref
    is_used = not (settings.uses_local_daemon or settings.temporal_environment.get(_API_KEY))
    key = await read_secret(reference) if reference is not None and is_used else None
    return await connect(settings, key)


async def unprotected_connections(settings: Settings) -> dict[str, str]:
    """Return what strangers on the network could read or change, by the server's name.

    Raises what `database_url` and `connect_temporal` raise for settings that cannot be used.
    """
    from activityctl.adapters.postgres.connection_url import unverified_tls
    from activityctl.adapters.temporal.client import connection_profile, is_clear_text

    found: dict[str, str] = {}
    if problem := unverified_tls(settings.required_database_url()):
        found["postgres"] = problem
    has_key = settings.temporal_api_key_ref is not None and not settings.uses_local_daemon
    profile = connection_profile(settings, Secret("***") if has_key else None)
    if is_clear_text(profile):
        found["temporal"] = f"everything to {profile.address} is sent in clear text"
    return found


def build_evaluators() -> "EvaluatorPool":
    """Return evaluator processes; each is started when it is first needed."""
    from activityctl.adapters.evaluator.pool import EvaluatorPool

    return EvaluatorPool()


@contextmanager
def evaluating() -> Iterator[None]:
    """Evaluate what may be much work in a process that can be stopped, within the block."""
    evaluators = build_evaluators()
    try:
        with evaluating_with(evaluators.session()):
            yield
    finally:
        evaluators.close()


def build_starter(client: "Client") -> RunStarter:
    """Return the adapter that starts and cancels runs in Temporal."""
    from activityctl.adapters.temporal.starter import TemporalRunStarter

    return TemporalRunStarter(client)


def build_schedule_client(client: "Client") -> ScheduleClient:
    """Return the adapter that writes schedules into Temporal."""
    from activityctl.adapters.temporal.schedules import TemporalScheduleClient

    return TemporalScheduleClient(client)


def parse_json(text: str, name: str, *, example: str) -> JsonValue:
    """Return the value of strict JSON; errors start with the name, such as that of an option."""
    from activityctl.adapters.manifests.strict_json import parse_named

    return parse_named(text, name, example=example)


def open_events(path: str) -> "AbstractContextManager[EventSource]":
    """Open a file of events, or standard input for `-`."""
    from activityctl.adapters.manifests.event_source import open_source

    return open_source(path)


def read_event_data(path: str) -> bytes:
    """Return the content of a file, or of standard input for `-`, up to the size of an event."""
    from activityctl.adapters.manifests.event_source import read_text

    return read_text(path, MAX_EVENT_BYTES)


def parse_event_data(text: bytes | str, name: str) -> JsonValue:
    """Return the value of strict JSON for the `data` of an event; errors start with the name."""
    from activityctl.adapters.manifests.strict_json import MAX_DEPTH, parse_named

    return parse_named(
        text,
        name,
        example="""write a string with quotes: '"text"'""",
        max_bytes=MAX_EVENT_BYTES,
        max_depth=MAX_DEPTH - 1,
        wide_integers_as_text=True,
    )
