"""Ports for schedules: which ones Temporal must hold, and the client that creates them there.

When a firing is due is decided elsewhere.
"""

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
    """A schedule that Temporal does not hold as wanted."""

    id: str
    wanted: WantedSchedule | None
    """None if Temporal must delete it."""
    paused: bool
    wanted_hash: str | None


@dataclass(frozen=True, slots=True)
class ListedSchedule:
    """A wanted schedule with its last observed state in Temporal."""

    wanted: WantedSchedule
    subscription: str
    status: str
    """One of pending, active, paused and error."""
    error: str | None
    observed_at: datetime | None
    fired: int = 0
    """How many firings were started since the trigger was last changed, for maxFirings.

    A firing that becomes missed later, because of an outage or a pause, no longer counts.
    """


class ScheduleRegister(Protocol):
    """The schedules that Temporal must hold, and what was last written there."""

    async def schedules(self, selection: Selection) -> list[ListedSchedule]:
        """Return the wanted schedules."""
        ...

    async def next_times(self, subscription_ids: Sequence[str]) -> Mapping[str, datetime]:
        """Return the next nominal time of each of these subscriptions, by its id.

        Subscriptions that are not active, or have no schedule with a next time, are left out.
        """
        ...

    async def unsynced(self, limit: int) -> list[UnsyncedSchedule]:
        """Return schedules whose wanted hash and observed hash differ."""
        ...

    async def mark_synced(self, drifts: Sequence[UnsyncedSchedule], now: datetime) -> None:
        """Record that Temporal now holds these schedules as wanted, or has deleted them."""
        ...

    async def mark_failed(self, drift: UnsyncedSchedule, error: str) -> None:
        """Record why the schedule could not be written to Temporal."""
        ...

    async def unsynced_errors(self, subscriptions: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return (schedule id, last error) of the unsynced schedules of these subscriptions."""
        ...

    async def stored(self, ids: Sequence[str]) -> Mapping[str, StoredSchedule]:
        """Return these schedules by id; those of unknown subscriptions are left out."""
        ...

    async def synced_ids(self, *, after: str, limit: int) -> list[ScheduleId]:
        """Return the ids of synced schedules after this id, sorted."""
        ...

    async def silent(self) -> list[StoredSchedule]:
        """Return schedules that Temporal seems to hold, but that have stopped waking us."""
        ...

    async def mark_restarted(self, schedule_id: ScheduleId, now: datetime) -> None:
        """Record that a silent schedule was created again."""
        ...

    def drift_lock(self) -> AbstractAsyncContextManager[bool]:
        """Hold the lock of the auditor; False if another process holds it."""
        ...

    def reconcile_lock(self) -> AbstractAsyncContextManager[bool]:
        """Hold the lock of the reconciler; False if another process holds it."""
        ...


class ScheduleClient(Protocol):
    """Creates, updates, deletes and reads schedules in Temporal."""

    async def create_or_update(self, wanted: WantedSchedule, *, paused: bool) -> None:
        """Create or update the schedule; repeating the call changes nothing."""
        ...

    async def delete(self, schedule_id: str) -> None:
        """Delete the schedule; do nothing if it does not exist."""
        ...

    def list_pages(self) -> AsyncIterator[list[ObservedSchedule]]:
        """Iterate over pages of all schedules whose id has our form.

        The list may be some seconds old, and it has fewer details of a schedule than `describe`.
        """
        ...

    async def describe(self, schedule_id: str) -> ObservedSchedule | None:
        """Return the current schedule with all details; None if it does not exist."""
        ...
