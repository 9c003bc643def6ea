"""The ports that reading objects needs, as the command line and the HTTP API have them."""

from typing import Protocol

from activityctl.operations.looking.get import ObjectViews
from activityctl.operations.looking.relayers import ReadRelayers, no_relayers
from activityctl.ports import (
    AuditTrail,
    Catalog,
    ChainStore,
    EventStore,
    Facts,
    Lateness,
    Logbook,
    Outbox,
    RunLists,
    RunStore,
    ScheduleRegister,
    Workers,
)


class ReadPorts(Protocol):
    """The ports that reading objects needs."""

    @property
    def catalog(self) -> Catalog:
        """Definitions, subscriptions and calendars."""
        ...

    @property
    def register(self) -> ScheduleRegister:
        """Schedules."""
        ...

    @property
    def run_lists(self) -> RunLists:
        """Runs, tasks and dead letters."""
        ...

    @property
    def events(self) -> EventStore:
        """Events."""
        ...

    @property
    def workers(self) -> Workers:
        """Workers."""
        ...

    @property
    def audit(self) -> AuditTrail:
        """What was changed."""
        ...

    @property
    def runs(self) -> RunStore:
        """One run with its tasks."""
        ...

    @property
    def logbook(self) -> Logbook:
        """Logs."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Firings that are not started."""
        ...

    @property
    def facts(self) -> Facts:
        """Figures of subscriptions."""
        ...

    @property
    def chains(self) -> ChainStore:
        """Chains that are read."""
        ...

    @property
    def lateness(self) -> Lateness:
        """Missed deadlines."""
        ...


def object_views(ports: ReadPorts, relayers: ReadRelayers = no_relayers) -> ObjectViews:
    """Return the reader of lists and objects."""
    return ObjectViews(
        ports.catalog,
        ports.register,
        ports.run_lists,
        ports.events,
        ports.workers,
        ports.audit,
        chains=ports.chains,
        relayers=relayers,
    )
