"""Carries out runs as their workflows do, with the real steps on ports in memory."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activityctl.adapters.memory.ports import memory_ports
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.admission import begin, new_run
from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.steps.execute import ExecuteStep
from activityctl.steps.orders import orders_of
from activityctl.steps.record import RecordStep
from activityctl.workflows.calls import Orders, TaskOrder

NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Flow:
    """Carries a run out as its workflow does, with the real steps on ports in memory."""

    def __init__(self, executor: Any, tasks: list[dict[str, Any]], **spec: Any) -> None:
        self.ports = memory_ports()
        self.executor = executor
        self.recorder = RecordStep(self.ports.runs, lambda: NOW)
        self.step = self.worker("here")
        self.calls = 0
        self.spec = {"tasks": tasks, **spec}

    def worker(self, name: str) -> ExecuteStep:
        executors: Any = {self.executor.kind: self.executor}
        runs, logbook = self.ports.runs, self.ports.logbook
        clock = lambda: NOW  # noqa: E731
        return ExecuteStep(
            runs,
            logbook,
            executors,
            self.recorder,
            clock,
            name,
            lanes=self.ports.lanes,
            guards=self.ports.guards,
        )

    async def admit(self) -> Orders:
        named = {"metadata": {"name": "mine"}}
        definition = ActivityDefinition.model_validate_json(
            json.dumps({**named, "spec": self.spec})
        )
        manifest = SubscriptionManifest.model_validate({**named, "spec": {"activity": "mine"}})
        catalog = self.ports.catalog
        async with catalog.changing():
            wanted = Wanted({"mine": definition}, {"mine": manifest})
            await catalog.write(plan_changes(wanted, await catalog.present()), NOW)
        firing = FiringRequest(ids.subscription_id("mine"), "manual", "manual/1", NOW)
        await self.ports.outbox.add([firing], NOW)
        facts = await self.ports.runs.admission_input(firing.ref)
        assert facts is not None
        run, decision = begin(new_run(firing.ref, facts, NOW), facts.spec, NOW)
        change = run_change(run, decision, NOW)
        await self.ports.runs.open(firing.ref.workflow_id, change)
        self.run_id = run.id
        return orders_of(change.run, facts.spec, decision)

    async def carry(self, orders: Orders) -> None:
        """Execute every order once, and those that follow, until the run is over."""
        known: set[str] = set()
        working: set[asyncio.Task[Orders]] = set()
        while not orders.is_over:
            for order in orders.start:
                if order.task_id not in known:
                    known.add(order.task_id)
                    working.add(asyncio.create_task(self.call(order)))
            assert working, "the run is not over but has no task"
            done, working = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
            answers = [task.result() for task in done]
            start = [order for answer in answers for order in answer.start]
            orders = Orders(self.run_id, any(answer.is_over for answer in answers), start)

    async def call(self, order: TaskOrder) -> Orders:
        """Call the step as Temporal does, again after each failure."""
        while True:
            self.calls += 1
            try:
                return await ActivityEnvironment().run(self.step.execute, order)
            except ApplicationError:
                continue

    async def tasks(self, name: str | None = None) -> list[TaskInstance]:
        found = await self.ports.run_lists.tasks(Selection(run_id=self.run_id, limit=1000))
        wanted = (task for task in found if name in (None, task.name))
        return sorted(wanted, key=lambda task: (task.index, task.name))
