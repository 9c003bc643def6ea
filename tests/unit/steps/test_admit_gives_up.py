"""`admit` repeats an outage for ever, and ends the run for an error that does not go away."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.timing.firing import FiringRef, FiringRequest
from activityctl.domain.values import ids
from activityctl.errors import UnreachableError, UnstorableError
from activityctl.steps.admit import AdmitStep

NOW = datetime(2026, 5, 1, tzinfo=UTC)
OWNER = ids.subscription_id("mine")
FIRING = FiringRequest(OWNER, "manual", "manual/key", NOW)


class Failing:
    """Gates whose `enter` raises an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def enter(self, *_: object) -> Any:
        raise self.error


@pytest.fixture
async def ports() -> MemoryPorts:
    made = memory_ports()
    named = {"metadata": {"name": "mine"}}
    spec = {
        "concurrency": {"policy": "queue", "limit": 1},
        "tasks": [{"name": "a", "command": {"argv": ["true"]}}],
    }
    definition = ActivityDefinition.model_validate_json(json.dumps({**named, "spec": spec}))
    manifest = SubscriptionManifest.model_validate_json(
        json.dumps({**named, "spec": {"activity": "mine"}})
    )
    wanted = Wanted({"mine": definition}, {"mine": manifest})
    async with made.catalog.changing():
        await made.catalog.write(plan_changes(wanted, await made.catalog.present()), NOW)
    await made.outbox.add([FIRING], NOW)
    return made


class Bench:
    """The step `admit` with gates that raise the error that is set."""

    def __init__(self, ports: MemoryPorts) -> None:
        self.gates: Any = Failing(RuntimeError())
        self.step = AdmitStep(ports.runs, ports.timetable, self.gates, {}, lambda: NOW)

    async def admit(self, error: Exception) -> bool:
        """Admit; return whether the workflow ends."""
        self.gates.error = error
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, workflow_id=FIRING.ref.workflow_id)
        firings: list[FiringRef] = [FIRING.ref]
        (orders,) = await environment.run(self.step.admit, firings)
        return bool(orders.is_over)


async def test_a_run_begins_after_it_was_let_in_not_before(ports: MemoryPorts):
    """The run before it ends while this one waits for the gate."""
    now = [NOW]

    class Slow:
        async def enter(self, *arguments: Any) -> Any:
            now[0] += timedelta(milliseconds=134)
            return await ports.gates.enter(*arguments)

    step = AdmitStep(ports.runs, ports.timetable, Slow(), {}, lambda: now[0])  # type: ignore[arg-type]
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=FIRING.ref.workflow_id)
    await environment.run(step.admit, [FIRING.ref])
    run = await ports.run_lists.find_run(FIRING.ref.run_id)
    assert run.started_at == NOW + timedelta(milliseconds=134)


@pytest.mark.parametrize(
    ("error", "tries", "reason"),
    [
        (UnstorableError("too large"), 2, "admitted in several tries: too large"),
        (KeyError("secret"), 8, "KeyError, see the worker's log"),
    ],
)
async def test_an_error_that_does_not_go_away_ends_the_run(
    ports: MemoryPorts, error: Exception, tries: int, reason: str
):
    bench = Bench(ports)
    for _ in range(20):  # an outage before it does not count
        with pytest.raises(UnreachableError):
            await bench.admit(UnreachableError("Postgres does not answer"))
    for _ in range(tries - 1):
        with pytest.raises(type(error)):
            await bench.admit(error)
    assert await bench.admit(error)
    run = await ports.run_lists.find_run(FIRING.ref.run_id)
    assert run.status is RunStatus.FAILED
    assert run.reason is not None
    assert run.reason.endswith(reason)
