"""The recovery loop: carries on what Temporal has lost, at the start and at intervals."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from activityctl import wiring
from activityctl.daemon.worker.drift_detector import DriftDetector
from activityctl.daemon.worker.restoring import settle_restore
from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.gitops.drift import StoredAlarm
from activityctl.domain.values.ids import SubscriptionId
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import RefusedError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.runs.recover import Recovered, Recovery
from activityctl.ports import ScheduleRegister

if TYPE_CHECKING:
    from temporalio.client import Client

_LOG = logging.getLogger(__name__)


@frozen_dataclass
class FullRecovery:
    """Everything in which Temporal differed from Postgres."""

    lost: Recovered
    alarms: Sequence[StoredAlarm]
    """Alarms that were restored, because Temporal had none or another; found in a dry run."""
    schedules: Sequence[tuple[SubscriptionId, str]] = ()
    """The subscriptions and triggers that they serve; of each alarm the first hundred."""


async def recover_all(
    ports: wiring.Ports,
    client: "Client",
    clock: Callable[[], datetime],
    *,
    older_than: timedelta,
    is_dry_run: bool,
) -> FullRecovery:
    """Carry on runs and firings, and restore alarms; only find them in a dry run.

    A restore of the database that is not settled yet is settled first.
    """
    starter = wiring.build_starter(client)
    recovery = Recovery(ports.unfinished, ports.stuck_runs, starter, ports.logbook, clock)
    maintenance = ScheduleMaintenance(
        ports.register, wiring.build_schedule_client(client), ports.logbook, clock
    )
    detector = DriftDetector(maintenance)
    if is_dry_run:
        lost = await recovery.find(older_than=older_than)
        alarms = await detector.drifted()
        return FullRecovery(lost, alarms, await _served(maintenance, alarms))
    temporal = (starter, wiring.build_schedule_client(client))
    await settle_restore(ports, temporal, clock)
    lost = await recovery.carry_on(older_than=older_than)
    alarms = await detector.restore()
    return FullRecovery(lost, alarms, await _served(maintenance, alarms))


async def _served(
    maintenance: ScheduleMaintenance, alarms: Sequence[StoredAlarm]
) -> list[tuple[SubscriptionId, str]]:
    return [served for alarm in alarms for served in await maintenance.served_by(alarm)]


class RecoveryLoop:
    """Only one worker compares at a time; it takes turns with the drift detector."""

    def __init__(self, recovery: Recovery, register: ScheduleRegister) -> None:
        self._recovery = recovery
        self._register = register
        # Kept in memory only: a new worker looks at all firings once, and wakes quiet workflows.
        self._checked_until: datetime | None = None
        self._has_woken = False

    async def carry_on(self) -> int:
        """Carry on what Temporal does not know; return how many runs and firings that were.

        RefusedError, after all others were carried on, if Temporal refuses one.
        """
        async with self._register.drift_lock() as is_ours:
            if not is_ours:
                return 0
            recovered = await self._recovery.carry_on(since=self._checked_until)
            if not self._has_woken:
                await self._recovery.wake_quiet()
                self._has_woken = True
        self._checked_until = recovered.checked_until
        if not recovered.is_empty:
            _LOG.warning(
                "%d open runs had no workflow that can go on, and %d started firings had no run; "
                "they were started again",
                len(recovered.runs),
                len(recovered.firings),
            )
        if recovered.refused:
            firing, reason = recovered.refused[0]
            count = count_noun(len(recovered.refused), "run", "runs")
            raise RefusedError(
                f"Temporal refuses to carry on {count}; the first is {firing.run_id}: {reason}"
            )
        return len(recovered.runs) + len(recovered.firings)
