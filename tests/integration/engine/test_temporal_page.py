"""What Temporal's own page says of runs: names, the command that tells more, failures."""

import asyncio
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus

from activityctl.domain.runs.run import RunStatus
from activityctl.settings import Settings
from support.engine import NAME, Engine, shell


@pytest.fixture
async def temporal(settings: Settings) -> Client:
    return await Client.connect(settings.required_temporal_address())


async def shown(
    engine: Engine, temporal: Client, run_id: str
) -> tuple[WorkflowExecutionDescription, Any]:
    """Return the workflow of the run when it is closed, and its result or its error."""
    name = await engine.ports.run_lists.workflow_of(run_id)
    assert name is not None
    handle = temporal.get_workflow_handle(name)
    async with asyncio.timeout(60):
        try:
            result = await handle.result()
        except Exception as error:  # noqa: BLE001  # looked at by the test
            result = error.__cause__
    return await handle.describe(), result


@pytest.mark.usefixtures("worker")
async def test_a_run_shows_its_name_the_command_and_how_it_ended(
    engine: Engine, temporal: Client
) -> None:
    tick = {"name": "tick", "interval": {"every": "1s"}}
    fails = {"triggers": [tick], "tasks": [shell('echo "card 4711" >&2; exit 3')]}
    run = await engine.run(fails, {"customer": "Miller"})
    page, error = await shown(engine, temporal, run.id)
    assert page.status is WorkflowExecutionStatus.FAILED
    assert str(error) == f"failed: failed; activityctl describe run {run.id}"
    assert (await page.static_summary() or "").startswith(f"{NAME}: manual, due 20")
    assert await page.memo() == {
        "subscription": NAME,
        "definition": NAME,
        "describe": f"activityctl describe run {run.id}",
    }
    # The ledger is as it was: one run with this key, one attempt, one dead letter.
    assert [task.attempts for task in (await engine.tasks(run.id)).values()] == [1]
    async with asyncio.timeout(60):
        while not (clocked := [each for each in await engine.runs() if each.trigger == "tick"]):
            await asyncio.sleep(0.1)
    clock_run = await engine.ended(clocked[-1].id, 60)
    # Of a schedule's workflow, the names are known when the run is admitted.
    page, error = await shown(engine, temporal, clock_run.id)
    assert page.status is WorkflowExecutionStatus.FAILED
    assert (await page.memo())["describe"] == f"activityctl describe run {clock_run.id}"
    assert (await page.memo())["subscription"] == NAME
    history = str(await temporal.get_workflow_handle(page.id).fetch_history())
    assert "4711" not in history
    assert "Miller" not in history


@pytest.mark.usefixtures("worker")
async def test_a_batch_is_completed_and_says_how_each_run_ended(
    engine: Engine, temporal: Client
) -> None:
    body = {"argv": ["sh", "-c", 'test "$0" != manual/3', "${ trigger.firingKey }"]}
    await engine.apply({"tasks": [{"name": "one", "command": body}]})
    runs = await engine.fire_many(*(str(number) for number in range(6)))
    ends = [(await engine.ended(run_id, 60)).status for run_id in runs]
    assert ends.count(RunStatus.FAILED) == 1
    told = []
    for run_id, status in zip(runs, ends, strict=True):
        page, result = await shown(engine, temporal, run_id)
        if page.id.startswith("batch/"):
            assert page.status is WorkflowExecutionStatus.COMPLETED
            assert f"{status}; activityctl describe run {run_id}" in result
            assert await page.static_summary() == f"{len(result)} runs of {NAME}"
            told.append(run_id)
    assert told
