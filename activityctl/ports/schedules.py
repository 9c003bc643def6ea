"""What Temporal shall hold, and who makes it hold that; when a firing is due stands elsewhere."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from activityctl.domain.gitops.drift import ObservedSchedule, StoredSchedule
from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.values.ids import ScheduleId
from activityctl.domain.values.selection import Selection


@dataclass(frozen=True, slots=True)
class UnsyncedSchedule:
    """A schedule in Temporal that is not as wanted; `wanted` None means it must go."""

    id: str
    wanted: WantedSchedule | None
    paused: bool
    wanted_hash: str | None


@dataclass(frozen=True, slots=True)
class ListedSchedule:
    """A wanted schedule with what the reconciler last saw of it."""

    wanted: WantedSchedule
    subscription: str
    status: str
    """pending, active, paused or error."""
    error: str | None
    observed_at: datetime | None
    fired: int = 0
    """How many firings were let go since the trigger was last changed; maxFirings counts them.

    One that is missed after all, as an outage or a pause cut it off, is counted no more.
    """


class ScheduleRegister(Protocol):
    """Which schedules Temporal shall hold, and what it was last made to hold."""

    async def schedules(self, selection: Selection) -> list[ListedSchedule]:
        """Return the wanted schedules."""
        ...

    async def unsynced(self, limit: int) -> list[UnsyncedSchedule]:
        """Return schedules whose wanted and observed hashes differ."""
        ...

    async def mark_synced(self, drifts: Sequence[UnsyncedSchedule], now: datetime) -> None:
        """Record that Temporal now holds them (or no longer does)."""
        ...

    async def mark_failed(self, drift: UnsyncedSchedule, error: str) -> None:
        """Record why Temporal could not be made to hold it."""
        ...

    async def unsynced_errors(self, subscriptions: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return (schedule id, last error) of those subscriptions' schedules that drift."""
        ...

    async def stored(self, ids: Sequence[str]) -> Mapping[str, StoredSchedule]:
        """Return what is recorded of these schedules; those of unknown subscriptions are absent."""
        ...

    async def synced_ids(self, *, after: str, limit: int) -> list[ScheduleId]:
        """Return the ids, in their order, of schedules that are observed as wanted."""
        ...

    async def silent(self) -> list[StoredSchedule]:
        """Return schedules that Temporal seems to hold but which have stopped waking us."""
        ...

    async def mark_restarted(self, schedule_id: ScheduleId, now: datetime) -> None:
        """Record that a silent schedule was created again."""
        ...

    def drift_lock(self) -> AbstractAsyncContextManager[bool]:
        """Hold the one auditor's lock; False when another process holds it."""
        ...

    def reconcile_lock(self) -> AbstractAsyncContextManager[bool]:
        """Hold the one reconciler's lock; False when another process holds it."""
        ...


class ScheduleClient(Protocol):
    """Makes Temporal hold or drop schedules, and looks at those it holds."""

    async def create_or_update(self, wanted: WantedSchedule, *, paused: bool) -> None:
        """Create or update the schedule; repeating it changes nothing."""
        ...

    async def delete(self, schedule_id: str) -> None:
        """Delete the schedule; absent is fine."""
        ...

    def list_pages(self) -> AsyncIterator[list[ObservedSchedule]]:
        """Iterate over pages of all schedules whose id has our form.

        The list may be seconds old and shows less of each schedule than `observe`.
        """
        ...

    async def describe(self, schedule_id: str) -> ObservedSchedule | None:
        """Return the schedule as it is now, looked at in full; None when there is none."""
        ...
