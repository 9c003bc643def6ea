"""The watchdog: creates alarms again that exist in Temporal but stopped waking us."""

import logging

from activityctl.daemon.worker.refusals import Refusals
from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.gitops.drift import StoredAlarm

_LOG = logging.getLogger(__name__)


class Watchdog:
    """Restarts silent alarms. No firing was lost: the overdue scanner rang them instead."""

    def __init__(self, maintenance: ScheduleMaintenance) -> None:
        self._maintenance = maintenance
        self._refusals = Refusals(maintenance.clock)

    async def restart_silent(self) -> int:
        """Delete and create each silent alarm again; return how many could be.

        One that fails is tried again later and later, and RefusedError tells of it after the
        others.
        """
        async with self._maintenance.exclusive() as is_ours:
            if not is_ours:
                return 0
            silent = await self._maintenance.register.silent()
            for key in set(self._refusals.due()) - {alarm.id for alarm in silent}:
                self._refusals.remove(key)
            due = [alarm for alarm in silent if self._refusals.may_try(alarm.id)]
            restarted = sum([await self._restarts(alarm) for alarm in due])
            self._refusals.raise_if_any("stopped silently and could not be created again")
            return restarted

    async def _restarts(self, alarm: StoredAlarm) -> bool:
        """Restart it; return False if that failed, which must not keep the others from it."""
        try:
            await self._restart(alarm)
        except Exception as error:  # noqa: BLE001  # logged; the others go on
            self._refusals.add(alarm.id, error)
            _LOG.warning("could not restart alarm: %s", error, extra={"alarm": alarm.id})
            return False
        self._refusals.remove(alarm.id)
        return True

    async def _restart(self, alarm: StoredAlarm) -> None:
        if alarm.wanted is None:
            return
        maintenance = self._maintenance
        await maintenance.schedule_client.delete(alarm.id)
        await maintenance.schedule_client.create_or_update(alarm.id, alarm.wanted)
        await maintenance.register.mark_restarted(alarm.id, maintenance.clock())
        await maintenance.warn(alarm, _restarted)


def _restarted(trigger: str) -> str:
    return f"schedule {trigger} had stopped waking us; its alarm was created again"
