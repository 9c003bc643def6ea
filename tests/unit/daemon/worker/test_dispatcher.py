"""The dispatcher starts what waits: bursts in shared workflows, and nothing before its turn."""

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


class Desk:
    """A dispatcher over the twins, and the room it waits for."""

    def __init__(self, ports: MemoryPorts) -> None:
        self.ports = ports
        self.starter = MemoryRunStarter()
        self.room = asyncio.Event()
        self.room.set()
        recorder = RecordStep(ports.runs, lambda: NOW)
        self.dispatcher = Dispatcher(
            ports.outbox, ports.runs, self.starter, recorder, lambda: NOW, self._room
        )

    async def _room(self) -> None:
        await self.room.wait()

    async def ask(self, count: int) -> None:
        firings = [FiringRequest(OWNER, "manual", f"key-{one}", NOW) for one in range(count)]
        await self.ports.outbox.add(firings, NOW)

    @property
    def workflows(self) -> list[str]:
        return list(dict.fromkeys(one.workflow_id for one in self.starter.started))


@pytest.fixture
async def desk() -> Desk:
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
    return Desk(ports)


async def test_a_few_firings_have_a_workflow_each(desk: Desk) -> None:
    await desk.ask(3)
    assert await desk.dispatcher.start_due() == 3
    assert len(desk.workflows) == 3
    assert not any(ids.is_batch(one) for one in desk.workflows)


async def test_a_burst_shares_workflows_and_each_firing_is_started_once(desk: Desk) -> None:
    await desk.ask(250)
    assert await desk.dispatcher.start_due() == 250
    assert len({one.run_id for one in desk.starter.started}) == 250
    assert len(desk.workflows) < 20
    assert all(ids.is_batch(one) for one in desk.workflows)
    assert await desk.dispatcher.start_due() == 0


async def test_a_burst_that_temporal_does_not_take_stays_in_the_outbox(desk: Desk) -> None:
    await desk.ask(30)
    desk.starter.failure = UnreachableError("away")
    assert await desk.dispatcher.start_due() == 0
    assert await desk.ports.outbox.waiting() == 30
    desk.starter.failure = None
    assert await desk.dispatcher.start_due() == 30


async def test_nothing_is_claimed_before_there_is_room(desk: Desk) -> None:
    desk.room.clear()
    await desk.ask(30)
    dispatching = asyncio.create_task(desk.dispatcher.start_due())
    await asyncio.sleep(0.05)
    assert not desk.starter.started
    desk.room.set()
    assert await dispatching == 30
