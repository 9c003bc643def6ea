"""Tasks that wait, with a real worker, Postgres and Temporal."""

import asyncio
from datetime import timedelta

import pytest

from activityctl.domain.runs.run import RunStatus
from activityctl.settings import Settings
from support.engine import Engine, now
from support.worker import working


@pytest.mark.usefixtures("worker")
async def test_values_and_waits_carry_a_run(engine: Engine) -> None:
    run = await engine.run(
        {
            "tasks": [
                {"name": "n", "value": "${ 20 + 1 }"},
                {"name": "pause", "needs": ["n"], "wait": {"for": "500ms"}},
                {
                    "name": "say",
                    "needs": ["n", "pause"],
                    "command": {"argv": ["echo", "${ tasks.n.output * 2 }"]},
                },
            ]
        }
    )
    assert run.status is RunStatus.SUCCEEDED
    tasks = await engine.tasks(run.id)
    assert tasks["n"].output == 21
    assert tasks["say"].output["stdout"] == "42\n"
    waited = tasks["pause"]
    assert waited.waits_until == (waited.started_at or now()) + timedelta(milliseconds=500)
    assert (waited.ended_at or now()) >= waited.waits_until
    messages = [entry.message for entry in await engine.log(run.id)]
    assert any(message.startswith("task pause waits until 20") for message in messages)


async def test_a_wait_survives_its_worker_and_ends_while_none_runs(
    engine: Engine, settings: Settings
) -> None:
    pause = {"name": "pause", "wait": {"for": "1s"}}
    async with working(settings):
        await engine.apply({"tasks": [pause, {"name": "v", "needs": ["pause"], "value": 1}]})
        run_id = await engine.fire()
        async with asyncio.timeout(10):
            while "pause" not in await engine.tasks(run_id):
                await asyncio.sleep(0.02)
    assert (await engine.tasks(run_id))["pause"].status == "waiting"
    await asyncio.sleep(1.2)
    async with working(settings):
        run = await engine.ended(run_id)
    assert run.status is RunStatus.SUCCEEDED
