"""What is wanted: manifests as they are read, and the catalog that they are applied to."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from activityctl.domain.gitops.history import UNKNOWN_ORIGIN, Origin, PastChange
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Plan, Present
from activityctl.domain.manifests.calendar import PresentCalendar
from activityctl.domain.manifests.definition import Revision
from activityctl.domain.manifests.subscription import OperatorStatus, Subscription
from activityctl.domain.values.moment import DaySpan
from activityctl.domain.values.selection import Selection
from activityctl.errors import Problem


class ManifestSource(Protocol):
    """Reads manifests from where the user keeps them."""

    def read(self, paths: Sequence[str], *, recursive: bool) -> tuple[ManifestSet, list[Problem]]:
        """Return the manifests of right shape, and every problem of all files."""
        ...


class Catalog(Protocol):
    """Definitions, subscriptions and the schedules that they ask for."""

    async def present(self) -> Present:
        """Return what lives, and deleted subscriptions by name."""
        ...

    def changing(self) -> AbstractAsyncContextManager[None]:
        """Hold the one lock under which the catalog is changed, in one transaction."""
        ...

    async def write(self, plan: Plan, now: datetime, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Carry out the plan and record it in the history; call it within `changing`."""
        ...

    async def history(self, kind: str, name: str) -> list[PastChange]:
        """Return every recorded change of one object, the newest first."""
        ...

    async def definitions(self, selection: Selection) -> list[tuple[Mapping[str, Any], Revision]]:
        """Return the definitions (name, labels, times) with their current revisions."""
        ...

    async def calendars(self) -> Mapping[str, tuple[DaySpan, ...]]:
        """Return the days of every calendar that lives, by its name."""
        ...

    async def listed_calendars(self, selection: Selection) -> list[PresentCalendar]:
        """Return the calendars that live, by name."""
        ...

    async def revisions(self, selection: Selection) -> list[Revision]:
        """Return immutable revisions, newest first."""
        ...

    async def subscriptions(self, selection: Selection) -> list[Subscription]:
        """Return subscriptions by name; deleted ones only when asked for by status."""
        ...

    async def find_subscription(self, reference: str) -> Subscription:
        """Return the one with that name, id or unique id prefix.

        NotFoundError when there is none, ConflictError when the prefix fits several.
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
        """Pause or resume, and schedules follow; False when it was so, or deleted before.

        A reason is kept while it is paused; to resume ends its streak of failures.
        """
        ...
