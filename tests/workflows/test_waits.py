"""A workflow whose run waits: for a time, or for a signal, which is only a hint."""

import asyncio
from dataclasses import replace

from temporalio.client import Client

from activityctl.workflows.calls import Orders, TaskOrder
from activityctl.workflows.run_activity import RunActivityWorkflow
from support.scripted import GOING_ON, OVER, RUN, Script, orders, running, work_without_end

WAITING = replace(GOING_ON, has_waiting=True)


def waiting(seconds: float | None = None, *task_ids: str) -> Orders:
    return replace(orders(*task_ids), has_waiting=True, settle_in_seconds=seconds)


async def test_a_run_whose_tasks_all_wait_looks_at_them_when_their_time_comes(
    client: Client,
) -> None:
    again = replace(WAITING, settle_in_seconds=0.2)  # a clock was ahead
    script = Script(waiting(0.3), work_without_end, settled=[again, OVER])
    async with running(client, script) as handle:
        assert await handle.result() == RUN
    assert script.settles == [RUN, RUN]
    assert (script.executed, script.stops) == ([], [])


async def test_a_signal_makes_it_look_earlier_and_a_useless_one_does_no_harm(
    client: Client,
) -> None:
    script = Script(waiting(), work_without_end, settled=[WAITING, WAITING, OVER])
    async with running(client, script) as handle:
        await handle.signal(RunActivityWorkflow.wake_run, "another run")
        await handle.signal(RunActivityWorkflow.wake_run, RUN)
        async with asyncio.timeout(60):
            while len(script.settles) < 1:
                await asyncio.sleep(0.02)
        await handle.signal(RunActivityWorkflow.wake_run, RUN)
        await handle.signal(RunActivityWorkflow.wake_run, RUN)
        while script.settled:
            await handle.signal(RunActivityWorkflow.wake_run, RUN)
            await asyncio.sleep(0.05)
        assert await handle.result() == RUN
    assert script.executed == []


async def test_work_goes_on_beside_a_wait_and_an_old_answer_does_not_undo_it(
    client: Client,
) -> None:
    """The answers of tasks may come in another order than they were decided in."""

    async def execute(asked: TaskOrder) -> Orders:
        if asked.task_id == "first":
            return waiting(0.4, "third")
        await asyncio.sleep(0.1)
        return GOING_ON  # decided before the wait began

    script = Script(orders("first", "second"), execute, settled=[OVER])
    async with running(client, script) as handle:
        assert await handle.result() == RUN
    assert sorted(script.executed) == ["first", "second", "third"]
    assert script.settles == [RUN]


async def test_the_deadline_of_a_run_ends_its_wait(client: Client) -> None:
    admitted = replace(waiting(60), deadline_seconds=0.3)
    script = Script(admitted, work_without_end)
    async with running(client, script) as handle:
        await handle.result()
    assert [stop.status for stop in script.stops] == ["timed_out"]
    assert script.settles == []


async def test_a_run_that_waits_is_cancelled_at_once(client: Client) -> None:
    script = Script(waiting(60), work_without_end)
    async with running(client, script) as handle:
        await handle.signal(RunActivityWorkflow.cancel_run, RUN)
        await handle.result()
    assert [stop.status for stop in script.stops] == ["cancelled"]
