"""`admit` repeats an outage for ever, and ends the run for an error that does not go away."""

import json
from dataclasses import replace
from datetime import UTC, datetime
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


async def admit(ports: MemoryPorts, error: Exception, attempt: int) -> bool:
    """Admit in the given attempt; return whether the workflow ends."""
    gates: Any = Failing(error)
    step = AdmitStep(ports.runs, ports.timetable, gates, {}, lambda: NOW)
    environment = ActivityEnvironment()
    workflow = FIRING.ref.workflow_id
    environment.info = replace(environment.info, attempt=attempt, workflow_id=workflow)
    firings: list[FiringRef] = [FIRING.ref]
    (orders,) = await environment.run(step.admit, firings)
    return bool(orders.is_over)


@pytest.mark.parametrize(
    ("error", "tries", "reason"),
    [
        (UnstorableError("too large"), 2, "the run could not be admitted in 2 tries: too large"),
        (KeyError("secret"), 8, "KeyError, see the worker's log"),
    ],
)
async def test_an_error_that_does_not_go_away_ends_the_run(
    ports: MemoryPorts, error: Exception, tries: int, reason: str
):
    with pytest.raises(type(error)):
        await admit(ports, error, tries - 1)
    assert await admit(ports, error, tries)
    run = await ports.run_lists.find_run(FIRING.ref.run_id)
    assert run.status is RunStatus.FAILED
    assert run.reason is not None
    assert run.reason.endswith(reason)


async def test_an_outage_is_waited_for_without_limit(ports: MemoryPorts):
    with pytest.raises(UnreachableError):
        await admit(ports, UnreachableError("Postgres does not answer"), 10_000)
