"""Tasks that wait, with a real worker, Postgres and Temporal."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import Client

from activityctl.daemon.worker import background
from activityctl.domain.runs.run import RunStatus, TaskInstance
from activityctl.domain.runs.waiting import Answer
from activityctl.operations.runs.complete import complete
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
        async with asyncio.timeout(60):
            while "pause" not in await engine.tasks(run_id):
                await asyncio.sleep(0.02)
    assert (await engine.tasks(run_id))["pause"].status == "waiting"
    await asyncio.sleep(1.2)
    async with working(settings):
        run = await engine.ended(run_id)
    assert run.status is RunStatus.SUCCEEDED


MANUAL = {
    "tasks": [
        {"name": "review", "manual": {"assignee": "anna", "due": "1h"}},
        {"name": "after", "needs": ["review"], "value": "${ tasks.review.output }"},
    ]
}


async def waits(engine: Engine, run_id: str, name: str = "review") -> TaskInstance:
    """Return the task when it waits."""
    async with asyncio.timeout(60):
        while True:
            task = (await engine.tasks(run_id)).get(name)
            if task is not None and task.status == "waiting":
                return task
            await asyncio.sleep(0.02)


async def answered(engine: Engine, task: TaskInstance, output: object) -> None:
    done = await complete(engine.ports.waits, task, Answer(output, by="anna"))
    assert done.given.is_new


async def test_an_answer_carries_the_run_on_at_once(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for periodic in ("_SAFETY_POLL", "_RECOVER_EVERY", "_STUCK_EVERY"):
        monkeypatch.setattr(background, periodic, 600.0)
    async with working(settings):
        await engine.apply(MANUAL)
        run_id = await engine.fire()
        await answered(engine, await waits(engine, run_id), {"ok": True})
        asked = now()
        run = await engine.ended(run_id, 60)  # sooner than any periodic look
    print(f"the run had ended {((run.ended_at or now()) - asked).total_seconds():.3f} s later")
    tasks = await engine.tasks(run_id)
    assert (tasks["after"].output, tasks["review"].completed_by) == ({"ok": True}, "anna")
    assert tasks["review"].attempts == 0


async def test_an_answer_that_comes_while_no_worker_runs_is_not_lost(
    engine: Engine, settings: Settings
) -> None:
    async with working(settings):
        await engine.apply(MANUAL)
        run_id = await engine.fire()
        task = await waits(engine, run_id)
    await answered(engine, task, 1)
    assert (await engine.tasks(run_id))["review"].status == "waiting"
    async with working(settings):
        assert (await engine.ended(run_id)).status is RunStatus.SUCCEEDED
    assert (await engine.tasks(run_id))["after"].output == 1


async def test_a_due_time_that_passes_while_nothing_runs_has_one_outcome(
    engine: Engine, settings: Settings
) -> None:
    soon = {"tasks": [{"name": "review", "manual": {"due": "1s"}}]}
    async with working(settings):
        await engine.apply(soon)
        late, in_time = await engine.fire(), await engine.fire()
        tasks = {run_id: await waits(engine, run_id) for run_id in (late, in_time)}
    await answered(engine, tasks[in_time], "just in time")
    await asyncio.sleep(1.2)
    async with working(settings):
        assert (await engine.ended(in_time)).status is RunStatus.SUCCEEDED
        run = await engine.ended(late)
    assert "nobody completed it by 20" in str(run.reason)
    assert await engine.ports.waits.answer(tasks[late].id, Answer("too late")) is None


@pytest.mark.usefixtures("worker")
async def test_a_waiting_run_is_cancelled_and_takes_no_answer(engine: Engine) -> None:
    await engine.apply(MANUAL)
    run_id = await engine.fire()
    task = await waits(engine, run_id)
    await engine.cancel(run_id)
    assert (await engine.ended(run_id)).status is RunStatus.CANCELLED
    assert (await engine.tasks(run_id))["review"].status == "cancelled"
    assert await engine.ports.waits.answer(task.id, Answer(1)) is None


@pytest.mark.usefixtures("worker")
async def test_a_waiting_run_reaches_its_timeout(engine: Engine) -> None:
    failing = [{"name": "page", "value": "${ run.error }"}]
    run = await engine.run({**MANUAL, "timeout": "1s", "onFailure": failing})
    assert run.status is RunStatus.TIMED_OUT
    tasks = await engine.tasks(run.id)
    assert (tasks["review"].status, tasks["page"].status) == ("cancelled", "succeeded")


@pytest.mark.usefixtures("soon", "worker")
async def test_a_waiting_run_survives_the_loss_of_temporal(
    engine: Engine, servers: dict[str, str]
) -> None:
    await engine.apply(MANUAL)
    run_id = await engine.fire()
    task = await waits(engine, run_id)
    firings = await engine.ports.unfinished.open_runs(timedelta(0), 100)
    (workflow_id,) = [firing.workflow_id for firing in firings if firing.run_id == run_id]
    client = await Client.connect(servers["temporal_address"])
    await client.get_workflow_handle(workflow_id).terminate()
    await answered(engine, task, "after the loss")
    assert (await engine.ended(run_id, 40)).status is RunStatus.SUCCEEDED
    assert (await engine.tasks(run_id))["after"].output == "after the loss"


@pytest.mark.usefixtures("worker")
async def test_runs_of_a_batch_wait_each_for_itself(engine: Engine) -> None:
    await engine.apply(MANUAL)
    run_ids = await engine.fire_many(*(f"k{number}" for number in range(8)))
    tasks = [await waits(engine, run_id) for run_id in run_ids]
    workflows = {run.workflow_id for run in await engine.ports.unfinished.open_runs(timedelta(), 9)}
    assert len(workflows) < len(run_ids)
    for number, task in enumerate(tasks):
        await answered(engine, task, number)
    for number, run_id in enumerate(run_ids):
        assert (await engine.ended(run_id)).status is RunStatus.SUCCEEDED
        assert (await engine.tasks(run_id))["after"].output == number


@pytest.mark.usefixtures("worker")
async def test_people_are_reminded_by_events_that_start_automations(engine: Engine) -> None:
    manual = {"assignee": "anna", "due": "3s", "reminder": "1s", "onTimeout": {"output": 1}}
    event = {"type": "activityctl.task.*", "match": {"data.name": "review"}}
    await engine.apply(
        {
            "triggers": [{"name": "told", "event": event}],
            "tasks": [
                {"name": "said", "value": "${ event == null ? '' : event.type }"},
                {"name": "review", "when": "event == null", "manual": manual},
            ],
        }
    )
    run = await engine.ended(await engine.fire(), 30)
    assert run.status is RunStatus.SUCCEEDED
    async with asyncio.timeout(60):
        while True:
            runs = [found for found in await engine.runs() if found.events]
            said = sorted([(await engine.tasks(found.id))["said"].output for found in runs])
            if said[:1] == ["activityctl.task.overdue"]:
                break
            await asyncio.sleep(0.1)
    assert "activityctl.task.reminder" in said
    assert said.count("activityctl.task.overdue") == 1
