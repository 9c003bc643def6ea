"""A run whose history the worker's code cannot replay is told to be stuck, until it goes on."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from temporalio import workflow

from activityctl import wiring
from activityctl.cli.render.columns import columns_of
from activityctl.cli.render.overview import print_overview
from activityctl.daemon.local import doctor
from activityctl.daemon.worker import stuck_runs, worker
from activityctl.daemon.worker.recovery_loop import recover_all
from activityctl.domain.runs import fresh_start
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values import ids
from activityctl.operations.looking.overview import overview
from activityctl.operations.looking.overview_view import overview_view
from activityctl.settings import Settings
from activityctl.workflows.carrier import RunCarrier
from activityctl.workflows.local_steps import LocalSteps
from support.engine import Engine, now, shell
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
        async with asyncio.timeout(60):
            while not any(task.attempts for task in (await engine.tasks(run_id)).values()):
                await asyncio.sleep(0.05)
        with monkeypatch.context() as incompatible:
            incompatible.setattr(RunCarrier, "_admit", _admit_later)
            await engine.ended(await engine.fire(quick=True))
            async with asyncio.timeout(60):
                while (stuck := await ports.stuck_runs.summary()) is None:
                    await asyncio.sleep(0.05)
            assert stuck.count == 1
            assert "TMPRL1100" in stuck.last_reason
            run = await ports.run_lists.find_run(run_id)
            assert run.is_stuck
            shown = {name: read(run_view(run)) for name, read in columns_of("runs", wide=False)}
            assert shown["STATUS"] == "running, stuck"
            assert "TMPRL1100" in str(shown["REASON"])
            async with asyncio.timeout(60):
                while not await told(engine, run_id):
                    await asyncio.sleep(0.05)
            assert await told(engine, run_id) == 1
        assert (await engine.ended(run_id, seconds=60)).status is RunStatus.SUCCEEDED
    assert await ports.stuck_runs.summary() is None


async def test_a_stuck_run_is_told_everywhere_and_can_be_cancelled(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(worker, "_CACHED_WORKFLOWS", 1)
    ports = engine.ports
    async with working(settings):
        slow = "!trigger.payload.quick"
        tasks = [shell("sleep 8", when=slow), shell("sleep 300", name="two", when=slow)]
        await engine.apply({"tasks": tasks})
        run_id = await engine.fire(quick=False)
        async with asyncio.timeout(60):
            while not any(task.attempts for task in (await engine.tasks(run_id)).values()):
                await asyncio.sleep(0.05)
        monkeypatch.setattr(RunCarrier, "_admit", _admit_later)
        await engine.ended(await engine.fire(quick=True), seconds=60)
        async with asyncio.timeout(60):
            while not await told(engine, run_id):
                await asyncio.sleep(0.05)
        async with doctor._Postgres(settings) as shared:
            check = await doctor._runs(shared)
        assert (check.state, check.hint) == (
            "failed",
            "run a worker of the version that began it",
        )
        assert "1 run is stuck: " in check.found
        shown = Console(width=200, file=StringIO())
        print_overview(
            shown,
            overview_view(
                await overview(
                    ports.catalog,
                    ports.metrics,
                    ports.events,
                    ports.outbox,
                    ports.workers,
                    ports.stuck_runs,
                )
            ),
        )
        assert "1 run is stuck since" in shown.file.getvalue()  # type: ignore[attr-defined]
        await engine.cancel(run_id)
        run = await engine.ended(run_id, seconds=60)
        assert run.status is RunStatus.CANCELLED
    assert await ports.stuck_runs.summary() is None


async def test_a_stuck_run_goes_on_in_a_new_workflow_and_repeats_nothing(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(worker, "_CACHED_WORKFLOWS", 1)
    monkeypatch.setattr(fresh_start, "AT_LATEST", timedelta(0))
    ports, effects = engine.ports, tmp_path / "effects"
    async with working(settings):
        slow = "!trigger.payload.quick"
        by_workflow = {"total": "1h"}  # without it, the call of the first task would begin it
        tasks = [
            shell(f"sleep 3; echo one >> {effects}", name="one", when=slow),
            shell(
                f"echo two >> {effects}",
                name="two",
                needs=["one"],
                when=slow,
                timeout=by_workflow,
            ),
        ]
        await engine.apply({"tasks": tasks})
        run_id = await engine.fire(quick=False)
        async with asyncio.timeout(60):
            while not any(task.attempts for task in (await engine.tasks(run_id)).values()):
                await asyncio.sleep(0.05)
        monkeypatch.setattr(RunCarrier, "_admit", _admit_later)
        await engine.ended(await engine.fire(quick=True), seconds=60)
        client = await wiring.connect_temporal(settings)
        async with asyncio.timeout(60):
            while await ports.stuck_runs.summary() is None:
                await asyncio.sleep(0.05)
            while not await ports.stuck_runs.idle():  # the first task is at work
                await asyncio.sleep(0.05)
        found = await recover_all(
            ports, client, lambda: datetime.now(UTC), older_than=timedelta(0), is_dry_run=False
        )
        assert [firing.run_id for firing in found.lost.runs] == [run_id]
        assert (await engine.ended(run_id, seconds=60)).status is RunStatus.SUCCEEDED
    assert effects.read_text() == "one\ntwo\n"


async def test_firings_in_stuck_workflows_without_a_run_get_new_ones(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fresh_start, "AT_LATEST", timedelta(0))
    ports, broken_until = engine.ports, [datetime.max.replace(tzinfo=UTC)]

    def failing(body: Callable[..., Any]) -> Callable[..., Any]:
        def fail(*arguments: Any) -> Any:
            if workflow.info().start_time < broken_until[0]:
                raise RuntimeError("no version can begin this")
            return body(*arguments)

        return fail

    monkeypatch.setattr(RunCarrier, "_admit", failing(_ADMIT))
    monkeypatch.setattr(LocalSteps, "keep_order", failing(LocalSteps.keep_order))  # a batch begins
    await engine.apply({"tasks": [shell("true")]})
    runs = await engine.fire_many("a", "b", "c")
    async with ports.outbox.claimed(10) as claim:
        await claim.dispatched(claim.firings, now())
        alone, *together = claim.firings
    async with working(settings):
        client = await wiring.connect_temporal(settings)
        starter = wiring.build_starter(client)
        batch = ids.batch_workflow_id(runs)
        await starter.start(*(replace(firing, workflow_id=batch) for firing in together))
        await starter.start(alone)
        async with asyncio.timeout(60):
            while not {batch, alone.workflow_id} <= set(await ports.stuck_runs.stuck_workflows()):
                await asyncio.sleep(0.05)
        assert await ports.stuck_runs.summary() is not None
        broken_until[0] = datetime.now(UTC)
        await recover_all(ports, client, now, older_than=timedelta(0), is_dry_run=False)
        for run_id in runs:  # the worker's own recovery may have been at it as well
            assert (await engine.ended(run_id)).status is RunStatus.SUCCEEDED
        async with asyncio.timeout(60):
            while await starter.open_workflows():  # the listing may be seconds old
                await asyncio.sleep(0.1)
        assert await ports.stuck_runs.summary() is None
    assert len(await engine.runs()) == len(runs)
