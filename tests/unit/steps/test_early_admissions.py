"""A run is admitted while Temporal starts its workflow, which then finds the answer."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activityctl.adapters.memory.ports import MemoryPorts
from activityctl.domain.runs.admission import AdmissionInput
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.workflow_batches import BATCH
from activityctl.domain.timing.firing import FiringCause, FiringRef, FiringRequest
from activityctl.domain.values import ids
from activityctl.errors import UnreachableError
from activityctl.ports import OpenResult
from activityctl.steps.admit import AdmitStep
from activityctl.steps.early_admissions import EarlyAdmissions, workflow_is_there
from activityctl.workflows.calls import Orders
from support.definitions import ports_with

NOW = datetime(2026, 5, 1, tzinfo=UTC)
OWNER = ids.subscription_id("mine")
FIRINGS = [FiringRequest(OWNER, "manual", f"manual/{n}", NOW).ref for n in range(6)]
FIRST, *_ = FIRINGS


class Bench:
    """Admissions that commit when their workflow is there, and starts of workflows."""

    def __init__(self) -> None:
        self.begun: list[FiringRef] = []
        self.committed: list[FiringRef] = []
        self.early = EarlyAdmissions(self._admit, lambda firing: firing.trigger != "locked")

    async def _admit(self, firing: FiringRef) -> Orders:
        self.begun.append(firing)
        if (started := workflow_is_there()) is not None:
            await started
        self.committed.append(firing)
        return Orders(firing.run_id, is_over=True)

    async def start(self, *firings: FiringRef, fails: bool = False) -> list[FiringRef]:
        """Start a workflow; return the firings whose admission began before it was started."""
        before = len(self.begun)

        async def started() -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            assert not set(firings).intersection(self.committed)
            if fails:
                raise UnreachableError("Temporal is away")

        await self.early.starting(firings, started())
        return self.begun[before:]


async def test_a_firing_is_admitted_while_its_workflow_is_started() -> None:
    bench = Bench()
    assert await bench.start(FIRST) == [FIRST]
    assert await bench.early.answer(FIRST) == Orders(FIRST.run_id, is_over=True)
    assert bench.committed == [FIRST]
    assert await bench.early.answer(FIRST) is None


async def test_nothing_is_committed_without_the_workflow() -> None:
    bench = Bench()
    for _ in range(2):
        with pytest.raises(UnreachableError):
            await bench.start(FIRST, fails=True)
        assert await bench.early.answer(FIRST) is None
    assert (bench.begun, bench.committed) == ([FIRST, FIRST], [])


async def test_a_workflow_that_asks_before_its_start_fails_is_admitted_as_usual() -> None:
    """The server started it, but its answer to that came too late."""
    bench = Bench()
    asked: list[Orders | None] = []

    async def start() -> None:
        asking = asyncio.create_task(bench.early.answer(FIRST))
        asking.add_done_callback(lambda done: asked.append(done.result()))
        await asyncio.sleep(0)
        raise UnreachableError("no answer in time")

    with pytest.raises(UnreachableError):
        await bench.early.starting([FIRST], start())
    async with asyncio.timeout(60):
        while not asked:
            await asyncio.sleep(0)
    assert asked == [None]
    assert bench.committed == []


async def test_an_answer_is_only_for_the_workflow_that_the_firing_names() -> None:
    bench = Bench()
    await bench.start(FIRST)
    assert await bench.early.answer(replace(FIRST, workflow_id="another")) is None
    assert await bench.early.answer(replace(FIRST, subscription="a name to show")) is not None


async def test_only_a_few_are_admitted_early_and_none_whose_row_is_locked() -> None:
    bench = Bench()
    assert await bench.start(*FIRINGS[:5]) == []
    assert await bench.start(replace(FIRST, trigger="locked")) == []
    assert await bench.start(*FIRINGS[:4]) == FIRINGS[:4]
    assert await bench.start(FIRINGS[4]) == []
    await bench.early.answer(FIRST)
    assert await bench.start(FIRINGS[4]) == [FIRINGS[4]]


async def test_a_workflow_that_is_there_is_not_waited_for() -> None:
    bench = Bench()
    bench.early.begin([FIRST])
    assert await bench.early.answer(FIRST) is not None
    assert bench.committed == [FIRST]


async def test_admissions_that_nobody_waits_for_end_with_the_worker() -> None:
    bench = Bench()
    starting = asyncio.create_task(bench.early.starting([FIRST], asyncio.Event().wait()))  # type: ignore[arg-type]  # its result does not matter
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await bench.early.close()
    starting.cancel()
    await asyncio.wait([starting])
    assert (bench.begun, bench.committed) == ([FIRST], [])
    assert {task for task in asyncio.all_tasks() if not task.done()} == {asyncio.current_task()}


def asked_by(firing: FiringRef) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=firing.workflow_id)
    return environment


def counting(ports: MemoryPorts, asked: list[FiringRef]) -> Callable[[FiringRef], object]:
    """Count the reads of what admissions need."""
    read = ports.runs.admission_input

    async def admission_input(firing: FiringRef) -> AdmissionInput | None:
        asked.append(firing)
        return await read(firing)

    return admission_input


@pytest.mark.parametrize("step", ["admit", "admit_many"])
async def test_the_workflow_gets_the_answer_of_the_early_admission(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports, asked = await ports_with("mine", NOW), list[FiringRef]()
    await ports.outbox.add([FiringRequest(OWNER, "manual", "manual/0", NOW)], NOW)
    admit = AdmitStep(ports.runs, ports.timetable, ports.gates, {}, lambda: NOW)
    facts = await ports.runs.admission_input(FIRST)
    assert facts is not None
    admit.read_ahead.keep({FIRST.run_id: facts})
    monkeypatch.setattr(ports.runs, "admission_input", counting(ports, asked))
    await admit.early.starting([FIRST], asyncio.sleep(0))
    body = admit.admit if step == "admit" else admit.admit_many
    (orders,) = await asked_by(FIRST).run(body, [FIRST])
    assert orders is not None
    assert [order.run_id for order in orders.start] == [FIRST.run_id]
    assert asked == []
    assert (await ports.run_lists.find_run(FIRST.run_id)).status is RunStatus.RUNNING
    (again,) = await asked_by(FIRST).run(admit.admit, [FIRST])  # its answer was lost
    assert again.start == orders.start


async def test_runs_whose_input_was_read_before_open_all_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each waits until all others open too; with a limit below their number they would not."""
    ports = await ports_with("mine", NOW)
    requests = [FiringRequest(OWNER, "manual", f"manual/{n}", NOW) for n in range(BATCH)]
    await ports.outbox.add(requests, NOW)
    firings = [replace(each.ref, workflow_id="batch/1") for each in requests]
    admit = AdmitStep(ports.runs, ports.timetable, ports.gates, {}, lambda: NOW)
    facts = {each.run_id: await ports.runs.admission_input(each) for each in firings}
    admit.read_ahead.keep({run: found for run, found in facts.items() if found is not None})
    opening, opened = ports.runs.open, list[str]()
    are_all_there = asyncio.Event()

    async def open_together(*args: Any, **more: Any) -> OpenResult:
        opened.append(args[1].run.id)
        if len(opened) == BATCH:
            are_all_there.set()
        await are_all_there.wait()
        return await opening(*args, **more)

    monkeypatch.setattr(ports.runs, "open", open_together)
    answers = await asked_by(firings[0]).run(admit.admit_many, firings)
    assert [answer and len(answer.start) for answer in answers] == [1] * BATCH
    assert sorted(opened) == sorted(facts)


@pytest.mark.parametrize(
    ("spec", "is_early"),
    [
        ({}, True),
        ({"concurrency": {"policy": "skip"}}, False),
        ({"context": [{"name": "a", "http": {"url": "https://a.example"}}]}, False),
    ],
    ids=["plain", "with a gate", "with a lookup"],
)
async def test_only_what_waits_for_its_commit_alone_is_early(
    spec: dict[str, object], *, is_early: bool
) -> None:
    """The dispatcher holds the row of the firing; a gate or a lookup would write the run."""
    ports = await ports_with("mine", NOW, **spec)
    admit = AdmitStep(ports.runs, ports.timetable, ports.gates, {}, lambda: NOW)
    assert not admit.read_ahead.suffices(FIRST)
    assert admit.read_ahead.suffices(replace(FIRST, cause=FiringCause.LET_IN))
    facts = await ports.runs.admission_input(FIRST)
    assert facts is not None
    admit.read_ahead.keep({FIRST.run_id: facts})
    assert admit.read_ahead.suffices(FIRST) is is_early
