"""One subscription on the shared Temporal, and what tests do with its schedules."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleDescription,
    ScheduleIntervalSpec,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from activityctl import wiring
from activityctl.daemon.worker.drift_detector import DriftDetector
from activityctl.daemon.worker.reconciler import Reconciler
from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import (
    OperatorStatus,
    SubscriptionManifest,
)
from activityctl.domain.timing.alarm import alarm_id_of
from activityctl.domain.timing.trigger import trigger_of
from activityctl.domain.values import ids
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.operations.gitops.apply import apply
from activityctl.operations.gitops.history import delete
from activityctl.operations.runs.actions import change_status

FAR = {"schedule": "7 3 1 1 *", "timezone": "Europe/Berlin", "jitter": "30s"}
OFTEN = {"name": "often", "cron": FAR}
TASKS = [{"name": "one", "command": {"argv": ["true"]}}]


def now() -> datetime:
    return datetime.now(UTC)


class ScheduleHarness:
    """Applies one subscription, changes its schedules behind our back, and repairs them."""

    def __init__(self, ports: wiring.Ports, client: Client, name: str) -> None:
        self.ports = ports
        self.client = client
        self.name = name
        upkeep = ScheduleMaintenance(
            ports.register, wiring.build_schedule_client(client), ports.logbook, now
        )
        self.reconciler = Reconciler(upkeep)
        self.drift_detector = DriftDetector(upkeep)

    @property
    def owner(self) -> ids.SubscriptionId:
        return ids.subscription_id(self.name)

    def alarm(self, kind: str = "cron", **body: Any) -> str:
        return alarm_id_of(trigger_of(kind, body or FAR))

    async def apply(self, *triggers: Mapping[str, Any], **params: Any) -> None:
        """Apply the definition with these triggers and its subscription, and reconcile."""
        metadata = {"name": self.name}
        spec = {
            "params": {"type": "object", "additionalProperties": True},
            "triggers": triggers or [OFTEN],
            "tasks": TASKS,
        }
        definition = ActivityDefinition.model_validate_json(
            json.dumps({"metadata": metadata, "spec": spec})
        )
        manifest = SubscriptionManifest.model_validate(
            {"metadata": metadata, "spec": {"activity": self.name, "params": params}}
        )
        manifests = ManifestSet({self.name: definition}, {self.name: manifest}, {})
        catalog, register, workers = self.ports.catalog, self.ports.register, self.ports.workers
        await apply(manifests, catalog, register, workers, now, timeout_seconds=0)
        await self.reconciler.reconcile()

    async def set_status(self, status: OperatorStatus) -> None:
        subscription = await self.ports.catalog.find_subscription(self.name)
        await change_status(self.ports.catalog, subscription, status, now())
        await self.reconciler.reconcile()

    async def delete(self) -> None:
        await delete(self.ports.catalog, "Subscription", self.name, now, UNKNOWN_ORIGIN)
        await self.reconciler.reconcile()

    async def describe(self, alarm: str | None = None) -> ScheduleDescription | None:
        try:
            return await self.client.get_schedule_handle(alarm or self.alarm()).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return None

    async def alter(self, change: Callable[[Schedule], None]) -> None:
        def changed(given: ScheduleUpdateInput) -> ScheduleUpdate:
            change(given.description.schedule)
            return ScheduleUpdate(given.description.schedule)

        await self.client.get_schedule_handle(self.alarm()).update(changed)

    async def create(self, schedule_id: str, workflow: str = "Foreign") -> None:
        action = ScheduleActionStartWorkflow(workflow, id="x", task_queue="nobody-serves-it")
        spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(days=700))])
        await self.client.create_schedule(schedule_id, Schedule(action=action, spec=spec))

    async def listed(self, schedule_id: str, *, paused: bool | None = None) -> None:
        """Wait until the listing of Temporal, which lags, shows the schedule with that status."""
        async with asyncio.timeout(60):
            while True:
                async for found in await self.client.list_schedules():
                    assert found.schedule is not None
                    if found.id == schedule_id and paused in {None, found.schedule.state.paused}:
                        return
                await asyncio.sleep(0.05)

    async def log_messages(self) -> list[str]:
        """Return the messages of the subscription's log; all must be warnings."""
        subscription = ids.subscription_id(self.name)
        page, _ = await self.ports.logbook.page(LogFilter((subscription,)), Cursor(), limit=100)
        assert {entry.level for entry in page} <= {"warning"}
        return [entry.message for entry in page]
