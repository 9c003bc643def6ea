"""One subscription on real servers, and what tests do with its runs."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import Client

from activityctl import wiring
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import (
    OperatorStatus,
    SubscriptionManifest,
)
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values import ids
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.domain.values.selection import Selection
from activityctl.operations.gitops.apply import apply
from activityctl.operations.runs.actions import cancel, change_status, trigger

TELL_TIME = {"name": "tell", "command": {"argv": ["date", "+%s.%N"]}}


def now() -> datetime:
    return datetime.now(UTC)


class RunHarness:
    """Applies one subscription, named after its test, fires it and reads its runs."""

    def __init__(self, ports: wiring.Ports, client: Client, name: str) -> None:
        self.ports = ports
        self.client = client
        self.name = name

    @property
    def owner(self) -> ids.SubscriptionId:
        return ids.subscription_id(self.name)

    async def apply(self, *triggers: Mapping[str, Any], **spec: Any) -> None:
        """Apply the definition with these triggers, and wait until Temporal has the alarms."""
        await self.write(*triggers, **spec)
        async with asyncio.timeout(60):
            while await self.ports.register.unsynced(10):
                await asyncio.sleep(0.02)

    async def write(self, *triggers: Mapping[str, Any], **spec: Any) -> None:
        metadata = {"name": self.name}
        whole = {"triggers": triggers, "tasks": [TELL_TIME], **spec}
        definition = ActivityDefinition.model_validate_json(
            json.dumps({"metadata": metadata, "spec": whole})
        )
        manifest = SubscriptionManifest.model_validate(
            {"metadata": metadata, "spec": {"activity": self.name}}
        )
        manifests = ManifestSet({self.name: definition}, {self.name: manifest}, {})
        catalog, workers = self.ports.catalog, self.ports.workers
        await apply(manifests, catalog, self.ports.register, workers, now, timeout_seconds=60)

    async def fire(self, key: str, /, **payload: object) -> str:
        catalog, outbox = self.ports.catalog, self.ports.outbox
        subscription = await catalog.find_subscription(self.name)
        firing = await trigger(catalog, outbox, subscription, now(), key=key, payload=payload)
        return firing.ref.run_id

    async def cancel(self, run_id: str) -> None:
        await cancel(self.ports.runs, self.ports.run_lists, run_id, now())

    async def set_status(self, status: OperatorStatus) -> None:
        subscription = await self.ports.catalog.find_subscription(self.name)
        await change_status(self.ports.catalog, subscription, status, now())

    async def runs(self) -> list[Run]:
        """Return all runs, by nominal time."""
        found = await self.ports.run_lists.runs(Selection(limit=1000))
        return sorted(found, key=lambda run: run.due_at)

    async def run(self, run_id: str) -> Run | None:
        state = await self.ports.runs.load(run_id)
        return None if state is None else state.run

    async def until(self, run_id: str, holds: Callable[[Run], bool], seconds: float = 120) -> Run:
        async with asyncio.timeout(seconds):
            while (run := await self.run(run_id)) is None or not holds(run):
                await asyncio.sleep(0.02)
        return run

    async def ended(self, run_id: str) -> Run:
        return await self.until(run_id, lambda run: run.has_ended)

    async def is_(self, run_id: str, status: RunStatus) -> Run:
        return await self.until(run_id, lambda run: run.status is status)

    async def count(self, wanted: int, seconds: float = 120) -> list[Run]:
        """Wait until that many runs have ended; return all ended runs."""
        async with asyncio.timeout(seconds):
            while True:
                ended = [run for run in await self.runs() if run.has_ended]
                if len(ended) >= wanted:
                    return ended
                await asyncio.sleep(0.05)

    async def ended_up_to(self, moment: datetime) -> list[Run]:
        """Return all runs due up to then, once they have ended and a later time was decided.

        A later firing may get its run before an earlier one, which somebody else had decided.
        """
        outbox, unfinished = self.ports.outbox, self.ports.unfinished
        async with asyncio.timeout(120):
            while True:
                without_run = await unfinished.firings_without_run(timedelta(0), 1)
                is_settled = not without_run and not await outbox.waiting()
                runs = await self.runs()
                due = [run for run in runs if run.due_at <= moment]
                if is_settled and len(runs) > len(due) and all(run.has_ended for run in due):
                    return due
                await asyncio.sleep(0.1)

    async def begun_at(self, run_id: str) -> datetime:
        """Return when the task of the run was running, by the clock of the machine."""
        (task,) = await self.ports.run_lists.tasks(Selection(run_id=run_id))
        return datetime.fromtimestamp(float(task.output["stdout"]), UTC)

    async def log_messages(self) -> list[str]:
        page, _ = await self.ports.logbook.page(LogFilter((self.owner,)), Cursor(), limit=1000)
        return [entry.message for entry in page]
