"""A run that is stopped ends only when its tasks have stopped, or when they do not stop in time."""

import asyncio
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import CancelledError

from activityctl.workflows import carrier
from activityctl.workflows.calls import Orders, StopOrder, TaskOrder
from activityctl.workflows.run_activity import RunActivityWorkflow
from support.scripted import OVER, RUN, Script, orders, running

CANCELLING = Orders(RUN, is_over=False, is_cancelling=True)
CANCEL = StopOrder(RUN, "cancelled", carrier.CANCELLED, waits=True)
TIME_OUT = StopOrder(RUN, "timed_out", carrier.TIMED_OUT, waits=True)


class SlowToStop:
    """A task that stops only when it may; then it ends as the step `execute` does."""

    def __init__(self, answer: Orders = OVER) -> None:
        self.answer = answer
        self.asked = asyncio.Event()
        self.may_stop = asyncio.Event()

    async def __call__(self, order: TaskOrder) -> Orders:
        if order.task_id != "slow":
            return OVER
        try:
            while True:
                activity.heartbeat()
                await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            self.asked.set()
            while not self.may_stop.is_set():
                activity.heartbeat()
                await asyncio.sleep(0.05)
            return self.answer


async def until_executed(script: Script) -> None:
    async with asyncio.timeout(60):
        while not script.executed:
            await asyncio.sleep(0.02)


async def test_a_cancelled_run_waits_for_its_task_and_hears_further_requests(
    client: Client,
) -> None:
    task = SlowToStop()
    script = Script(orders("slow"), task, [CANCELLING])
    async with running(client, script) as handle:
        await until_executed(script)
        for _ in range(3):
            await handle.signal(RunActivityWorkflow.cancel_run, RUN)
            await asyncio.wait_for(task.asked.wait(), 60)
        await asyncio.sleep(0.3)
        assert (await handle.describe()).close_time is None
        task.may_stop.set()
        assert await handle.result() == RUN
    assert script.stops == [CANCEL]


async def test_on_failure_starts_after_the_task_that_it_cleans_up_after(client: Client) -> None:
    task = SlowToStop(orders("page"))
    script = Script(orders("slow", deadline_seconds=0.3), task, [CANCELLING])
    async with running(client, script) as handle:
        await asyncio.wait_for(task.asked.wait(), 60)
        await asyncio.sleep(0.3)
        assert script.executed == ["slow"]
        task.may_stop.set()
        assert await handle.result() == RUN
    assert script.stops == [TIME_OUT]
    assert script.executed == ["slow", "page"]


async def test_a_run_that_timed_out_can_be_cancelled_while_its_task_stops(client: Client) -> None:
    task = SlowToStop()
    script = Script(orders("slow", deadline_seconds=0.3), task, [CANCELLING, CANCELLING])
    async with running(client, script) as handle:
        await asyncio.wait_for(task.asked.wait(), 60)
        await handle.cancel()
        async with asyncio.timeout(60):
            while len(script.stops) < 2:
                await asyncio.sleep(0.02)
        task.may_stop.set()
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
        assert isinstance(ended.value.cause, CancelledError)
    assert script.stops == [TIME_OUT, CANCEL]


@pytest.mark.parametrize("status", ["cancelled", "timed_out"])
async def test_a_run_whose_task_does_not_stop_ends_after_some_time(
    client: Client, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(carrier, "STOPS_WITHIN", timedelta(seconds=0.5))
    task = SlowToStop()
    seconds = 60 if status == "cancelled" else 0.3
    script = Script(orders("slow", deadline_seconds=seconds), task, [CANCELLING, OVER])
    async with running(client, script) as handle:
        await until_executed(script)
        if status == "cancelled":
            await handle.signal(RunActivityWorkflow.cancel_run, RUN)
        assert await handle.result() == RUN
        task.may_stop.set()
    reason = carrier.CANCELLED if status == "cancelled" else carrier.TIMED_OUT
    assert script.stops[-1] == StopOrder(RUN, status, reason, waits=False)
    assert len(script.stops) == 2


async def test_a_worker_that_is_lost_while_it_stops_a_task_does_not_hold_the_run(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "HEARTBEAT_TIMEOUT", timedelta(seconds=1))

    async def fall_silent(_: TaskOrder) -> Orders:
        await asyncio.sleep(4)
        return OVER

    script = Script(orders("slow"), fall_silent, [CANCELLING, OVER])
    async with running(client, script) as handle:
        await until_executed(script)
        await handle.signal(RunActivityWorkflow.cancel_run, RUN)
        assert await handle.result() == RUN
    lost = "the worker was lost before it could say that the task had ended"
    assert script.stops == [CANCEL, StopOrder(RUN, "cancelled", lost, task_id="slow")]
    assert script.executed == ["slow"], "a task of a run that is cancelling was repeated"


async def test_a_run_whose_workflow_was_lost_while_it_was_cancelling_ends(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "STOPS_WITHIN", timedelta(seconds=0.3))
    script = Script(CANCELLING, SlowToStop(), [orders("page")])
    async with running(client, script) as handle:
        assert await handle.result() == RUN
    assert script.stops == [StopOrder(RUN, "timed_out", carrier.TIMED_OUT, waits=False)]
    assert script.executed == ["page"]
