"""The watchdog: creates schedules again that exist in Temporal but stopped waking us."""

from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.gitops.drift import StoredSchedule


class Watchdog:
    """Restarts silent schedules; no firing was lost, because the timekeeper woke them instead."""

    def __init__(self, upkeep: ScheduleMaintenance) -> None:
        self._upkeep = upkeep

    async def restart_silent(self) -> int:
        """Delete and create each silent schedule again; return how many there were."""
        async with self._upkeep.exclusive() as is_ours:
            if not is_ours:
                return 0
            silent = await self._upkeep.register.silent()
            for schedule in silent:
                await self._restart(schedule)
        return len(silent)

    async def _restart(self, schedule: StoredSchedule) -> None:
        if schedule.wanted is None:
            return
        upkeep = self._upkeep
        await upkeep.schedule_client.delete(schedule.id)
        await upkeep.schedule_client.create_or_update(schedule.wanted, paused=schedule.paused)
        await upkeep.register.mark_restarted(schedule.id, upkeep.clock())
        message = f"schedule {schedule.trigger} had stopped waking us; it was created again"
        await upkeep.warn(schedule, message)
