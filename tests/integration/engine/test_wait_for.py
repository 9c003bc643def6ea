"""Tasks that wait for an event: no event is lost, and each wait has one outcome."""

import asyncio
import uuid
from typing import Any

import pytest

from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.runs.run import RunStatus, TaskInstance
from activityctl.settings import Settings
from support.engine import Engine
from support.worker import working


def spec(**body: Any) -> dict[str, Any]:
    match = {"data.order": "${ trigger.payload.order }"}
    return {
        "params": {"type": "object", "properties": {"least": {"type": "number", "default": 10}}},
        "tasks": [
            {"name": "paid", "waitFor": {"type": "order.paid", "match": match, **body}},
            {"name": "amount", "needs": ["paid"], "value": "${ tasks.paid.output.data.amount }"},
        ],
    }


async def emit(engine: Engine, order: int, amount: int) -> None:
    document = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "/shop",
        "type": "order.paid",
        "data": {"order": order, "amount": amount},
    }
    await engine.ports.events.add([envelope_of(document)])


async def waits(engine: Engine, run_id: str) -> TaskInstance:
    async with asyncio.timeout(60):
        while True:
            task = (await engine.tasks(run_id)).get("paid")
            if task is not None and task.status == "waiting":
                return task
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("worker")
async def test_each_run_gets_its_own_event(engine: Engine) -> None:
    await engine.apply(spec(filter="event.data.amount > params.least"))
    runs = {order: await engine.fire(order=order) for order in (1, 2)}
    for run_id in runs.values():
        await waits(engine, run_id)
    for order, amount in ((2, 5), (2, 20), (1, 30), (2, 40), (3, 50)):
        await emit(engine, order, amount)
    for order, amount in ((1, 30), (2, 20)):
        assert (await engine.ended(runs[order])).status is RunStatus.SUCCEEDED
        assert (await engine.tasks(runs[order]))["amount"].output == amount


@pytest.mark.usefixtures("worker")
async def test_an_event_that_comes_before_the_task_begins_counts(engine: Engine) -> None:
    slow = {"name": "slow", "wait": {"for": "1s"}}
    for since, is_found in (("run", True), ("task", False)):
        waiting = spec(since=since, timeout="1s")
        waiting["tasks"][0]["needs"] = ["slow"]
        waiting["tasks"] = [slow, *waiting["tasks"]]
        await engine.apply(waiting)
        run_id = await engine.fire(order=7)
        async with asyncio.timeout(60):
            while "slow" not in await engine.tasks(run_id):
                await asyncio.sleep(0.02)
        await emit(engine, 7, 70)
        run = await engine.ended(run_id)
        assert (run.status is RunStatus.SUCCEEDED) is is_found, since


@pytest.mark.usefixtures("worker")
async def test_an_event_of_the_moment_in_which_the_wait_begins_is_not_lost(engine: Engine) -> None:
    """The run begins, its wait is written, and the event is routed, all at the same time."""
    await engine.apply(spec(since="run"))
    run_ids = await asyncio.gather(*(engine.fire(order=order) for order in range(12)))
    async with asyncio.timeout(60):
        while len(await engine.runs()) < 12:
            await asyncio.sleep(0.005)
    await asyncio.gather(*(emit(engine, order, order) for order in range(12)))
    ends = [await engine.ended(run_id) for run_id in run_ids]
    assert {run.status for run in ends} == {RunStatus.SUCCEEDED}


@pytest.mark.usefixtures("worker")
async def test_an_event_of_the_moment_in_which_the_time_is_over_has_one_outcome(
    engine: Engine,
) -> None:
    await engine.apply(spec(timeout="1s", onTimeout={"output": {"data": {"amount": -1}}}))
    run_ids = [await engine.fire(order=order) for order in range(10)]
    last = await waits(engine, run_ids[-1])
    ends_at = last.waits_until
    assert ends_at is not None
    seconds = (ends_at - (await engine.ports.workers.server_time())).total_seconds()
    await asyncio.sleep(max(seconds - 0.05, 0))
    for order in range(10):
        await emit(engine, order, order)
    for order, run_id in enumerate(run_ids):
        assert (await engine.ended(run_id)).status is RunStatus.SUCCEEDED
        tasks = await engine.tasks(run_id)
        assert tasks["amount"].output in (order, -1)
        assert (tasks["paid"].reason is None) == (tasks["amount"].output == order)


async def test_an_event_that_comes_while_no_worker_runs_ends_the_wait(
    engine: Engine, settings: Settings
) -> None:
    async with working(settings):
        await engine.apply(spec())
        run_id = await engine.fire(order=1)
        await waits(engine, run_id)
    await emit(engine, 1, 11)
    async with working(settings):
        assert (await engine.ended(run_id)).status is RunStatus.SUCCEEDED
    assert (await engine.tasks(run_id))["amount"].output == 11
