"""The reconciler syncs any number of alarms, and ends when Temporal does not accept them."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.daemon.worker.reconciler import Reconciler
from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.timing.alarm import Alarm
from activityctl.errors import UnreachableError

NOW = datetime(2026, 5, 1, tzinfo=UTC)
MANY = 2_400  # more than two batches


@pytest.fixture
async def ports() -> MemoryPorts:
    """A catalog that wants many alarms, none of which exists in Temporal."""
    found = memory_ports()
    definition = ActivityDefinition.model_validate_json(
        json.dumps(
            {
                "metadata": {"name": "d"},
                "spec": {
                    "tasks": [{"name": "a", "say": {}}],
                    "triggers": [{"name": "hourly", "interval": {"every": "1h"}}],
                },
            }
        )
    )
    subscriptions = {
        f"s{number}": SubscriptionManifest.model_validate_json(
            json.dumps(
                {
                    "metadata": {"name": f"s{number}"},
                    "spec": {
                        "activity": "d",
                        "triggers": {"hourly": {"interval": {"every": f"{3600 + number}s"}}},
                    },
                }
            )
        )
        for number in range(MANY)
    }
    async with found.catalog.changing():
        wanted = Wanted({"d": definition}, subscriptions)
        await found.catalog.write(plan_changes(wanted, await found.catalog.present()), NOW)
    return found


def reconciler_of(ports: MemoryPorts, client: Any) -> Reconciler:
    return Reconciler(ScheduleMaintenance(ports.register, client, ports.logbook, lambda: NOW))


async def test_one_call_syncs_all_alarms(ports: MemoryPorts):
    reconciler = reconciler_of(ports, ports.schedule_client)
    assert await reconciler.reconcile() == MANY
    assert await ports.register.unsynced(MANY) == []
    assert await reconciler.reconcile() == 0


class Refusing:
    """A schedule client that accepts only some of the alarms."""

    def __init__(self, ports: MemoryPorts, takes: int) -> None:
        self._schedule_client = ports.schedule_client
        self._left = takes
        self.calls = 0

    async def create_or_update(self, alarm_id: str, alarm: Alarm) -> None:
        self.calls += 1
        if not self._left:
            raise UnreachableError("Temporal: busy")
        self._left -= 1
        await self._schedule_client.create_or_update(alarm_id, alarm)


@pytest.mark.parametrize("takes", [0, 1_400])
async def test_alarms_that_temporal_does_not_accept_stay_unsynced(ports: MemoryPorts, takes: int):
    client = Refusing(ports, takes)
    with pytest.raises(UnreachableError, match="busy"):
        await reconciler_of(ports, client).reconcile()
    left = await ports.register.unsynced(MANY)
    assert len(left) == MANY - takes
    assert client.calls <= takes + 2_000


class Hanging:
    """A schedule client whose first call waits until it is released."""

    def __init__(self, ports: MemoryPorts) -> None:
        self._schedule_client = ports.schedule_client
        self._is_first = True
        self.released = asyncio.Event()

    async def create_or_update(self, alarm_id: str, alarm: Alarm) -> None:
        is_first, self._is_first = self._is_first, False
        if is_first:
            await self.released.wait()
        await self._schedule_client.create_or_update(alarm_id, alarm)


async def test_synced_alarms_are_marked_while_another_call_still_waits(ports: MemoryPorts):
    client = Hanging(ports)
    reconciling = asyncio.create_task(reconciler_of(ports, client).reconcile())
    async with asyncio.timeout(60):
        while len(await ports.register.unsynced(MANY)) > MANY - 900:
            await asyncio.sleep(0.02)
    assert not reconciling.done()
    client.released.set()
    assert await reconciling == MANY
    assert await ports.register.unsynced(MANY) == []


async def test_an_alarm_is_deleted_only_when_those_that_are_missing_are_there(ports: MemoryPorts):
    """So some alarm wakes us for a trigger that moves; in an outage the old one goes on."""
    await reconciler_of(ports, ports.schedule_client).reconcile()
    state = ports.register._state  # type: ignore[attr-defined]
    key, record = next(iter(state.catalog.schedules.items()))
    before = record.wanted.alarm_id
    moved = replace(record.wanted, body={"every": "9h"})
    state.catalog.schedules[key] = replace(record, wanted=moved)
    ports.schedule_client.asked.clear()
    ports.schedule_client.failure = UnreachableError("away")
    with pytest.raises(UnreachableError):
        await reconciler_of(ports, ports.schedule_client).reconcile()
    assert before in ports.schedule_client.held
    ports.schedule_client.failure = None
    assert await reconciler_of(ports, ports.schedule_client).reconcile() == 2
    assert ports.schedule_client.asked == [("place", "alarm/every 9h"), ("remove", before)]
