"""Long runs: they go on in a new history before theirs is too long, and lose nothing."""

import asyncio
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from activityctl.domain.timing.firing import FiringCause
from activityctl.workflows import renewal
from activityctl.workflows.calls import Orders, TaskOrder
from activityctl.workflows.run_activity import RunActivityWorkflow
from support.scripted import GOING_ON, OVER, RUN, Script, orders, running


async def test_a_long_run_goes_on_in_a_new_history(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "RENEW_FROM", 8)
    last, histories = 40, dict[str, str]()

    async def step(asked: TaskOrder) -> Orders:
        info = activity.info()
        assert info.workflow_id is not None
        histories[str(info.workflow_run_id)] = info.workflow_id
        if (number := int(asked.task_id)) == last:
            return OVER
        script.admitted = orders(str(number + 1))
        return script.admitted

    script = Script(orders("1"), step)
    async with running(client, script) as handle:
        assert await handle.result() == RUN
    assert script.executed == [str(number) for number in range(1, last + 1)], "each of them once"
    assert len(script.firings) == len(histories) > 3
    first, *others = script.firings
    assert {firing.run_id for firing in others} == {first.run_id}
    assert {firing.cause for firing in others} == {FiringCause.RECOVERY}
    replayer = Replayer(
        workflows=[RunActivityWorkflow], workflow_runner=UnsandboxedWorkflowRunner()
    )
    for run_id, workflow_id in histories.items():
        history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        assert len(history.events) < 90
        await replayer.replay_workflow(history)


async def test_a_run_that_begins_with_very_many_calls_makes_them_at_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "RENEW_FROM", 8)
    names = [f"t{number}" for number in range(20)]

    async def step(_: TaskOrder) -> Orders:
        if len(script.executed) < len(names):
            return GOING_ON
        script.admitted = OVER
        return orders("last")

    script = Script(orders(*names), step)
    async with running(client, script) as handle:
        assert await handle.result() == RUN
    assert sorted(script.executed) == sorted(names)
    assert len(script.firings) == 2


async def test_a_task_that_takes_long_does_not_hold_the_others_up_for_ever(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "RENEW_FROM", 6)
    monkeypatch.setattr(renewal, "PATIENCE", timedelta(seconds=0.3))
    done = asyncio.Event()

    async def step(asked: TaskOrder) -> Orders:
        match asked.task_id:
            case "long":
                await done.wait()
                return GOING_ON
            case "20":
                done.set()
                await asyncio.sleep(0.2)
                return OVER
            case number:
                return orders(str(int(number) + 1))

    script = Script(orders("long", "1"), step)
    async with running(client, script) as handle:
        assert await handle.result() == RUN
    assert sorted(script.executed) == sorted(["long", *map(str, range(1, 21))]), "each once"
    assert len(script.firings) == 1, "its history could not be left meanwhile"
