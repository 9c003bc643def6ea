"""A run whose history the worker's code cannot replay is told to be stuck, until it goes on."""

import asyncio
from typing import Any

import pytest
from temporalio import workflow

from activityctl.cli.render.columns import columns_of
from activityctl.daemon.worker import stuck_runs, worker
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import RunStatus
from activityctl.settings import Settings
from activityctl.workflows.carrier import RunCarrier
from support.engine import Engine, shell
from support.worker import working

_ADMIT = RunCarrier._admit


async def _admit_later(self: RunCarrier) -> Any:
    """Do what no version did: wait before the admission, so that no history fits."""
    await workflow.sleep(0.01)
    return await _ADMIT(self)


async def told(engine: Engine, run_id: str) -> int:
    """Return how often the log of the run says that it is stuck."""
    messages = [entry.message for entry in await engine.log(run_id)]
    return sum(message.startswith("the run is stuck: ") for message in messages)


async def test_a_run_that_cannot_be_replayed_is_stuck_until_the_code_fits_again(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(worker, "_CACHED_WORKFLOWS", 1)  # another workflow displaces the first
    monkeypatch.setattr(stuck_runs, "GOOD_AFTER", 1.0)
    ports = engine.ports
    async with working(settings):
        slow = "!trigger.payload.quick"
        tasks = [shell("sleep 3", when=slow), shell("sleep 8", name="two", when=slow)]
        await engine.apply({"tasks": tasks})
        run_id = await engine.fire(quick=False)
        async with asyncio.timeout(20):
            while not any(task.attempts for task in (await engine.tasks(run_id)).values()):
                await asyncio.sleep(0.05)
        with monkeypatch.context() as incompatible:
            incompatible.setattr(RunCarrier, "_admit", _admit_later)
            await engine.ended(await engine.fire(quick=True))
            async with asyncio.timeout(30):
                while (stuck := await ports.stuck_runs.summary()) is None:
                    await asyncio.sleep(0.05)
            assert stuck.count == 1
            assert "TMPRL1100" in stuck.last_reason
            run = await ports.run_lists.find_run(run_id)
            assert run.is_stuck
            shown = {name: read(run_view(run)) for name, read in columns_of("runs", wide=False)}
            assert shown["STATUS"] == "running, stuck"
            assert "TMPRL1100" in str(shown["REASON"])
            async with asyncio.timeout(10):
                while not await told(engine, run_id):
                    await asyncio.sleep(0.05)
            assert await told(engine, run_id) == 1
        assert (await engine.ended(run_id, seconds=60)).status is RunStatus.SUCCEEDED
    assert await ports.stuck_runs.summary() is None
