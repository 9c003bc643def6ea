"""The overdue scanner rings overdue alarms, and does not add load to a busy server."""

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
from activityctl.domain.timing.firing import FiringCause, Ringing
from activityctl.errors import UnreachableError

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DUE = NOON + timedelta(hours=1)
NEVER = {"schedule": "0 0 31 2 *", "allowNever": True}


async def with_alarms(ports: MemoryPorts, count: int, each: int = 1) -> None:
    """Apply as many timings that are all due at DUE, each with that many subscriptions."""
    spec = {"tasks": [{"name": "a", "say": {}}], "triggers": [{"name": "t", "cron": NEVER}]}
    definition = ActivityDefinition.model_validate_json(
        json.dumps({"metadata": {"name": "d"}, "spec": spec})
    )
    subscriptions = {
        f"s{number}-{copy}": SubscriptionManifest.model_validate(
            {
                "metadata": {"name": f"s{number}-{copy}"},
                "spec": {
                    "activity": "d",
                    "triggers": {
                        "t": {
                            "cron": {
                                "schedule": f"0,{number % 50 + 10} 13,{14 + number // 50} * * *"
                            }
                        }
                    },
                },
            }
        )
        for number in range(count)
        for copy in range(each)
    }
    plan = plan_changes(Wanted({"d": definition}, subscriptions), await ports.catalog.present())
    async with ports.catalog.changing():
        await ports.catalog.write(plan, NOON)


@pytest.mark.parametrize(
    ("count", "seconds", "woken"),
    [(10, 2, 0), (10, 3, 10), (11, 3, 0), (11, 10, 0), (11, 11, 11), (150, 11, 100)],
)
async def test_few_alarms_are_rung_soon_and_many_after_ten_seconds(
    count: int, seconds: int, woken: int
) -> None:
    state = MemoryState()
    state.catalog.clock = lambda: NOON
    ports, starter = memory_ports(state), MemoryRunStarter()
    await with_alarms(ports, count)
    state.catalog.clock = lambda: DUE + timedelta(seconds=seconds)
    scanner = OverdueScanner(ports.timetable, starter)
    assert await scanner.wake() == woken
    assert {ringing.due for ringing in starter.rung} == ({DUE} if woken else set())
    assert {ringing.cause for ringing in starter.rung} <= {FiringCause.WAKE_UP}
    assert len(starter.rung) == woken


async def test_many_schedules_of_one_alarm_are_one_to_ring() -> None:
    state = MemoryState()
    state.catalog.clock = lambda: NOON
    ports, starter = memory_ports(state), MemoryRunStarter()
    await with_alarms(ports, 1, each=500)
    state.catalog.clock = lambda: DUE + timedelta(seconds=3)
    assert await OverdueScanner(ports.timetable, starter).wake() == 1
    assert len(starter.rung) == 1


async def test_an_alarm_is_rung_until_its_times_are_decided() -> None:
    state = MemoryState()
    state.catalog.clock = lambda: NOON
    ports, starter = memory_ports(state), MemoryRunStarter()
    await with_alarms(ports, 1)
    state.catalog.clock = lambda: DUE + timedelta(seconds=3)
    scanner = OverdueScanner(ports.timetable, starter)
    assert [await scanner.wake() for _ in range(3)] == [1, 1, 1]
    (rung,) = set(starter.rung)
    await ports.timetable.ring(rung, (), "w")
    assert await scanner.wake() == 0


async def test_alarms_that_are_never_decided_do_not_block_others() -> None:
    """The memory starter decides nothing, like a workflow that always fails."""
    state = MemoryState()
    state.catalog.clock = lambda: NOON
    ports, starter = memory_ports(state), MemoryRunStarter()
    await with_alarms(ports, 250)
    state.catalog.clock = lambda: DUE + timedelta(seconds=11)
    scanner = OverdueScanner(ports.timetable, starter)
    assert [await scanner.wake() for _ in range(3)] == [100, 100, 50]
    assert len({ringing.alarm_id for ringing in starter.rung}) == 250
    assert await scanner.wake() == 100


async def test_newly_overdue_alarms_are_rung_although_many_are_never_decided() -> None:
    state = MemoryState()
    state.catalog.clock = lambda: NOON
    ports, starter = memory_ports(state), MemoryRunStarter()
    await with_alarms(ports, 30)
    key, record = next(iter(state.catalog.schedules.items()))
    state.catalog.schedules[key] = replace(record, next_at=DUE + timedelta(minutes=5))
    state.catalog.clock = lambda: DUE + timedelta(minutes=5, seconds=3)
    await OverdueScanner(ports.timetable, starter).wake()
    assert record.wanted.alarm_id in {ringing.alarm_id for ringing in starter.rung}


class Refusing(MemoryRunStarter):
    """A starter that always fails."""

    async def ring(self, ringing: Ringing) -> None:
        await super().ring(ringing)
        raise UnreachableError("Temporal does not take a run")


async def test_a_failed_start_does_not_end_the_round() -> None:
    state = MemoryState()
    state.catalog.clock = lambda: NOON
    ports, starter = memory_ports(state), Refusing()
    await with_alarms(ports, 150)
    state.catalog.clock = lambda: DUE + timedelta(seconds=11)
    scanner = OverdueScanner(ports.timetable, starter)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            await scanner.wake()
    assert len({ringing.alarm_id for ringing in starter.rung}) == 150
