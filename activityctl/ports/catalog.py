"""Ports for reading manifests and for the catalog that they are applied to."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from activityctl.domain.gitops.answered import AnsweredRequest
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN, Origin, PastApply, PastChange
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Plan, Present, Recorded
from activityctl.domain.manifests.calendar import PresentCalendar
from activityctl.domain.manifests.definition import Revision
from activityctl.domain.manifests.event_source import PresentEventSource
from activityctl.domain.manifests.subscription import OperatorStatus, Subscription
from activityctl.domain.sources.traffic import RefusedRequest, SourceTraffic
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.moment import DaySpan
from activityctl.domain.values.selection import Selection
from activityctl.errors import Problem


class ManifestSource(Protocol):
    """Reads manifests from the files or folders of the user."""

    def read(self, paths: Sequence[str], *, recursive: bool) -> tuple[ManifestSet, list[Problem]]:
        """Return the manifests whose shape is right, and the problems of all files."""
        ...

    def names_below(self, paths: Sequence[str]) -> Mapping[tuple[str, str], str]:
        """Return the file of each object in the folders and their subfolders, by kind and name.

        It is a quick look: what cannot be read is left out.
        """
        ...


class Catalog(Protocol):
    """Definitions, calendars, event sources, subscriptions and the schedules that these need."""

    async def present(self) -> Present:
        """Return all live objects, and the deleted subscriptions by name."""
        ...

    def changing(self) -> AbstractAsyncContextManager[None]:
        """Hold the lock for changing the catalog; the block is one transaction.

        A block inside of another one is a part of it.
        """
        ...

    async def write(self, plan: Plan, now: datetime, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Execute the plan and record it in the history; call it within `changing`."""
        ...

    async def answered(self, actor: str, key: str) -> AnsweredRequest | None:
        """Return what a request with this key of this actor has changed; None if there was none."""
        ...

    async def keep_answered(
        self, actor: str, key: str, request: AnsweredRequest, now: datetime
    ) -> None:
        """Keep what a request has changed, for a day; call it within `changing`."""
        ...

    async def history(self, kind: str, name: str, *, limit: int | None = None) -> list[PastChange]:
        """Return the recorded changes of one object, newest first; None for all."""
        ...

    async def last_applies(self) -> Mapping[str, PastApply]:
        """Return the last recorded apply of each apply set, by the name of the set."""
        ...

    async def definitions(self, selection: Selection) -> list[tuple[Mapping[str, Any], Revision]]:
        """Return the definitions (name, labels, times) with their current revisions."""
        ...

    async def calendars(self) -> Mapping[str, tuple[DaySpan, ...]]:
        """Return the days of every live calendar, by the calendar's name."""
        ...

    async def listed_calendars(self, selection: Selection) -> list[PresentCalendar]:
        """Return the live calendars, sorted by name."""
        ...

    async def listed_sources(
        self, selection: Selection
    ) -> list[tuple[PresentEventSource, SourceTraffic]]:
        """Return the live event sources with what came to them, sorted by name."""
        ...

    async def refused_requests(self, source: str, limit: int) -> list[RefusedRequest]:
        """Return the last refused requests of an event source, newest first."""
        ...

    async def revisions(self, selection: Selection) -> list[Revision]:
        """Return revisions, newest first."""
        ...

    async def subscriptions(self, selection: Selection) -> list[Subscription]:
        """Return subscriptions, sorted by name; deleted ones only if the status asks for them."""
        ...

    async def subscriptions_of(self, ids: Sequence[str]) -> list[Subscription]:
        """Return the subscriptions with these ids, also deleted ones, in any order."""
        ...

    async def find_subscription(self, reference: str) -> Subscription:
        """Return the subscription with this name, id or unique beginning of an id.

        Raises NotFoundError if there is none, ConflictError if several ids begin like this.
        """
        ...

    async def replace_state(
        self,
        before: Subscription,
        state: Mapping[str, JsonValue],
        recorded: Recorded,
        now: datetime,
        origin: Origin,
    ) -> bool:
        """Store what the subscription's next run reads as `state`, and record it in the history.

        Return False, with nothing stored, if the state is not that of `before` any more.
        """
        ...

    async def set_subscription_status(
        self,
        subscription_id: str,
        status: OperatorStatus,
        now: datetime,
        *,
        catch_up: bool = False,
        reason: str | None = None,
    ) -> bool:
        """Pause or resume a subscription with its schedules.

        Returns False if it already has this status or is deleted. The reason is stored while the
        subscription is paused. Resuming ends its streak of failures.
        """
        ...
