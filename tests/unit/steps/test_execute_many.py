"""ExecuteManyStep carries out each task as if it had a call of its own."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import cast

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activityctl.errors import UnreachableError
from activityctl.steps import execute_many
from activityctl.steps.execute_many import ExecuteManyStep
from activityctl.steps.places import Places
from activityctl.workflows.calls import CallEnd, Orders, TaskOrder

ORDERS = [TaskOrder("sub", f"run-{number}", f"task-{number}", 1, 20) for number in range(5)]


class Bench:
    """Tasks that end when their event is set, and the step that carries them out."""

    def __init__(self, places: int = 50) -> None:
        self.begun: list[str] = []
        self.stopped: list[str] = []
        self.ended: list[str] = []
        self.at_work = 0
        self.most = 0
        self.may_end = {order.task_id: asyncio.Event() for order in ORDERS}
        self.failures: dict[str, Exception] = {}
        self.ended_runs: set[str] = set()
        self.places = Places(places)
        self.environment = ActivityEnvironment()
        self.step = ExecuteManyStep(
            self.execute,
            stop=self.stop,
            going_on=self.going_on,
            places=self.places,
            on_end=lambda orders: self.ended.append(orders.run_id),
            look_every=0.01,
        )

    async def execute(self, order: TaskOrder) -> Orders:
        self.begun.append(order.task_id)
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            await self.may_end[order.task_id].wait()
        finally:
            self.at_work -= 1
        if failure := self.failures.get(order.task_id):
            raise failure
        return Orders(order.run_id, is_over=True)

    def stop(self, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            self.stopped.append(task_id)
            self.may_end[task_id].set()

    async def going_on(self, run_ids: Collection[str]) -> set[str]:
        return set(run_ids) - self.ended_runs

    def end_all(self) -> None:
        for event in self.may_end.values():
            event.set()

    def call(self) -> "asyncio.Task[list[CallEnd]]":
        return asyncio.create_task(self.environment.run(self.step.execute_many, ORDERS))


def over(number: int) -> CallEnd:
    return CallEnd(f"task-{number}", Orders(f"run-{number}", is_over=True))


async def until(condition: object) -> None:
    async with asyncio.timeout(60):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_each_task_has_its_own_end():
    bench = Bench()
    delay = timedelta(seconds=7)
    bench.failures = {
        "task-1": ApplicationError("failed", next_retry_delay=delay),
        "task-3": UnreachableError("Postgres is away"),
    }
    bench.end_all()
    again = [CallEnd("task-1", again_seconds=7.0), CallEnd("task-3", again_seconds=1.0)]
    assert await bench.call() == [over(0), again[0], over(2), again[1], over(4)]


@pytest.mark.parametrize(("places", "most"), [(50, 5), (2, 2), (1, 1)])
async def test_no_more_tasks_are_at_work_than_there_are_places(places: int, most: int):
    bench = Bench(places)
    call = bench.call()
    await until(lambda: len(bench.begun) == most)
    bench.end_all()
    assert await call == [over(number) for number in range(5)]
    assert bench.most == most


async def test_tasks_that_wait_for_a_place_leave_a_call_whose_worker_stops():
    bench = Bench(places=2)
    call = bench.call()
    await until(lambda: bench.places.waiting == 3)
    bench.environment.worker_shutdown()
    await until(lambda: not bench.places.waiting)
    bench.end_all()
    assert await call == [over(0), over(1), *(CallEnd(f"task-{n}") for n in (2, 3, 4))]
    assert bench.begun == ["task-0", "task-1"]


async def test_a_task_that_waits_for_a_place_leaves_when_its_run_does_not_go_on():
    bench = Bench(places=2)
    call = bench.call()
    bench.ended_runs = {"run-3"}
    await until(lambda: bench.places.waiting == 2)
    bench.end_all()
    assert await call == [over(0), over(1), over(2), CallEnd("task-3"), over(4)]
    assert bench.stopped == []


async def test_the_attempts_of_runs_that_do_not_go_on_are_stopped():
    bench = Bench()
    call = bench.call()
    await until(lambda: len(bench.begun) == 5)
    bench.ended_runs = {"run-2"}
    await until(lambda: bool(bench.stopped))
    await until(lambda: bench.ended == ["run-2"])  # while the others are at work
    bench.end_all()
    await call
    assert set(bench.stopped) == {"task-2"}


class Told:
    """The client of a worker; it keeps what workflows are told."""

    def __init__(self) -> None:
        self.ends: list[Sequence[CallEnd]] = []

    def get_workflow_handle(self, *_: object, **__: object) -> "Told":
        return self

    async def signal(self, _: str, ends: Sequence[CallEnd]) -> None:
        self.ends.append(ends)


async def test_a_workflow_is_told_soon_only_what_it_can_go_on_with(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(execute_many, "_TELL_EVERY", 0.001)
    bench, told = Bench(), Told()
    bench.environment = ActivityEnvironment(client=cast("Client", told))
    bench.failures = {"task-1": UnreachableError("Postgres is away")}
    call = bench.call()
    bench.may_end["task-0"].set()
    await until(lambda: bench.ended == ["run-0"])
    await asyncio.sleep(0.05)  # so often could it be told
    bench.may_end["task-1"].set()
    await until(lambda: bool(told.ends))
    assert told.ends == [[over(0), CallEnd("task-1", again_seconds=1.0)]]
    monkeypatch.setattr(execute_many, "_TELL_OVER_EVERY", 0.001)
    bench.may_end["task-2"].set()
    await until(lambda: len(told.ends) == 2)
    assert told.ends[1] == [over(2)]
    bench.end_all()
    await call


async def test_a_call_that_is_cancelled_cancels_each_task():
    bench = Bench()
    call = bench.call()
    await until(lambda: len(bench.begun) == 5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert bench.at_work == 0
    async with AsyncExitStack() as stack, asyncio.timeout(60):  # each place is free again
        for _ in range(50):
            await stack.enter_async_context(bench.places.one())


class Stubborn(Bench):
    """The executor of task-2 ignores every cancellation until it may end."""

    ignored = 0

    async def execute(self, order: TaskOrder) -> Orders:
        if order.task_id != "task-2":
            return await super().execute(order)
        self.begun.append(order.task_id)
        while not self.may_end[order.task_id].is_set():
            try:
                await self.may_end[order.task_id].wait()
            except asyncio.CancelledError:
                self.ignored += 1
        return Orders(order.run_id, is_over=True)

    def stop(self, task_ids: Iterable[str]) -> None:
        """Note it; the attempt goes on."""
        self.stopped += task_ids


async def test_no_task_waits_for_one_that_ignores_that_it_is_stopped():
    bench = Stubborn()
    call = bench.call()
    await until(lambda: len(bench.begun) == 5)
    bench.ended_runs = {"run-2"}
    await until(lambda: bool(bench.stopped))
    for number in (0, 1, 3, 4):
        bench.may_end[f"task-{number}"].set()
    await until(lambda: len(bench.ended) == 4)  # told, each by itself
    assert not call.done()
    bench.may_end["task-2"].set()
    assert await call == [over(number) for number in range(5)]
    assert (set(bench.stopped), bench.ignored) == ({"task-2"}, 0)


async def test_a_cancelled_call_lasts_as_long_as_an_attempt_that_ignores_it():
    """Else nobody knew that the attempt is at work, and another one could begin."""
    bench = Stubborn()
    call = bench.call()
    await until(lambda: len(bench.begun) == 5)
    call.cancel()
    await until(lambda: bench.ignored == 1 and bench.at_work == 0)
    assert not call.done()
    bench.may_end["task-2"].set()
    with pytest.raises(asyncio.CancelledError):
        await call
