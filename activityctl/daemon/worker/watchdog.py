"""The watchdog: creates schedules again that exist in Temporal but stopped waking us."""

import logging

from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.gitops.drift import StoredSchedule
from activityctl.errors import ActivityctlError

_LOG = logging.getLogger(__name__)


class Watchdog:
    """Restarts silent schedules. No firing was lost: the overdue scanner woke them instead."""

    def __init__(self, maintenance: ScheduleMaintenance) -> None:
        self._maintenance = maintenance

    async def restart_silent(self) -> int:
        """Delete and create each silent schedule again; return how many could be."""
        async with self._maintenance.exclusive() as is_ours:
            if not is_ours:
                return 0
            silent = await self._maintenance.register.silent()
            return sum([await self._restarts(schedule) for schedule in silent])

    async def _restarts(self, schedule: StoredSchedule) -> bool:
        """Restart it; return False if that failed, which must not keep the others from it."""
        try:
            await self._restart(schedule)
        except ActivityctlError as error:
            _LOG.warning("could not restart schedule: %s", error, extra={"schedule": schedule.id})
            return False
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
