"""What a test of runs does with one database: apply, fire, and read the results."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from activityctl import wiring
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import (
    OperatorStatus,
    Subscription,
    SubscriptionManifest,
)
from activityctl.domain.runs.run import Run, TaskInstance
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter
from activityctl.domain.values.selection import Selection
from activityctl.operations.gitops.apply import apply
from activityctl.operations.gitops.history import delete
from activityctl.operations.runs.actions import cancel, change_status, trigger
from support.commands import is_at_work

Spec = Mapping[str, Any]
NAME = "sample"
ANY_PARAMS = {"type": "object", "additionalProperties": True}


def now() -> datetime:
    return datetime.now(UTC)


def shell(script: str, **fields: object) -> dict[str, Any]:
    """Make a task named `one` that runs a script; `fields` replace its fields."""
    return {"name": "one", "command": {"shell": script}, **fields}


async def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


def lives(pid_file: Path) -> bool:
    """Return whether the process runs."""
    return is_at_work(int(pid_file.read_text()))


class Engine:
    """What a test does with one database: apply, fire, and read the results."""

    def __init__(self, ports: wiring.Ports) -> None:
        self.ports = ports

    async def apply(self, spec: Spec, params: Mapping[str, Any] | None = None) -> Subscription:
        """Apply the sample definition with this spec, and its subscription."""
        named = {"metadata": {"name": NAME}}
        whole = {**named, "spec": {"params": ANY_PARAMS, **spec}}
        definition = ActivityDefinition.model_validate_json(json.dumps(whole))
        wanted = {**named, "spec": {"activity": NAME, "params": params or {}}}
        manifest = SubscriptionManifest.model_validate(wanted)
        manifests = ManifestSet({NAME: definition}, {NAME: manifest}, {})
        catalog, workers = self.ports.catalog, self.ports.workers
        applied = await apply(
            manifests, catalog, self.ports.register, workers, now, timeout_seconds=60
        )
        assert not applied.errors
        return await catalog.find_subscription(NAME)

    async def fire(self, key: str | None = None, **payload: object) -> str:
        """Trigger a run and return its id."""
        catalog, outbox = self.ports.catalog, self.ports.outbox
        subscription = await catalog.find_subscription(NAME)
        firing = await trigger(catalog, outbox, subscription, now(), key=key, payload=payload)
        return firing.ref.run_id

    async def fire_many(self, *keys: str) -> list[str]:
        """Trigger runs with these keys together, and return their ids."""
        subscription = await self.ports.catalog.find_subscription(NAME)
        requests = [
            FiringRequest(subscription.id, "manual", f"manual/{key}", now()) for key in keys
        ]
        await self.ports.outbox.add(requests, now())
        return [request.ref.run_id for request in requests]

    async def run(self, spec: Spec, params: Mapping[str, Any] | None = None) -> Run:
        """Apply the spec, trigger a run, wait for its end, and return it."""
        await self.apply(spec, params)
        return await self.ended(await self.fire())

    async def ended(self, run_id: str, seconds: float = 120) -> Run:
        async with asyncio.timeout(seconds):
            while True:
                state = await self.ports.runs.load(run_id)
                if state is not None and state.run.has_ended:
                    return state.run
                await asyncio.sleep(0.02)

    async def run_of(self, run_id: str) -> Run:
        return await self.ports.run_lists.find_run(run_id)

    async def runs(self) -> list[Run]:
        return await self.ports.run_lists.runs(Selection(limit=1000))

    async def tasks(self, run_id: str) -> dict[str, TaskInstance]:
        """Return the task instances of the run, by name or by `name[index]`."""
        found = await self.ports.run_lists.tasks(Selection(run_id=run_id))
        return {
            task.name if task.of is None else f"{task.name}[{task.index}]": task for task in found
        }

    async def log(self, run_id: str) -> list[LogEntry]:
        run = await self.ports.run_lists.find_run(run_id)
        logbook = self.ports.logbook
        page, _ = await logbook.page(LogFilter((run.subscription_id,), run_id), Cursor(), limit=500)
        return page

    async def cancel(self, run_id: str) -> None:
        await cancel(self.ports.runs, self.ports.run_lists, run_id, now())

    async def set_status(self, status: OperatorStatus) -> None:
        """Pause or resume, and wait until Temporal has the new status."""
        subscription = await self.ports.catalog.find_subscription(NAME)
        await change_status(self.ports.catalog, subscription, status, now())
        await self.synced()

    async def delete(self) -> None:
        """Delete the subscription, and wait until its schedules are deleted."""
        await delete(self.ports.catalog, "Subscription", NAME, now, UNKNOWN_ORIGIN)
        await self.synced()

    async def synced(self) -> None:
        async with asyncio.timeout(60):
            while await self.ports.register.unsynced(10):
                await asyncio.sleep(0.02)

    async def dead_letters(self) -> list[str]:
        return [letter.reason for letter in await self.ports.run_lists.dead_letters(Selection())]
