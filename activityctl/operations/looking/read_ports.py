"""The ports that reading objects needs, as the command line and the HTTP API have them."""

from typing import Protocol

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
