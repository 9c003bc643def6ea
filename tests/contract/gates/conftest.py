"""Fixtures for the tests of the Gates port: a subscription with limits, and its runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.adapters.memory.runs.gates import MemoryGates
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.concurrency import GateResult
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRef, FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.domain.values.selection import Selection
from activityctl.ports import OpenResult

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]


@dataclass(frozen=True, slots=True)
class GatedSubscription:
    """A subscription with limits, and methods that take its runs through the gate."""

    ports: wiring.Ports
    subscription: Subscription
    now: datetime

    def firing(self, key: str) -> FiringRef:
        return FiringRequest(self.subscription.id, "manual", key, self.now).ref

    async def arrives(self, key: str, **payload: Any) -> GateResult:
        """Ask the gate about a new run; the payload goes into its keys."""
        firing = self.firing(key)
        facts = await self.ports.runs.admission_input(firing)
        assert facts is not None
        run = new_run(firing, replace(facts, payload=payload), self.now)
        return await self.ports.gates.enter(run, facts.spec, firing.workflow_id)

    def id(self, key: str) -> ids.RunId:
        return self.firing(key).run_id

    async def run(self, key: str) -> Run:
        state = await self.ports.runs.load(self.id(key))
        assert state is not None
        return state.run

    async def begins(self, key: str) -> None:
        """Begin the run as its workflow does."""
        run = await self.run(key)
        change = RunChange(replace(run, status=RunStatus.RUNNING, started_at=self.now))
        later = ids.let_in_workflow_id(run.subscription_id, run.trigger, run.firing_key)
        openings = [
            await self.ports.runs.open(workflow_id, change)
            for workflow_id in (self.firing(key).workflow_id, later)
        ]
        assert openings.count(OpenResult.OPENED) == 1

    async def ends(self, key: str, status: RunStatus = RunStatus.SUCCEEDED) -> None:
        """End the run; begin it before that when it is to succeed and has not begun."""
        if status is RunStatus.SUCCEEDED and (await self.run(key)).started_at is None:
            await self.begins(key)
        async with self.ports.runs.locked(self.id(key)) as locked:
            assert locked.state is not None
            ended = replace(locked.state.run, status=status, ended_at=self.now)
            await locked.save(RunChange(ended))

    async def let_in(self, limit: int = 100) -> list[str]:
        """Let in the queued runs that may start now and return their firing keys."""
        firings = await self.ports.gates.let_in(limit, again_after=timedelta(days=1))
        return [firing.firing_key for firing in firings]

    async def pass_time(self, by: timedelta) -> None:
        """Move the times at which runs were let in back by that much."""
        gates = self.ports.gates
        if isinstance(gates, MemoryGates):
            for key, row in gates._state.runs.items():
                moved = row.let_in_at and row.let_in_at - by
                gates._state.runs[key] = replace(row, let_in_at=moved)
        else:
            database = gates._database
            await database.fetch("UPDATE runs SET let_in_at = let_in_at - %(by)s", by=by)

    async def messages(self, key: str) -> list[str]:
        entries, _ = await self.ports.logbook.page(
            LogFilter((self.subscription.id,), self.id(key)), Cursor(), limit=1000
        )
        return [entry.message for entry in entries]

    async def statuses(self) -> dict[str, RunStatus]:
        runs = await self.ports.run_lists.runs(Selection(limit=1000))
        return {run.firing_key: run.status for run in runs}


@pytest.fixture
def gated(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe, now: datetime
) -> Callable[..., Awaitable[GatedSubscription]]:
    """Return a function that applies a subscription whose definition has these limits."""

    async def make(policy: str | None = None, **gates: Any) -> GatedSubscription:
        spec = {field: gates.pop(field) for field in ("throttle", "onSkip") if field in gates}
        if policy is not None:
            spec["concurrency"] = {"policy": policy, **gates}
        await apply(define("digest", **spec), subscribe("mine"))
        return GatedSubscription(ports, await ports.catalog.find_subscription("mine"), now)

    return make
