"""What Temporal's own page says of runs: names, the command that tells more, failures."""

import asyncio
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError

from activityctl.adapters.temporal import search_attributes
from activityctl.daemon.local import temporal_checks
from activityctl.daemon.worker import background
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.settings import Settings
from activityctl.workflows import titles
from support.engine import NAME, Engine, shell
from support.worker import working


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


async def shown_run_of_schedule(
    engine: Engine, temporal: Client
) -> tuple[Run, WorkflowExecutionDescription]:
    """Return a run of `tick` that was started, and its workflow; one that was missed has none."""
    async with asyncio.timeout(120):
        while True:
            for run in await engine.runs():
                if run.trigger == "tick" and run.status is RunStatus.FAILED:
                    return run, (await shown(engine, temporal, run.id))[0]
            await asyncio.sleep(0.1)


def names_of(page: WorkflowExecutionDescription) -> tuple[object, ...]:
    """Return what Temporal's page finds the workflow by."""
    return tuple(page.typed_search_attributes.get(key) for key in titles.ATTRIBUTES)


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
    assert names_of(page) == ([NAME], [NAME])
    # The ledger is as it was: one run with this key, one attempt, one dead letter.
    assert [task.attempts for task in (await engine.tasks(run.id)).values()] == [1]
    # Of a schedule's workflow, the names are known when the run is admitted.
    clock_run, page = await shown_run_of_schedule(engine, temporal)
    assert page.status is WorkflowExecutionStatus.FAILED
    assert names_of(page) == ([NAME], [NAME])
    assert (await page.memo())["describe"] == f"activityctl describe run {clock_run.id}"
    assert (await page.memo())["subscription"] == NAME
    history = str(await temporal.get_workflow_handle(page.id).fetch_history())
    assert "4711" not in history
    assert "Miller" not in history


@pytest.mark.usefixtures("worker")
async def test_a_batch_fails_with_one_of_its_runs_and_says_how_each_ended(
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
            has_failed = isinstance(result, ApplicationError)
            ends = result.details[0] if has_failed else result
            assert f"{status}; activityctl describe run {run_id}" in ends
            assert await page.static_summary() == f"{len(ends)} runs of {NAME}"
            assert (page.status is WorkflowExecutionStatus.FAILED) == has_failed
            told.append(run_id)
            if status is RunStatus.FAILED:
                assert str(result).splitlines() == [
                    f"failed: 1 of {len(ends)} runs failed",
                    f"failed; activityctl describe run {run_id}",
                ]
            assert names_of(page) == ([NAME], [NAME])
    assert told


async def test_runs_do_without_search_attributes_that_were_removed(
    engine: Engine, temporal: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker believes in two that the server does not have, until it looks again."""
    shown_by_doctor = await temporal_checks.search_attributes(settings)
    assert shown_by_doctor.state == "ok"
    absent = tuple(SearchAttributeKey.for_keyword_list(name) for name in ("Gone", "GoneToo"))
    monkeypatch.setattr(titles, "ATTRIBUTES", absent)
    monkeypatch.setattr(search_attributes, "ATTRIBUTES", absent)
    shown_by_doctor = await temporal_checks.search_attributes(settings)
    assert shown_by_doctor.state == "warning"
    assert "it lacks Gone and GoneToo" in shown_by_doctor.found
    assert (shown_by_doctor.hint or "").endswith(
        "--namespace default --name Gone --type KeywordList --name GoneToo --type KeywordList"
    )

    asks = asyncio.Event()
    look = search_attributes.SearchAttributes.look

    async def believe(attributes: search_attributes.SearchAttributes) -> None:
        attributes.are_used = True
        if asks.is_set():
            await look(attributes)

    monkeypatch.setattr(search_attributes.SearchAttributes, "look", believe)
    monkeypatch.setattr(background, "_LOOK_AT_ATTRIBUTES_EVERY", 0.5)
    async with working(settings):
        tick = {"name": "tick", "interval": {"every": "1s"}}
        run = await engine.run({"triggers": [tick], "tasks": [shell("true")]})
        assert run.status is RunStatus.SUCCEEDED
        async with asyncio.timeout(60):
            while not (clocked := [each for each in await engine.runs() if each.trigger == "tick"]):
                await asyncio.sleep(0.1)
        asks.set()
        assert (await engine.ended(clocked[-1].id, 120)).status is RunStatus.SUCCEEDED
        page, _ = await shown(engine, temporal, run.id)
    assert names_of(page) == (None, None)
