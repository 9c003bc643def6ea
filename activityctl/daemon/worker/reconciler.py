"""The reconciler: updates Temporal's schedules to what Postgres wants."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from activityctl.daemon.worker.refusals import Refusals
from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.values.failure_kind import is_outage, reason_of
from activityctl.ports import UnsyncedSchedule

_LOG = logging.getLogger(__name__)
_BATCH: Final = 1000
_AT_ONCE: Final = 32
_MARK_EVERY: Final = 0.25
"""Seconds between writes of the synced schedules; after a crash, unwritten ones are repeated."""


class Reconciler:
    """Updates schedules; one worker at a time, and a failed schedule is tried again later."""

    def __init__(self, maintenance: ScheduleMaintenance) -> None:
        self._maintenance = maintenance
        self._register = maintenance.register
        self._schedule_client = maintenance.schedule_client
        self._refusals = Refusals(maintenance.clock)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def reconcile(self) -> int:
        """Update all unsynced schedules in Temporal; return how many were synced.

        A schedule that Temporal refuses is tried again later and later, until it changes.
        UnreachableError if Temporal answered for none of them.
        """
        total, has_more = 0, True
        while has_more:
            found, synced = await self._reconcile_batch()
            total += synced
            has_more = found == _BATCH and synced > 0
        return total

    async def _reconcile_batch(self) -> tuple[int, int]:
        """Return how many unsynced schedules were found, and how many are synced now."""
        async with self._maintenance.exclusive() as is_ours:
            if not is_ours:
                return 0, 0
            unsynced = await self._register.unsynced(_BATCH)
            due = [each for each in unsynced if self._refusals.may_try(each.id, each.wanted_hash)]
            return len(unsynced), await self._sync_all(due)

    async def _sync_all(self, unsynced: Sequence[UnsyncedSchedule]) -> int:
        """Return how many were synced; they are marked in Postgres many at a time."""
        synced: list[UnsyncedSchedule] = []
        marked = 0
        syncing = asyncio.gather(*(self._sync(schedule, synced) for schedule in unsynced))
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

    async def _sync(
        self, schedule: UnsyncedSchedule, synced: list[UnsyncedSchedule]
    ) -> Exception | None:
        """Add it to `synced`, or record why that failed; return the error of an outage."""
        async with self._turns:
            try:
                if schedule.wanted is None:
                    await self._schedule_client.delete(schedule.id)
                else:
                    await self._schedule_client.create_or_update(
                        schedule.wanted, paused=schedule.paused
                    )
            except Exception as error:  # noqa: BLE001  # logged; others go on
                _LOG.warning(
                    "could not update schedule: %s", error, extra={"schedule": schedule.id}
                )
                await self._register.mark_failed(schedule, reason_of(error))
                if is_outage(error):
                    return error
                self._refusals.add(schedule.id, error, schedule.wanted_hash)
            else:
                self._refusals.remove(schedule.id)
                synced.append(schedule)
        return None
