"""The watchdog: creates schedules again that Temporal holds but which stopped waking us."""

from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.gitops.drift import StoredSchedule


class Watchdog:
    """No firing was lost meanwhile: the timekeeper woke those schedules instead."""

    def __init__(self, upkeep: ScheduleMaintenance) -> None:
        self._upkeep = upkeep

    async def restart_silent(self) -> int:
        """Delete and create each silent schedule; return how many there were."""
        async with self._upkeep.exclusive() as is_ours:
            if not is_ours:
                return 0
            silent = await self._upkeep.register.silent()
            for one in silent:
                await self._restart(one)
        return len(silent)

    async def _restart(self, recorded: StoredSchedule) -> None:
        if recorded.wanted is None:
            return
        upkeep = self._upkeep
        await upkeep.schedule_client.delete(recorded.id)
        await upkeep.schedule_client.create_or_update(recorded.wanted, paused=recorded.paused)
        await upkeep.register.mark_restarted(recorded.id, upkeep.clock())
        message = f"schedule {recorded.trigger} had stopped silently; created again"
        await upkeep.warn(recorded, message)
