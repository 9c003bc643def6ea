"""Runs a month of a definition in seconds: real steps and workflows, a server that skips time.

The stores are the memory adapters with a clock that the test moves. The test itself takes the place
of Temporal's schedule.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, ClassVar, Final

import pytest
from pydantic import BaseModel
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.adapters.memory.state import MemoryState
from activityctl.adapters.temporal.starter import TemporalRunStarter
from activityctl.daemon.local.embedded_temporal import DYNAMIC_CONFIG, find_binary
from activityctl.daemon.worker.dispatcher import Dispatcher
from activityctl.daemon.worker.overdue_scanner import OverdueScanner
from activityctl.daemon.worker.queue_releaser import QueueReleaser
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.firing import Ringing
from activityctl.domain.values import ids
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.domain.values.selection import Selection
from activityctl.errors import TaskError
from activityctl.operations.looking.upcoming import TimeRange, upcoming
from activityctl.operations.runs.actions import change_status
from activityctl.ports import ExecutorOutcome, TaskCall
from activityctl.steps.admit import AdmitStep
from activityctl.steps.execute import ExecuteStep
from activityctl.steps.give_up import GiveUp
from activityctl.steps.record import RecordStep
from activityctl.steps.ring import RingStep
from activityctl.workflows.alarm import AlarmWorkflow
from activityctl.workflows.calls import TASK_QUEUE
from activityctl.workflows.run_activity import RunActivityWorkflow
from activityctl.workflows.run_batch import RunBatchWorkflow

MARCH: Final = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OWNER: Final = ids.subscription_id("report")
SPEC: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "triggers": [
            {
                "name": "nightly",
                "cron": {
                    "schedule": "30 2 * * *",
                    "timezone": "Europe/Berlin",
                    "dst": {"gap": "shift"},
                    "jitter": "20m",
                    "misfire": {"policy": "fire_once", "window": "6h"},
                    "exclude": {"dates": ["2026-03-31"]},
                },
            }
        ],
        "concurrency": {"policy": "queue"},
        "pauseAfter": {"failures": 7},
        "timeout": "30d",
        "tasks": [
            {
                "name": "write",
                "probe": {"day": "${ int(trigger.dueAt.substring(8, 10)) }"},
                "retry": {"maxAttempts": 2, "initialInterval": "2h", "maxInterval": "2h"},
            }
        ],
    }
)


class Body(BaseModel):
    """The fields of `probe`."""

    day: int


@dataclass
class Probe:
    """An executor that fails on some days, and on one day runs until the test lets it end."""

    kind: ClassVar[str] = "probe"
    body: ClassVar[type[BaseModel]] = Body
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def execute(self, body: Body, call: TaskCall) -> ExecutorOutcome:
        if body.day == 3 and call.attempt == 1:
            raise TaskError("a cough")
        if 9 <= body.day <= 15:
            raise TaskError("the printer is away", retryable=False)
        if body.day == 21:
            await self.may_end.wait()
        return ExecutorOutcome({"day": body.day})

    async def close(self) -> None:
        """Do nothing: no resources are kept."""


@dataclass
class Month:
    """The stores, the loops of the worker, and the clock."""

    state: MemoryState
    ports: MemoryPorts
    client: Client
    probe: Probe
    now: datetime = MARCH

    def clock(self) -> datetime:
        return self.now

    def __post_init__(self) -> None:
        self.state.catalog.clock = self.clock
        starter = TemporalRunStarter(self.client)
        ports = self.ports
        self.starter = starter
        self.recorder = RecordStep(ports.runs, self.clock)
        self.dispatcher = Dispatcher(
            ports.outbox, ports.runs, starter, self.recorder, self.clock, self.wait_for_capacity
        )
        self.scanner = OverdueScanner(ports.timetable, starter)
        self.queue_releaser = QueueReleaser(
            ports.gates,
            ports.backfills,
            starter,
            GiveUp(ports.runs, self.recorder, self.clock),
        )

    async def wait_for_capacity(self) -> None:
        """Return at once: there is always capacity."""

    def worker(self) -> Worker:
        ports = self.ports
        admit = AdmitStep(ports.runs, ports.timetable, ports.gates, {}, self.clock)
        ring = RingStep(ports.timetable, ports.runs)
        executors = {"probe": self.probe}
        execute = ExecuteStep(
            ports.runs,
            ports.logbook,
            executors,
            self.recorder,
            self.clock,
            "here",
            lanes=ports.lanes,
            guards=ports.guards,
        )
        return Worker(
            self.client,
            task_queue=TASK_QUEUE,
            workflows=[RunActivityWorkflow, RunBatchWorkflow, AlarmWorkflow],
            activities=[ring.ring, admit.admit, execute.execute, self.recorder.record],
            workflow_runner=UnsandboxedWorkflowRunner(),
        )

    async def apply(self) -> None:
        metadata = {"name": "report"}
        definition = ActivityDefinition.model_validate_json(
            json.dumps({"metadata": metadata, "spec": dict(SPEC)})
        )
        manifest = SubscriptionManifest.model_validate(
            {"metadata": metadata, "spec": {"activity": "report"}}
        )
        catalog = self.ports.catalog
        async with catalog.changing():
            wanted = Wanted({"report": definition}, {"report": manifest})
            await catalog.write(plan_changes(wanted, await catalog.present()), self.now)

    async def advance(self, until: datetime, *, rings: bool = True) -> None:
        """Move the clock from event to event; `rings` says whether the schedule wakes us."""
        while (moment := await self._next_event()) <= until:
            self.now = max(self.now, moment)
            overdue = self._next_at()
            if overdue is not None and overdue <= self.now:
                await self._wake(overdue, rings=rings)
            await self._work()
        self.now = until

    async def _wake(self, nominal: datetime, *, rings: bool) -> None:
        if rings:
            (record,) = self.state.catalog.schedules.values()
            await self.starter.ring(Ringing(record.wanted.alarm_id, nominal.isoformat()))
        else:
            self.now += timedelta(seconds=3)
            assert await self.scanner.wake() == 1
        async with asyncio.timeout(60):
            while self._next_at() == nominal:
                await asyncio.sleep(0.005)

    async def _work(self) -> None:
        """Run the loops of the worker until nothing changes any more."""
        async with asyncio.timeout(60):
            while True:
                await self.dispatcher.dispatch()
                await self.queue_releaser.release()
                if await self._is_idle():
                    return
                await asyncio.sleep(0.01)

    async def _is_idle(self) -> bool:
        """Return whether each started firing has a run that has ended, is queued or is held."""
        started = [
            firing.firing.ref.run_id
            for firing in self.state.firings.values()
            if firing.dispatched_at is not None
        ]
        runs = {run.id: run for run in await self.runs()}
        resting = {RunStatus.QUEUED} if await self._is_held() else set()
        return all(
            run_id in runs
            and (runs[run_id].has_ended or runs[run_id].status in resting or self._held(run_id))
            for run_id in started
        )

    async def _is_held(self) -> bool:
        return any(self._held(run.id) for run in await self.runs())

    def _held(self, run_id: str) -> bool:
        run = self.state.runs[run_id].run
        is_long = run.due_at.day == 21 and not self.probe.may_end.is_set()
        return is_long and run.status is RunStatus.RUNNING

    def _next_at(self) -> datetime | None:
        (record,) = self.state.catalog.schedules.values()
        return record.next_at if record.is_active else None

    async def _next_event(self) -> datetime:
        seconds = await self.ports.outbox.seconds_to_next()
        waiting = None if seconds is None else self.now + timedelta(seconds=seconds)
        times = [time for time in (self._next_at(), waiting) if time is not None]
        return min(times, default=datetime.max.replace(tzinfo=UTC))

    async def runs(self) -> list[Run]:
        found = await self.ports.run_lists.runs(Selection(limit=1000))
        return sorted(found, key=lambda run: run.due_at)

    async def resume(self) -> None:
        catalog = self.ports.catalog
        owner = await catalog.find_subscription("report")
        assert owner.status is SubscriptionStatus.PAUSED
        active = SubscriptionStatus.ACTIVE
        assert await change_status(catalog, owner, active, self.now, catch_up=True)


@pytest.fixture
async def month() -> AsyncIterator[Month]:
    config = {**DYNAMIC_CONFIG, "frontend.WorkflowTimeSkippingEnabled": "true"}
    keys = [("--dynamic-config-value", f"{key}={value}") for key, value in config.items()]
    environment = await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=str(find_binary()),
        dev_server_extra_args=[part for pair in keys for part in pair],
    )
    async with environment:
        state = MemoryState()
        month = Month(state, memory_ports(state), environment.client, Probe())
        async with month.worker():
            yield month


def day(number: int, hour: int = 12) -> datetime:
    return MARCH + (number - 1) * DAY + hour * HOUR


async def test_every_day_of_a_month_has_its_run(month: Month) -> None:
    await month.apply()
    ports = month.ports
    span = TimeRange(MARCH, day(31), 100)
    shown = (
        await upcoming(ports.catalog, ports.register, ports.outbox, "report", span, MARCH)
    ).occurrences
    await month.advance(day(4))
    await month.advance(day(5), rings=False)
    month.now = day(8)  # no worker ran for three days
    await month.advance(day(20))
    paused = await ports.catalog.find_subscription("report")
    assert paused.status is SubscriptionStatus.PAUSED
    await month.resume()
    await month.advance(day(24))
    month.probe.may_end.set()
    await month._work()
    await month.advance(day(31))
    runs = await month.runs()
    assert [run.due_at for run in runs] == [occurrence.due_at for occurrence in shown]
    assert [run.due_at.day for run in runs] == list(range(1, 32))
    expected = {
        **dict.fromkeys(range(1, 32), "succeeded"),
        **dict.fromkeys((6, 7, 8), "missed"),
        **dict.fromkeys(range(9, 16), "failed"),
        **dict.fromkeys(range(16, 21), "missed"),
        31: "skipped",
    }
    assert {run.due_at.day: str(run.status) for run in runs} == expected
    begun = {run.due_at.day: run.started_at for run in runs if run.started_at is not None}
    fires = {occurrence.due_at.day: occurrence.fires_at for occurrence in shown}
    held = {21, 22, 23, 24}
    for number in set(begun) - held:
        assert begun[number] == fires[number], f"on 2026-03-{number:02}"
    assert [begun[number] for number in sorted(held)] == sorted(begun[number] for number in held)
    assert begun[22] == begun[24] == day(24)
    assert fires[29].hour == 1, "02:30 does not exist on that day; 01:30 UTC takes its place"
    await check_reasons(month, runs)


async def check_reasons(month: Month, runs: list[Run]) -> None:
    reasons = {run.due_at.day: str(run.reason) for run in runs if run.reason}
    assert reasons[6].endswith("over the misfire window of 6h")
    assert reasons[9] == "task write failed: the printer is away"
    assert reasons[20].endswith("over the misfire window of 6h")
    assert reasons[31] == "excluded: 2026-03-31"
    page, _ = await month.ports.logbook.page(LogFilter((OWNER,)), Cursor(), limit=1000)
    messages = [entry.message for entry in page]
    assert sum("subscription paused: 7 runs in a row failed" in text for text in messages) == 1
    assert sum(text.startswith("run queued: waiting for") for text in messages) == 3
    (first,) = [run for run in runs if run.due_at.day == 3]
    (task,) = await month.ports.run_lists.tasks(Selection(run_id=first.id))
    assert task.attempts == 2
