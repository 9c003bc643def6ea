"""The overdue scanner wakes overdue schedules, and does not add load to a busy server."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.adapters.memory.state import MemoryState
from activityctl.adapters.memory.temporal import MemoryRunStarter
from activityctl.daemon.worker.overdue_scanner import OverdueScanner
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.timing.firing import FiringRef
from activityctl.errors import UnreachableError

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DUE = NOON + timedelta(hours=1)


async def with_hourly(ports: MemoryPorts, count: int) -> None:
    """Apply `count` subscriptions that are due on the hour."""
    spec = {
        "tasks": [{"name": "a", "say": {}}],
        "triggers": [{"name": "hourly", "interval": {"every": "1h"}}],
    }
    definition = ActivityDefinition.model_validate_json(
        json.dumps({"metadata": {"name": "d"}, "spec": spec})
    )
    subscriptions = {
        f"s{number}": SubscriptionManifest.model_validate(
            {"metadata": {"name": f"s{number}"}, "spec": {"activity": "d"}}
        )
        for number in range(count)
    }
    plan = plan_changes(Wanted({"d": definition}, subscriptions), await ports.catalog.present())
    async with ports.catalog.changing():
        await ports.catalog.write(plan, NOON)


@pytest.mark.parametrize(
    ("count", "seconds", "woken"),
    [(10, 2, 0), (10, 3, 10), (11, 3, 0), (11, 10, 0), (11, 11, 11), (150, 11, 100)],
)
async def test_few_schedules_are_woken_soon_and_many_after_ten_seconds(
    count: int, seconds: int, woken: int
) -> None:
    state = MemoryState()
    state.catalog.clock = lambda: NOON
    ports, starter = memory_ports(state), MemoryRunStarter()
    await with_hourly(ports, count)
    state.catalog.clock = lambda: DUE + timedelta(seconds=seconds)
    scanner = OverdueScanner(ports.timetable, starter)
    assert await scanner.wake() == woken
    assert {firing.due for firing in starter.started} == ({DUE} if woken else set())
    assert len(starter.started) == woken


async def test_a_wake_up_that_ended_without_a_decision_is_repeated() -> None:
    state = MemoryState()
    state.catalog.clock = lambda: NOON
    ports, starter = memory_ports(state), MemoryRunStarter()
    await with_hourly(ports, 1)
    state.catalog.clock = lambda: DUE + timedelta(seconds=3)
    scanner = OverdueScanner(ports.timetable, starter)
    for _ in range(3):
        await scanner.wake()
    (woken,) = starter.started
    starter.end(woken.workflow_id)
    await scanner.wake()
    assert starter.started == [woken, woken]


async def test_schedules_that_are_never_decided_do_not_block_others() -> None:
    """The memory starter decides nothing, like a workflow that always fails."""
    state = MemoryState()
    state.catalog.clock = lambda: NOON
    ports, starter = memory_ports(state), MemoryRunStarter()
    await with_hourly(ports, 250)
    state.catalog.clock = lambda: DUE + timedelta(seconds=11)
    scanner = OverdueScanner(ports.timetable, starter)
    assert [await scanner.wake() for _ in range(3)] == [100, 100, 50]
    assert len({firing.subscription_id for firing in starter.started}) == 250
    assert await scanner.wake() == 100


async def test_newly_overdue_schedules_are_woken_although_many_are_never_decided() -> None:
    state = MemoryState()
    state.catalog.clock = lambda: NOON
    ports, starter = memory_ports(state), MemoryRunStarter()
    await with_hourly(ports, 30)
    key, record = next(iter(state.catalog.schedules.items()))
    state.catalog.schedules[key] = replace(record, next_at=DUE + timedelta(minutes=5))
    state.catalog.clock = lambda: DUE + timedelta(minutes=5, seconds=3)
    await OverdueScanner(ports.timetable, starter).wake()
    assert record.wanted.subscription_id in {firing.subscription_id for firing in starter.started}


class Refusing(MemoryRunStarter):
    """A starter that always fails."""

    async def start(self, *firings: FiringRef) -> None:
        await super().start(*firings)
        raise UnreachableError("Temporal does not take a run")


async def test_a_failed_start_does_not_end_the_round() -> None:
    state = MemoryState()
    state.catalog.clock = lambda: NOON
    ports, starter = memory_ports(state), Refusing()
    await with_hourly(ports, 150)
    state.catalog.clock = lambda: DUE + timedelta(seconds=11)
    scanner = OverdueScanner(ports.timetable, starter)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            await scanner.wake()
    assert len({firing.subscription_id for firing in starter.started}) == 150
