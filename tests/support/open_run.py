"""One open run with one task, in memory, and the step that executes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temporalio.testing import ActivityEnvironment

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.admission import begin, new_run
from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.log import LogFilter
from activityctl.domain.values.selection import Selection
from activityctl.steps.execute import ExecuteStep
from activityctl.steps.record import RecordStep
from activityctl.workflows.calls import Orders, TaskOrder

NOW = datetime(2026, 5, 1, tzinfo=UTC)
OWNER = ids.subscription_id("mine")


@dataclass
class OpenRun:
    ports: MemoryPorts
    step: ExecuteStep
    order: TaskOrder

    async def execute(self) -> Orders:
        return await ActivityEnvironment().run(self.step.execute, self.order)

    async def tasks(self) -> list[TaskInstance]:
        return await self.ports.run_lists.tasks(Selection(run_id=self.order.run_id))

    async def facts(self) -> list[Any]:
        run = await self.ports.run_lists.find_run(self.order.run_id)
        letters = await self.ports.run_lists.dead_letters(Selection())
        return [repr(run), repr(await self.tasks()), repr(letters)]

    async def entries(self) -> list[str]:
        start = await self.ports.logbook.tail(LogFilter((OWNER,)), 100)
        entries, _ = await self.ports.logbook.page(LogFilter((OWNER,)), start, limit=100)
        return [repr(entry) for entry in entries]


async def open_run(
    body: Any,
    executor: Any,
    secrets: Any,
    attempts: int = 1,
    payload: Mapping[str, Any] | None = None,
) -> OpenRun:
    """Return an open run of one `command` task with this body, executor and secrets."""
    ports = memory_ports()
    named = {"metadata": {"name": "mine"}}
    retry = {"maxAttempts": attempts}
    spec = {"tasks": [{"name": "a", "command": body, "retry": retry}]}
    definition = ActivityDefinition.model_validate_json(json.dumps({**named, "spec": spec}))
    manifest = SubscriptionManifest.model_validate_json(
        json.dumps({**named, "spec": {"activity": "mine"}})
    )
    wanted = Wanted({"mine": definition}, {"mine": manifest})
    async with ports.catalog.changing():
        await ports.catalog.write(plan_changes(wanted, await ports.catalog.present()), NOW)
    firing = FiringRequest(OWNER, "manual", "manual/key", NOW, payload or {})
    await ports.outbox.add([firing], NOW)
    facts = await ports.runs.admission_input(firing.ref)
    assert facts is not None
    run, decision = begin(new_run(firing.ref, facts, NOW), facts.spec, NOW)
    await ports.runs.open("w", run_change(run, decision, NOW))
    (task,) = decision.start or decision.create
    step = ExecuteStep(
        ports.runs,
        ports.logbook,
        {"command": executor},
        RecordStep(ports.runs, lambda: NOW),
        lambda: NOW,
        "here",
        lanes=ports.lanes,
        guards=ports.guards,
        secrets=secrets,
    )
    return OpenRun(ports, step, TaskOrder(OWNER, run.id, task.id, attempts, 60.0))
