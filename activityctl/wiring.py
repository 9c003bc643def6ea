"""The one place that picks adapters: Settings -> ready ports.

Adapters are imported inside the builders, so that a command loads only what it uses.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from activityctl.ports import (
    Catalog,
    ContextSource,
    Executor,
    Logbook,
    ManifestSource,
    Outbox,
    RunLists,
    RunStarter,
    RunStore,
    SchedulePlacer,
    ScheduleRegister,
    Signals,
    Workers,
)
from activityctl.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client

    from activityctl.domain.checking import Kinds

Executors = Mapping[str, Executor]


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that Postgres answers for."""

    catalog: Catalog
    register: ScheduleRegister
    outbox: Outbox
    runs: RunStore
    run_lists: RunLists
    logbook: Logbook
    signals: Signals
    workers: Workers


@asynccontextmanager
async def open_ports(settings: Settings, *, pool_size: int = 0) -> AsyncIterator[Ports]:
    """Open Postgres; pool_size 0 means one connection, enough for a command.

    Raises UnreachableError when no daemon runs or Postgres does not answer.
    """
    from activityctl.adapters.postgres.catalog import PostgresCatalog
    from activityctl.adapters.postgres.database import Database
    from activityctl.adapters.postgres.lists import PostgresRunLists
    from activityctl.adapters.postgres.logbook import PostgresLogbook
    from activityctl.adapters.postgres.outbox import PostgresOutbox
    from activityctl.adapters.postgres.runs import PostgresRunStore
    from activityctl.adapters.postgres.schedules import PostgresScheduleRegister
    from activityctl.adapters.postgres.signals import PostgresSignals, PostgresWorkers

    database = await Database.connect(settings.required_database_url(), pool_size=pool_size)
    try:
        yield Ports(
            PostgresCatalog(database),
            PostgresScheduleRegister(database),
            PostgresOutbox(database),
            PostgresRunStore(database),
            PostgresRunLists(database),
            PostgresLogbook(database),
            PostgresSignals(database),
            PostgresWorkers(database),
        )
    finally:
        await database.close()


def migrate(database_url: str) -> None:
    """Bring the schema to the newest version."""
    from activityctl.adapters.postgres import migrate as migration

    migration.migrate(database_url)


def manifest_source() -> ManifestSource:
    """Return the reader of YAML files."""
    from activityctl.adapters.manifests.manifests import YamlManifests

    return YamlManifests()


def known_kinds() -> "Kinds":
    """Return every kind of task and context that this installation knows."""
    from activityctl.executors.registry import known_kinds as known

    return known()


@asynccontextmanager
async def open_executors(settings: Settings) -> AsyncIterator[Executors]:
    """Build every task kind within the limits of the settings; closed at the end."""
    from activityctl.executors.command import CommandExecutor
    from activityctl.executors.http import HttpExecutor
    from activityctl.executors.registry import added_task_kinds

    built: dict[str, Executor] = {name: kind() for name, kind in added_task_kinds().items()}
    built["command"] = CommandExecutor(
        allowed=settings.allow_commands, base_environment=settings.task_environment
    )
    built["http"] = HttpExecutor(
        allow_http=settings.allow_http,
        allowed_networks=settings.allowed_networks,
        own_api=settings.api_url,
    )
    try:
        yield built
    finally:
        for executor in built.values():
            await executor.close()


def build_sources(ports: Ports) -> Mapping[str, ContextSource]:
    """Build every context source."""
    from activityctl.executors.registry import added_context_kinds
    from activityctl.executors.runs import RunsSource

    added = {name: kind() for name, kind in added_context_kinds().items()}
    return {**added, RunsSource.kind: RunsSource(ports.runs)}


async def connect_temporal(settings: Settings) -> "Client":
    """Connect Temporal's client; UnreachableError when the server does not answer."""
    from activityctl.adapters.temporal.client import connect

    return await connect(settings)


def build_starter(client: "Client") -> RunStarter:
    """Return what starts and cancels runs in Temporal."""
    from activityctl.adapters.temporal.starter import TemporalRunStarter

    return TemporalRunStarter(client)


def build_placer(client: "Client") -> SchedulePlacer:
    """Return what makes Temporal hold schedules."""
    from activityctl.adapters.temporal.schedules import TemporalSchedulePlacer

    return TemporalSchedulePlacer(client)


def parse_json(text: str) -> object:
    """Return the value of strict JSON; InvalidInputError says what is wrong with it."""
    from activityctl.adapters.manifests.strict_json import parse_json as parse

    return parse(text)
