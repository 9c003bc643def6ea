"""The end of a task or run that Postgres refuses for good is written in another way, and soon."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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
from activityctl.domain.runs.admission import begin, new_run
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.runs.stopping import LOST
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.errors import RefusedError, TaskError, UnreachableError, UnstorableError
from activityctl.executors.command import CommandBody
from activityctl.ports import BegunAttempt, ExecutorOutcome
from activityctl.steps.execute import ExecuteStep
from activityctl.steps.record import RecordStep
from activityctl.workflows.calls import Orders, StopOrder, TaskOrder

NOW = datetime(2026, 5, 1, tzinfo=UTC)
OWNER = ids.subscription_id("mine")
AWAY = UnreachableError("Postgres does not answer")
REFUSED = UnstorableError("too large")


class Faults:
    """A run store whose writes raise what a test sets: forever, or as often as it says."""

    def __init__(self, ports: MemoryPorts) -> None:
        self._runs = ports.runs
        self.fault: Callable[[str, object], Exception | None] = lambda *_: None
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runs, name)

    def _meet(self, call: str, what: object = None) -> None:
        self.calls.append(call)
        if (error := self.fault(call, what)) is not None:
            raise error

    @asynccontextmanager
    async def locked(self, run_id: str, **options: Any) -> AsyncIterator[Any]:
        async with self._runs.locked(run_id, **options) as locked:
            save = locked.save

            async def meeting(change: Any) -> None:
                self._meet("save", change)
                await save(change)

            locked.save = meeting  # type: ignore[method-assign]
            yield locked

    async def begin_attempt(self, *args: Any, **options: Any) -> BegunAttempt | None:
        self._meet("begin")
        return await self._runs.begin_attempt(*args, **options)

    async def save_unchanged(self, known: Any, change: Any) -> bool:
        self._meet("save", change)
        return await self._runs.save_unchanged(known, change)

    async def fail_attempt(self, *args: Any) -> int:
        self._meet("fail")
        return await self._runs.fail_attempt(*args)


class Succeeding:
    """An executor that counts its calls and gives an output, or raises a failure."""

    kind = "command"
    body = CommandBody

    def __init__(self) -> None:
        self.calls = 0
        self.failure: TaskError | None = None

    async def execute(self, *_: object) -> ExecutorOutcome:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return ExecutorOutcome({"text": "a result"})


class Bench:
    """One open run with one task, and the steps on it."""

    def __init__(self, ports: MemoryPorts, run: Run, order: TaskOrder) -> None:
        self.ports = ports
        self.order = order
        self.run_id = run.id
        self.store = Faults(ports)
        store: Any = self.store
        self.recorder = RecordStep(store, lambda: NOW)
        self.executor = Succeeding()
        self.pauses: list[float] = []
        executors: Any = {"command": self.executor}
        self.step = ExecuteStep(
            store,
            ports.logbook,
            executors,
            self.recorder,
            lambda: NOW,
            "here",
            lanes=ports.lanes,
            guards=ports.guards,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def execute(self) -> Orders:
        return await ActivityEnvironment().run(self.step.execute, self.order)

    async def run(self) -> Run:
        return await self.ports.run_lists.find_run(self.run_id)

    async def task(self) -> TaskInstance:
        (task,) = await self.ports.run_lists.tasks(Selection(run_id=self.run_id))
        return task


@pytest.fixture
async def bench() -> Bench:
    ports = memory_ports()
    named = {"metadata": {"name": "mine"}}
    retry = {"maxAttempts": 3}
    spec = {"tasks": [{"name": "a", "command": {"argv": ["true"]}, "retry": retry}]}
    definition = ActivityDefinition.model_validate_json(json.dumps({**named, "spec": spec}))
    manifest = SubscriptionManifest.model_validate_json(
        json.dumps({**named, "spec": {"activity": "mine"}})
    )
    wanted = Wanted({"mine": definition}, {"mine": manifest})
    async with ports.catalog.changing():
        await ports.catalog.write(plan_changes(wanted, await ports.catalog.present()), NOW)
    firing = FiringRequest(OWNER, "manual", "manual/key", NOW)
    await ports.outbox.add([firing], NOW)
    facts = await ports.runs.admission_input(firing.ref)
    assert facts is not None
    run, decision = begin(new_run(firing.ref, facts, NOW), facts.spec, NOW)
    await ports.runs.open("w", run_change(run, decision, NOW))
    (task,) = decision.start
    return Bench(ports, run, TaskOrder(OWNER, run.id, task.id, 3, 60.0))


async def test_a_result_that_is_refused_for_good_fails_the_task_and_is_not_repeated(bench: Bench):
    bench.store.fault = lambda call, what: (
        REFUSED if call == "save" and any(task.output for task in what.update) else None  # type: ignore[attr-defined]
    )
    assert (await bench.execute()).is_over
    assert bench.executor.calls == 1
    task, run = await bench.task(), await bench.run()
    assert (task.status, task.error) == ("failed", "the result could not be recorded: too large")
    assert run.status is RunStatus.FAILED
    assert len(bench.pauses) == 1


@pytest.mark.parametrize("error", [REFUSED, RuntimeError("secret")])
async def test_a_run_whose_every_change_is_refused_ends_too(bench: Bench, error: Exception):
    bench.store.fault = lambda call, _: error if call == "save" else None
    assert (await bench.execute()).is_over
    task, run = await bench.task(), await bench.run()
    assert (run.status, task.status) == (RunStatus.FAILED, "cancelled")
    assert str(run.reason).startswith("the result could not be recorded: ")
    assert "secret" not in str(run.reason)
    (letter,) = await bench.ports.run_lists.dead_letters(Selection())
    assert letter.reason == run.reason
    assert bench.store.calls.count("save") < 20


async def test_an_outage_after_the_attempt_does_not_run_it_again(bench: Bench):
    left = 100

    def away(call: str, _: object) -> Exception | None:
        nonlocal left
        left -= call == "save"
        return AWAY if call == "save" and left else None

    bench.store.fault = away
    assert (await bench.execute()).is_over
    assert (bench.executor.calls, len(bench.pauses)) == (1, 99)
    assert bench.pauses[0] <= 0.5
    assert all(2.5 <= pause <= 5 for pause in bench.pauses[10:])
    assert (await bench.run()).status is RunStatus.SUCCEEDED


async def test_a_failed_attempt_that_cannot_be_counted_ends_the_task(bench: Bench):
    bench.executor.failure = TaskError("it broke", output={"stderr": "x"})
    bench.store.fault = lambda call, _: REFUSED if call == "fail" else None
    assert (await bench.execute()).is_over
    assert (await bench.task()).error == "it broke"
    assert bench.executor.calls == 1


async def test_an_attempt_that_can_never_begin_ends_the_task_and_an_outage_is_repeated(
    bench: Bench,
):
    bench.store.fault = lambda call, _: AWAY if call == "begin" else None
    for _ in range(20):
        with pytest.raises(UnreachableError):
            await bench.execute()
    bench.store.fault = lambda call, _: REFUSED if call == "begin" else None
    with pytest.raises(UnstorableError):
        await bench.execute()
    assert (await bench.execute()).is_over
    assert bench.executor.calls == 0
    assert (await bench.task()).error == "the attempt could not begin: too large"


async def test_a_task_whose_row_was_deleted_ends_its_run(bench: Bench):
    bench.order = replace(bench.order, task_id="gone")
    with pytest.raises(RefusedError):
        await bench.execute()
    assert (await bench.execute()).is_over
    run = await bench.run()
    assert run.status is RunStatus.FAILED
    assert str(run.reason).endswith("the row of the task was deleted")


@pytest.mark.parametrize("status", [RunStatus.TIMED_OUT, RunStatus.CANCELLED])
async def test_a_stop_that_is_refused_for_good_ends_the_run_as_asked(
    bench: Bench, status: RunStatus
):
    stop = StopOrder(bench.run_id, status.value, "enough")
    bench.store.fault = lambda call, _: REFUSED if call == "save" else None
    if status is RunStatus.CANCELLED:
        assert not (await bench.recorder.record(stop)).is_over  # nobody asked for it
        await bench.ports.runs.request_cancel(bench.run_id, NOW)
    with pytest.raises(UnstorableError):
        await bench.recorder.record(stop)
    assert (await bench.recorder.record(stop)).is_over
    assert (await bench.run()).status is status


@pytest.mark.parametrize("has_begun", [True, False])
async def test_a_cancelled_task_whose_attempt_never_said_how_it_ended_was_lost(
    bench: Bench, *, has_begun: bool
):
    """The worker may be killed before its workflow has sent the request to cancel the task."""
    if has_begun:
        await bench.ports.runs.begin_attempt(bench.order.task_id, NOW, "there")
    await bench.recorder.record(StopOrder(bench.run_id, "timed_out", "enough", waits=True))
    await bench.recorder.record(StopOrder(bench.run_id, "cancelled", "", bench.order.task_id))
    assert (LOST in ((await bench.task()).reason or "")) is has_begun
