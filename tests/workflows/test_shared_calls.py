"""Tasks of a batch that are ready together share a call, and none waits for another."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from activityctl.domain.timing.firing import FiringRef
from activityctl.workflows import carrier
from activityctl.workflows.calls import CallEnd, Orders, StopOrder, TaskOrder
from activityctl.workflows.run_batch import RunBatchWorkflow
from support.run_batches import (
    FIRST,
    NOON,
    SECOND,
    THIRD,
    Steps,
    end,
    running,
    until,
)


async def test_tasks_that_are_ready_together_share_a_call(client: Client) -> None:
    steps = Steps(end)
    async with running(client, steps) as handle:
        await handle.result()
        history = await handle.fetch_history()
    assert steps.shared == [[FIRST, SECOND, THIRD]]
    kind = "activity_task_scheduled_event_attributes"
    assert [event.HasField(kind) for event in history.events].count(True) == 1
    replayer = Replayer(workflows=[RunBatchWorkflow], workflow_runner=UnsandboxedWorkflowRunner())
    await replayer.replay_workflow(history)


async def test_a_run_goes_on_while_others_of_its_call_are_at_work(client: Client) -> None:
    go_on = asyncio.Event()

    async def work(asked: TaskOrder) -> Orders:
        if asked.run_id == FIRST and asked.task_id != "next":
            return Orders(FIRST, False, [TaskOrder("sub", FIRST, "next", 1, 20)])
        if asked.run_id == SECOND:
            await go_on.wait()
        return await end(asked)

    steps = Steps(work)
    async with running(client, steps) as handle:
        await until(lambda: steps.executed.count(FIRST) == 2)
        assert not go_on.is_set()
        go_on.set()
        await handle.result()
        history = await handle.fetch_history()
    assert sorted(steps.executed) == sorted([FIRST, FIRST, SECOND, THIRD])
    replayer = Replayer(workflows=[RunBatchWorkflow], workflow_runner=UnsandboxedWorkflowRunner())
    await replayer.replay_workflow(history)


async def test_a_failed_attempt_is_repeated_in_a_call_of_its_own(client: Client) -> None:
    async def work(asked: TaskOrder) -> Orders:
        if asked.run_id == SECOND and steps.executed.count(SECOND) < 3:
            delay = timedelta(milliseconds=100)
            raise ApplicationError("no", type="failed", next_retry_delay=delay)
        return await end(asked)

    steps = Steps(work)
    async with running(client, steps) as handle:
        await handle.result()
    assert steps.shared == [[FIRST, SECOND, THIRD]]
    assert sorted(steps.executed) == sorted([FIRST, THIRD, *[SECOND] * 3])
    assert steps.stops == []


async def test_only_tasks_that_have_not_ended_are_called_again_when_the_worker_is_lost(
    client: Client,
) -> None:
    """One that failed has a call of its own by then: it must not get a second one."""

    class Lost(Steps):
        @activity.defn
        async def execute_many(self, asked: list[TaskOrder]) -> list[CallEnd]:
            works = asyncio.create_task(super().execute_many(asked))
            await until(lambda: self.executed.count(SECOND) == 2)
            works.cancel()
            raise ApplicationError("lost", type="lost")

    go_on = asyncio.Event()

    async def work(asked: TaskOrder) -> Orders:
        if asked.run_id == SECOND and steps.executed.count(SECOND) == 1:
            raise ApplicationError("no", type="failed", next_retry_delay=timedelta(0))
        if asked.run_id == SECOND or (asked.run_id == FIRST and steps.executed.count(FIRST) == 1):
            await go_on.wait()
        return await end(asked)

    steps = Lost(work)
    async with running(client, steps) as handle:
        await until(lambda: steps.executed.count(FIRST) == 2)
        go_on.set()
        await handle.result()
        history = await handle.fetch_history()
    assert sorted(steps.executed) == sorted([FIRST, FIRST, SECOND, SECOND, THIRD])
    assert steps.stops == []
    replayer = Replayer(workflows=[RunBatchWorkflow], workflow_runner=UnsandboxedWorkflowRunner())
    await replayer.replay_workflow(history)


async def test_a_run_ends_although_its_executor_ignores_that_it_is_cancelled(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others of its call have ended before; the call itself ends with the executor."""

    class Cancelling(Steps):
        @activity.defn
        async def record(self, stop: StopOrder) -> Orders:
            self.stops.append(stop)
            return Orders(stop.run_id, is_over=not stop.waits, is_cancelling=stop.waits)

    async def work(asked: TaskOrder) -> Orders:
        while asked.run_id == SECOND and not may_end.is_set():
            with suppress(asyncio.CancelledError):
                await may_end.wait()
        return await end(asked)

    monkeypatch.setattr(carrier, "STOPS_WITHIN", timedelta(milliseconds=200))
    may_end, steps = asyncio.Event(), Cancelling(work)
    async with running(client, steps) as handle:
        await until(lambda: len(steps.executed) == 3)
        await handle.signal("cancelRun", SECOND)
        await handle.result()
        history = await handle.fetch_history()
        assert not may_end.is_set()
        may_end.set()
    assert [(stop.run_id, stop.waits) for stop in steps.stops] == [(SECOND, True), (SECOND, False)]
    assert sorted(steps.executed) == sorted([FIRST, SECOND, THIRD])
    replayer = Replayer(workflows=[RunBatchWorkflow], workflow_runner=UnsandboxedWorkflowRunner())
    await replayer.replay_workflow(history)


