"""Verbs: the operations that are carried out by the API if commands speak to one."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from activityctl.domain.manifests.subscription import OperatorStatus, Subscription
from activityctl.domain.runs.run import Run
from activityctl.domain.values.ids import RunId
from activityctl.domain.values.json_form import View
from activityctl.domain.values.log import LogEntry, LogFilter
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.selection import Selection
from activityctl.errors import UnreachableError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.get import Page
from activityctl.operations.looking.kinds import Kind
from activityctl.operations.looking.upcoming import TimeRange, Upcoming
from activityctl.operations.runs.many import Outcome

OnProgress = Callable[[int, int], None]
"""Takes how many are done and how many there are."""


@frozen_dataclass
class ListRequest:
    """What `get` lists."""

    kind: Kind
    name: str | None
    selection: Selection
    """Without the two below, which are not looked up yet."""
    subscription: str | None = None
    run: str | None = None


@frozen_dataclass
class LogRequest:
    """Whose log is read, and which of its entries."""

    wanted: LogFilter
    names: dict[str, str]
    """The names of subscriptions by id; those that come meanwhile are added."""
    labels: Mapping[str, str] | None = None
    """The labels that chose the subscriptions, none for all; None if they were named."""
    tail: int | None = None


@frozen_dataclass
class Watcher:
    """What a command does while it follows a log."""

    on_outage: Callable[[UnreachableError | None], None]
    has_ended: Callable[[], bool] = field(default=lambda: False)


@frozen_dataclass
class Change:
    """How `pause` or `resume` changes subscriptions."""

    status: OperatorStatus
    done: str
    """The word for one that was changed."""
    reason: str | None = None
    catch_up: bool = False


class Verbs(Protocol):
    """Operations whose rules run where the database is."""

    async def page(self, request: ListRequest) -> Page:
        """Return the objects of a list."""
        ...

    async def subscription_views(self, chosen: list[Subscription]) -> list[View]:
        """Return the views of these subscriptions, as `get` lists them."""
        ...

    async def describe(self, kind: Kind, reference: str, *, last: bool) -> View:
        """Return an object with all that belongs to it; with `last` the last run of it."""
        ...

    async def status(self) -> View:
        """Return what is at work and what needs attention, without the processes."""
        ...

    async def upcoming(self, reference: str, time_range: TimeRange) -> Upcoming:
        """Return the next firings of a subscription."""
        ...

    async def trigger(
        self,
        owner: Subscription,
        trigger_name: str | None,
        key: str | None,
        payload: Mapping[str, JsonValue],
    ) -> RunId:
        """Store a request for a run; return its id."""
        ...

    async def cancel(self, run_id: RunId) -> Run:
        """Request the cancellation of a run."""
        ...

    async def change_status(self, owner: Subscription, change: Change) -> bool:
        """Pause or resume a subscription, and log it; return whether that changed it."""
        ...

    async def cancel_each(self, run_ids: Sequence[RunId], on_progress: OnProgress) -> list[Outcome]:
        """Request the cancellation of the runs; return one outcome for each."""
        ...

    async def change_each(
        self, owners: Sequence[Subscription], change: Change, on_progress: OnProgress
    ) -> list[Outcome]:
        """Pause or resume the subscriptions; return one outcome for each, in the word of `done`."""
        ...

    def read_logs(self, request: LogRequest) -> AsyncIterator[LogEntry]:
        """Yield the entries that are there, the oldest first."""
        ...

    def follow_logs(self, request: LogRequest, watcher: Watcher) -> AsyncIterator[LogEntry]:
        """Yield the entries that are there and those that come, each exactly once."""
        ...

    async def reaches_temporal(self) -> bool:
        """Return whether Temporal answers."""
        ...
