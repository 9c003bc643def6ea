"""The dispatcher starts firings: bursts in shared workflows, and only while there is capacity."""

import asyncio
import json
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.adapters.memory.temporal import MemoryRunStarter
from activityctl.daemon.worker.dispatcher import Dispatcher
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.advance import advance
from activityctl.domain.runs.run import Decision, RunStatus
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.timing.firing import FiringRef, FiringRequest
from activityctl.domain.values import ids
from activityctl.errors import RefusedError, UnreachableError
from activityctl.steps.record import RecordStep

NOW = datetime(2026, 5, 1, tzinfo=UTC)
OWNER = ids.subscription_id("mine")


class Bench:
    """A dispatcher on the memory adapters, with an event for the capacity that it waits for."""

    def __init__(self, ports: MemoryPorts) -> None:
        self.ports = ports
        self.starter = MemoryRunStarter()
        self.stuck: set[str] = set()
        self.capacity = asyncio.Event()
        self.capacity.set()
        recorder = RecordStep(ports.runs, lambda: NOW)
        self.seconds = 0.0
        self.dispatcher = Dispatcher(
            ports.outbox,
            ports.runs,
            self.starter,
            recorder,
            lambda: NOW,
            self._wait_for_capacity,
            is_stuck=lambda workflow: workflow in self.stuck,
            monotonic=lambda: self.seconds,
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


async def open_run(bench: Bench, firing: FiringRef) -> str:
    """Open the run of the firing, request its cancellation, and return its id."""
    runs = bench.ports.runs
    facts = await runs.admission_input(firing)
    assert facts is not None
    run = replace(new_run(firing, facts, NOW), status=RunStatus.RUNNING)
    await runs.open(firing.workflow_id, run_change(run, Decision(), NOW))
    assert await runs.request_cancel(run.id, NOW)
    return run.id


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


async def test_what_is_done_meanwhile_knows_the_firings_of_each_start(bench: Bench) -> None:
    await bench.request(2)
    known: list[FiringRef] = []

    async def starting(firings: Sequence[FiringRef], start: Awaitable[None]) -> None:
        known.extend(firings)
        await start

    bench.dispatcher.starting = starting
    await bench.dispatcher.start_due()
    assert known == bench.starter.started
    assert len(known) == 2


async def test_a_burst_that_temporal_does_not_accept_stays_in_the_outbox(bench: Bench) -> None:
    await bench.request(30)
    bench.starter.failure = UnreachableError("away")
    with pytest.raises(UnreachableError, match="away"):
        await bench.dispatcher.start_due()
    assert await bench.ports.outbox.waiting() == 30
    assert await bench.ports.outbox.failing() is None
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


async def test_a_firing_that_temporal_refuses_for_good_ends_as_a_failed_run(bench: Bench) -> None:
    bench.starter.refused = {"key-0": RefusedError("the id is too long")}
    await bench.request(8)
    assert await bench.dispatcher.start_due() == 7
    assert await bench.ports.outbox.waiting() == 0
    refused = FiringRequest(OWNER, "manual", "key-0", NOW).ref
    run = await bench.ports.run_lists.find_run(refused.run_id)
    assert (run.status, run.reason) == (RunStatus.FAILED, "the id is too long")


async def test_a_key_that_no_run_can_have_is_shortened_in_its_run(bench: Bench) -> None:
    key = "manual/" + "x" * 4000
    firing = FiringRequest(OWNER, "manual", key, NOW)
    bench.starter.refused = {key: RefusedError("the id is too long")}
    await bench.ports.outbox.add([firing], NOW)
    assert await bench.dispatcher.start_due() == 0
    run = await bench.ports.run_lists.find_run(firing.ref.run_id)
    assert run.firing_key == ids.bounded_key(key)
    assert len(run.firing_key.encode()) < ids.MAX_KEY_BYTES


@pytest.mark.parametrize("error", [UnreachableError("slow"), RuntimeError("a bug")])
async def test_two_hundred_firings_that_keep_failing_do_not_starve_the_others(
    bench: Bench, error: Exception
) -> None:
    await bench.request(200)
    bench.starter.refused = {f"key-{number}": error for number in range(200)}
    good = FiringRequest(OWNER, "manual", "good", NOW)
    await bench.ports.outbox.add([good], NOW)
    async with asyncio.timeout(60):  # the first time, it may share a workflow with those that fail
        while not bench.starter.started:
            await bench.dispatcher.start_due()
            await asyncio.sleep(0.05)
    assert [firing.firing_key for firing in bench.starter.started] == ["good"]
    failing = await bench.ports.outbox.failing()
    assert failing is not None
    assert failing.count == 200
    assert str(error) in failing.last_error


async def test_one_cancellation_that_fails_does_not_keep_others_from_being_cancelled(
    bench: Bench,
) -> None:
    await bench.request(3)
    await bench.dispatcher.start_due()
    first, second, third = [await open_run(bench, firing) for firing in bench.starter.started]
    bench.starter.uncancellable = {first: UnreachableError("slow"), second: RefusedError("no")}
    with pytest.raises(UnreachableError):
        await bench.dispatcher.cancel()
    assert bench.starter.cancelled == [third]


async def test_a_stuck_run_is_cancelled_without_its_workflow(bench: Bench) -> None:
    await bench.request(1)
    await bench.dispatcher.start_due()
    (firing,) = bench.starter.started
    run_id = await open_run(bench, firing)
    bench.stuck = {firing.workflow_id}
    await bench.dispatcher.cancel()
    assert bench.starter.cancelled == []
    assert bench.starter.terminated == [firing.workflow_id]
    assert (await bench.ports.run_lists.find_run(run_id)).status is RunStatus.CANCELLED


async def test_a_workflow_of_several_runs_stays_when_a_stuck_one_is_cancelled(bench: Bench) -> None:
    await bench.request(5)
    await bench.dispatcher.start_due()
    run_id = await open_run(bench, bench.starter.started[0])
    bench.stuck = {bench.starter.started[0].workflow_id}
    await bench.dispatcher.cancel()
    assert bench.starter.terminated == []
    assert (await bench.ports.run_lists.find_run(run_id)).status is RunStatus.CANCELLED


async def test_a_run_without_a_workflow_waits_for_its_task_but_not_for_ever(bench: Bench):
    await bench.request(1)
    async with bench.ports.outbox.claimed(1) as claim:
        (firing,) = claim.firings
    run_id = await open_run(bench, firing)
    runs = bench.ports.runs
    state = await runs.load(run_id)
    assert state is not None
    created = advance(state, NOW)
    async with runs.locked(run_id) as locked:
        await locked.save(run_change(state.run, created, NOW))
    await runs.begin_attempt(created.start[0].id, NOW, "worker far pid 7")
    for seconds, status in ((0, "cancelling"), (29, "cancelling"), (31, "cancelled")):
        bench.seconds = seconds
        await bench.dispatcher.cancel()
        state = await runs.load(run_id)
        assert state is not None
        assert state.run.status == status
    reason = "task a did not end within 30s and may still run on worker far pid 7"
    assert state.run.reason == f"cancelled on request; {reason}"
    assert [task.status for task in state.tasks] == ["cancelled"]
