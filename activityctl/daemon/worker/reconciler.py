"""The reconciler: creates the alarms in Temporal that schedules want, and deletes the others."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from activityctl.daemon.worker.refusals import Refusals
from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.values.failure_kind import failure_text, is_outage
from activityctl.ports import UnsyncedAlarm

_LOG = logging.getLogger(__name__)
_BATCH: Final = 1000
_AT_ONCE: Final = 32
_MARK_EVERY: Final = 0.25
"""Seconds between writes of the synced schedules; after a crash, unwritten ones are repeated."""


class Reconciler:
    """Updates alarms; one worker at a time, and an alarm that fails is tried again later."""

    def __init__(self, maintenance: ScheduleMaintenance) -> None:
        self._maintenance = maintenance
        self._register = maintenance.register
        self._schedule_client = maintenance.schedule_client
        self._refusals = Refusals(maintenance.clock)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def reconcile(self) -> int:
        """Update all unsynced alarms in Temporal; return how many were synced.

        An alarm that Temporal refuses is tried again later and later. UnreachableError if
        Temporal answered for none of them.
        """
        total, has_more = 0, True
        while has_more:
            found, synced = await self._reconcile_batch()
            total += synced
            has_more = found == _BATCH and synced > 0
        return total

    async def _reconcile_batch(self) -> tuple[int, int]:
        """Return how many unsynced alarms were found, and how many are synced now."""
        async with self._maintenance.exclusive() as is_ours:
            if not is_ours:
                return 0, 0
            unsynced = await self._register.unsynced(_BATCH)
            due = [each for each in unsynced if self._refusals.may_try(each.id, _wish(each))]
            created = [each for each in due if each.wanted is not None]
            deleted = [each for each in due if each.wanted is None]
            await self._register.announce([each.id for each in created])
            synced = await self._sync_all(created)
            # Only now: until an alarm is there, the one of before wakes us for a moved trigger.
            unwanted = await self._register.forsake([each.id for each in deleted])
            synced += await self._sync_all([each for each in deleted if each.id in unwanted])
            return len(unsynced), synced

    async def _sync_all(self, unsynced: Sequence[UnsyncedAlarm]) -> int:
        """Return how many were synced; they are marked in Postgres many at a time."""
        synced: list[UnsyncedAlarm] = []
        marked = 0
        syncing = asyncio.gather(*(self._sync(alarm, synced) for alarm in unsynced))
        try:
            while not syncing.done():
                await asyncio.wait([syncing], timeout=_MARK_EVERY)
                if newly := synced[marked:]:
                    await self._register.mark_synced(newly, self._maintenance.clock())
                    marked += len(newly)
        finally:
            syncing.cancel()
            await asyncio.wait([syncing])
        outages = [error for error in await syncing if error is not None]
        if outages and not marked:
            raise outages[0]
        return marked

    async def _sync(self, alarm: UnsyncedAlarm, synced: list[UnsyncedAlarm]) -> Exception | None:
        """Add it to `synced`, or record why that failed; return the error of an outage."""
        async with self._turns:
            try:
                if alarm.wanted is None:
                    await self._schedule_client.delete(alarm.id)
                else:
                    await self._schedule_client.create_or_update(alarm.id, alarm.wanted)
            except Exception as error:  # noqa: BLE001  # logged; others go on
                _LOG.warning("could not update alarm: %s", error, extra={"alarm": alarm.id})
                await self._register.mark_failed(alarm, failure_text(error))
                if is_outage(error):
                    return error
                self._refusals.add(alarm.id, error, _wish(alarm))
            else:
                self._refusals.remove(alarm.id)
                synced.append(alarm)
        return None


def _wish(alarm: UnsyncedAlarm) -> str:
    return "deleted" if alarm.wanted is None else "created"
