"""The dispatcher starts firings: bursts in shared workflows, and only while there is capacity."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.adapters.memory.temporal import MemoryRunStarter
from activityctl.daemon.worker.dispatcher import Dispatcher
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.errors import UnreachableError
from activityctl.steps.record import RecordStep

NOW = datetime(2026, 5, 1, tzinfo=UTC)
OWNER = ids.subscription_id("mine")


class Bench:
    """A dispatcher on the memory adapters, with an event for the capacity that it waits for."""

    def __init__(self, ports: MemoryPorts) -> None:
        self.ports = ports
        self.starter = MemoryRunStarter()
        self.capacity = asyncio.Event()
        self.capacity.set()
        recorder = RecordStep(ports.runs, lambda: NOW)
        self.dispatcher = Dispatcher(
            ports.outbox, ports.runs, self.starter, recorder, lambda: NOW, self._wait_for_capacity
        )

    async def _wait_for_capacity(self) -> None:
        await self.capacity.wait()

    async def request(self, count: int) -> None:
        firings = [FiringRequest(OWNER, "manual", f"key-{number}", NOW) for number in range(count)]
        await self.ports.outbox.add(firings, NOW)

    @property
    def workflows(self) -> list[str]:
        return list(dict.fromkeys(firing.workflow_id for firing in self.starter.started))


@pytest.fixture
async def bench() -> Bench:
    ports = memory_ports()
    named = {"metadata": {"name": "mine"}}
    spec = {"tasks": [{"name": "a", "command": {"argv": ["true"]}}]}
    definition = ActivityDefinition.model_validate_json(json.dumps({**named, "spec": spec}))
    manifest = SubscriptionManifest.model_validate_json(
        json.dumps({**named, "spec": {"activity": "mine"}})
    )
    wanted = Wanted({"mine": definition}, {"mine": manifest})
    async with ports.catalog.changing():
        await ports.catalog.write(plan_changes(wanted, await ports.catalog.present()), NOW)
    return Bench(ports)


async def test_a_few_firings_have_a_workflow_each(bench: Bench) -> None:
    await bench.request(3)
    assert await bench.dispatcher.start_due() == 3
    assert len(bench.workflows) == 3
    assert not any(ids.is_batch(workflow) for workflow in bench.workflows)


async def test_a_burst_shares_workflows_and_each_firing_is_started_once(bench: Bench) -> None:
    await bench.request(250)
    assert await bench.dispatcher.start_due() == 250
    assert len({firing.run_id for firing in bench.starter.started}) == 250
    assert len(bench.workflows) < 20
    assert all(ids.is_batch(workflow) for workflow in bench.workflows)
    assert await bench.dispatcher.start_due() == 0


async def test_a_burst_that_temporal_does_not_accept_stays_in_the_outbox(bench: Bench) -> None:
    await bench.request(30)
    bench.starter.failure = UnreachableError("away")
    assert await bench.dispatcher.start_due() == 0
    assert await bench.ports.outbox.waiting() == 30
    bench.starter.failure = None
    assert await bench.dispatcher.start_due() == 30


async def test_nothing_is_claimed_before_there_is_capacity(bench: Bench) -> None:
    bench.capacity.clear()
    await bench.request(30)
    dispatching = asyncio.create_task(bench.dispatcher.start_due())
    await asyncio.sleep(0.05)
    assert not bench.starter.started
    bench.capacity.set()
    assert await dispatching == 30
