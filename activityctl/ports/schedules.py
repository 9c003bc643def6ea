"""Ports for schedules: which alarms Temporal must have, and the client that creates them there.

When a firing is due is decided elsewhere.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from activityctl.domain.gitops.drift import ObservedAlarm, StoredAlarm
from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.timing.alarm import Alarm
from activityctl.domain.values.ids import AlarmId, SubscriptionId
from activityctl.domain.values.selection import Selection
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class UnsyncedAlarm:
    """An alarm that Temporal does not have as wanted."""

    id: AlarmId
    wanted: Alarm | None
    """None if Temporal must delete it."""


@frozen_dataclass
class ListedSchedule:
    """A trigger of a subscription that follows the clock, with the alarm that wakes us for it."""

    wanted: WantedSchedule
    subscription: str
    status: str
    """One of pending, active, paused and error."""
    error: str | None
    observed_at: datetime | None
    """When Temporal was seen to have the alarm."""
    fired: int = 0
    """How many firings were started since the trigger was last changed, for maxFirings.

    A firing that becomes missed later, because of an outage or a pause, no longer counts.
    """
    alarm: str | None = None
    """The id of its alarm; None while it wants none: it is paused, or has ended."""


class ScheduleRegister(Protocol):
    """The schedules, the alarms that they want, and which of these Temporal has.

    An alarm is wanted while an active schedule with a next time has its timing.
    """

    async def schedules(self, selection: Selection) -> list[ListedSchedule]:
        """Return the schedules."""
        ...

    async def next_times(self, subscription_ids: Sequence[str]) -> Mapping[str, datetime]:
        """Return the next nominal time of each of these subscriptions, by its id.

        Subscriptions that are not active, or have no schedule with a next time, are left out.
        """
        ...

    async def unsynced(self, limit: int) -> list[UnsyncedAlarm]:
        """Return alarms that Temporal must create or delete; those to be created come first."""
        ...

    async def announce(self, alarm_ids: Sequence[str]) -> None:
        """Record that these alarms are about to be created, so that none is left over."""
        ...

    async def forsake(self, alarm_ids: Sequence[str]) -> set[str]:
        """Return those of these alarms that may be deleted, because no schedule wants them.

        From then on they do not count as present: whoever wants one again waits for a new one.
        """
        ...

    async def mark_synced(self, alarms: Sequence[UnsyncedAlarm], now: datetime) -> None:
        """Record that Temporal now has these alarms as wanted, or has deleted them."""
        ...

    async def mark_failed(self, alarm: UnsyncedAlarm, error: str) -> None:
        """Record why the alarm could not be created or deleted in Temporal."""
        ...

    async def unsynced_errors(self, subscriptions: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return (alarm id, last error) of the unsynced alarms of these subscriptions.

        And of those that nobody wants any more, unless their deletion has failed; none of these
        if no subscriptions are given.
        """
        ...

    async def stored(self, ids: Sequence[str]) -> Mapping[str, StoredAlarm]:
        """Return these alarms by id; those that are not of this database are left out."""
        ...

    async def serves(self, alarm_id: str, limit: int) -> list[tuple[SubscriptionId, str]]:
        """Return the subscriptions and triggers that the alarm serves, in order."""
        ...

    async def synced_ids(self, *, after: str, limit: int) -> list[AlarmId]:
        """Return the ids of synced alarms after this id, sorted."""
        ...

    async def silent(self) -> list[StoredAlarm]:
        """Return alarms that Temporal seems to have, but that have stopped waking us."""
        ...

    async def mark_restarted(self, alarm_id: str, now: datetime) -> None:
        """Record that a silent alarm was created again."""
        ...

    def drift_lock(self) -> AbstractAsyncContextManager[bool]:
        """Hold the lock of the auditor; False if another process holds it."""
        ...

    def reconcile_lock(self) -> AbstractAsyncContextManager[bool]:
        """Hold the lock of the reconciler; False if another process holds it."""
        ...


class ScheduleClient(Protocol):
    """Creates, updates, deletes and reads alarms: the schedules in Temporal."""

    async def create_or_update(self, alarm_id: str, alarm: Alarm) -> None:
        """Create or update the alarm; repeating the call changes nothing."""
        ...

    async def delete(self, alarm_id: str) -> None:
        """Delete the alarm; do nothing if it does not exist."""
        ...

    def list_pages(self) -> AsyncIterator[list[ObservedAlarm]]:
        """Iterate over pages of all schedules in Temporal whose id has our form.

        The list may be some seconds old, and it has fewer details of an alarm than `describe`.
        Schedules of single triggers, as they were before alarms were shared, are among them.
        """
        ...

    async def describe(self, alarm_id: str) -> ObservedAlarm | None:
        """Return the current alarm with all details; None if it does not exist."""
        ...
