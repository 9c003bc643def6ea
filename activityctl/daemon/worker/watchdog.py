"""The watchdog: creates schedules again that exist in Temporal but stopped waking us."""

import logging

from activityctl.daemon.worker.refusals import Refusals
from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.gitops.drift import StoredSchedule

_LOG = logging.getLogger(__name__)


class Watchdog:
    """Restarts silent schedules. No firing was lost: the overdue scanner woke them instead."""

    def __init__(self, maintenance: ScheduleMaintenance) -> None:
        self._maintenance = maintenance
        self._refusals = Refusals(maintenance.clock)

    async def restart_silent(self) -> int:
        """Delete and create each silent schedule again; return how many could be.

        One that fails is tried again later and later, and RefusedError tells of it after the
        others.
        """
        async with self._maintenance.exclusive() as is_ours:
            if not is_ours:
                return 0
            silent = await self._maintenance.register.silent()
            for key in set(self._refusals.due()) - {schedule.id for schedule in silent}:
                self._refusals.remove(key)
            due = [schedule for schedule in silent if self._refusals.may_try(schedule.id)]
            restarted = sum([await self._restarts(schedule) for schedule in due])
            self._refusals.raise_if_any("stopped silently and could not be created again")
            return restarted

    async def _restarts(self, schedule: StoredSchedule) -> bool:
        """Restart it; return False if that failed, which must not keep the others from it."""
        try:
            await self._restart(schedule)
        except Exception as error:  # noqa: BLE001  # logged; the others go on
            self._refusals.add(schedule.id, error)
            _LOG.warning("could not restart schedule: %s", error, extra={"schedule": schedule.id})
            return False
        self._refusals.remove(schedule.id)
        return True

    async def _restart(self, schedule: StoredSchedule) -> None:
        if schedule.wanted is None:
            return
        maintenance = self._maintenance
        await maintenance.schedule_client.delete(schedule.id)
        await maintenance.schedule_client.create_or_update(schedule.wanted, paused=schedule.paused)
        await maintenance.register.mark_restarted(schedule.id, maintenance.clock())
        message = f"schedule {schedule.trigger} had stopped waking us; it was created again"
        await maintenance.warn(schedule, message)