async def test_tasks_that_need_a_call_of_their_own_have_one(client: Client) -> None:
    class Guarded(Steps):
        @activity.defn
        async def admit(self, firings: list[FiringRef]) -> list[Orders]:
            return [
                replace(each, start=[replace(order, is_guarded=True) for order in each.start])
                for each in await super().admit(firings)
            ]

    steps = Guarded(end)
    async with running(client, steps) as handle:
        await handle.result()
    assert (steps.shared, len(steps.executed)) == ([], 3)


class UnsteadySteps(Steps):
    """Runs of two tasks; admissions, attempts, calls and ends are slow, fail or are lost."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(self.attempt)
        self.chance = chance
        self.attempts: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.is_requested = False
        self.losses = 1

    @activity.defn
    async def admit_many(self, firings: list[FiringRef]) -> list[Orders | None]:
        answers = await super().admit(firings)
        return [None if self.chance.random() < 0.5 else answer for answer in answers]

    @activity.defn
    async def admit(self, firings: list[FiringRef]) -> list[Orders]:
        await asyncio.sleep(self.chance.choice((0, 0.02, 0.02, 0.3)))
        return await super().admit(firings)

    @activity.defn
    async def execute_many(self, asked: list[TaskOrder]) -> list[CallEnd]:
        if not self.losses:
            return await super().execute_many(asked)
        self.losses -= 1
        call = asyncio.create_task(super().execute_many(asked))
        await asyncio.wait([call], timeout=0.1)
        call.cancel()
        await asyncio.wait([call])
        raise ApplicationError("lost", type="lost")

    async def attempt(self, asked: TaskOrder) -> Orders:
        self.attempts[asked.task_id] += 1
        if not self.ended[asked.task_id]:  # else only the news of its end was lost
            await asyncio.sleep(self.chance.choice((0, 0.01, 0.2, 0.7)))
            if self.chance.random() < 0.3 and self.attempts[asked.task_id] < 3:
                delay = timedelta(seconds=self.chance.choice((0, 0.05)))
                raise ApplicationError("no", type="failed", next_retry_delay=delay)
            self.ended[asked.task_id] += 1
        if asked.task_id.startswith("second"):
            return await end(asked)
        following = TaskOrder("sub", asked.run_id, f"second {asked.run_id}", 1, 20)
        return Orders(asked.run_id, False, [following])


async def test_a_batch_in_which_much_goes_wrong_can_be_replayed_at_each_step(
    client: Client,
) -> None:
    """The worker remembers no workflow, so each step begins with a replay of the steps before."""
    many = [FiringRef("sub", "paid", f"event-{n}", NOON, "batch/one") for n in range(12)]
    steps = UnsteadySteps(random.Random(5))
    options = {"task_timeout": timedelta(seconds=2)}
    async with running(client, steps, many, cached=0, **options) as handle:
        await handle.signal("cancelRun", many[3].run_id)  # nobody requested it in Postgres
        await handle.result()
        history = await handle.fetch_history()
    failed = "workflow_task_failed_event_attributes"
    assert not any(event.HasField(failed) for event in history.events)
    assert steps.shared
    assert steps.ended == Counter(
        f"{name} {firing.run_id}" for firing in many for name in ("task of", "second")
    )
