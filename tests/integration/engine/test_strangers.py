"""The run engine when somebody else reaches Temporal: only what Postgres decided happens."""

import asyncio
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle

from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.timing.firing import FiringCause, FiringRef
from activityctl.domain.values import ids
from activityctl.settings import Settings
from activityctl.workflows.calls import TASK_QUEUE
from activityctl.workflows.run_activity import RunActivityWorkflow
from activityctl.workflows.run_batch import RunBatchWorkflow
from support.engine import NAME, Engine, now, shell, until

OWNER = ids.subscription_id(NAME)


@pytest.fixture
async def stranger(settings: Settings) -> Client:
    """Connect a client of somebody else to our Temporal."""
    return await Client.connect(settings.required_temporal_address())


@pytest.fixture
def key() -> str:
    """Return a key that no other test uses, because the tests share one namespace."""
    return f"key-{uuid.uuid4()}"


async def carried(stranger: Client, *firings: FiringRef, as_workflow: str | None = None) -> None:
    """Start a workflow for the firings and wait for its end."""
    workflow: Any = RunBatchWorkflow.run if len(firings) > 1 else RunActivityWorkflow.run
    handle: WorkflowHandle[Any, Any] = await stranger.start_workflow(
        workflow,
        list(firings) if len(firings) > 1 else firings[0],
        id=as_workflow or firings[0].workflow_id,
        task_queue=TASK_QUEUE,
    )
    async with asyncio.timeout(60):
        await handle.result()


async def workflow_of(
    engine: Engine, stranger: Client, run_id: str
) -> WorkflowHandle[RunActivityWorkflow, str]:
    run = await engine.ports.run_lists.find_run(run_id)
    name = ids.workflow_id(OWNER, run.trigger, run.firing_key)
    return stranger.get_workflow_handle_for(RunActivityWorkflow.run, name)


def made_up(
    key: str,
    workflow_id: str | None = None,
    *,
    trigger: str = "manual",
    due: datetime | None = None,
    cause: FiringCause = FiringCause.OUTBOX,
) -> FiringRef:
    name = workflow_id or f"run/{OWNER}/{uuid.uuid4()}"
    return FiringRef(OWNER, trigger, key, (due or now()).isoformat(), name, cause)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("cause", list(FiringCause))
async def test_a_firing_that_postgres_did_not_decide_gets_no_run(
    engine: Engine, stranger: Client, cause: FiringCause, caplog: pytest.LogCaptureFixture
) -> None:
    cron = {"name": "yearly", "cron": {"schedule": "0 8 1 1 *"}}
    await engine.apply({"triggers": [cron], "tasks": [shell("true")]})
    due = datetime(2026, 1, 1, 8, tzinfo=UTC)
    nominal = "2026-01-01T08:00:00Z"
    replay = ids.replay_key(ids.replay_id("mine"), "event")
    await carried(stranger, made_up("manual/mine", cause=cause))
    await carried(stranger, made_up(replay, cause=cause))
    await carried(stranger, made_up(nominal, trigger="yearly", due=due, cause=cause))
    await carried(stranger, made_up(nominal, trigger="yearly", cause=cause))
    batch = f"batch/{uuid.uuid4()}"
    await carried(stranger, *(made_up(key, batch, cause=cause) for key in ("a", "b")))
    assert await engine.runs() == []
    assert "a run that Postgres did not decide" in caplog.text


@pytest.mark.usefixtures("worker")
async def test_a_queued_run_stays_queued_when_a_stranger_lets_it_in(
    engine: Engine, stranger: Client, key: str, tmp_path: Path
) -> None:
    script = f"while ! test -e {tmp_path}/gate; do sleep 0.02; done"
    await engine.apply({"concurrency": {"policy": "queue"}, "tasks": [shell(script)]})
    first = await engine.fire(f"{key}-1")
    async with asyncio.timeout(60):
        while not await engine.runs():
            await asyncio.sleep(0.02)
    queued = await engine.fire(key)
    async with asyncio.timeout(60):
        while len(await engine.runs()) < 2:
            await asyncio.sleep(0.02)
    run = await engine.ports.run_lists.find_run(queued)
    for status in (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED):
        await engine.set_status(status)
        for cause in FiringCause:
            let_in = ids.let_in_workflow_id(OWNER, run.trigger, run.firing_key)
            parts = (run.trigger, run.firing_key, run.due_at.isoformat())
            await carried(stranger, FiringRef(OWNER, *parts, let_in, cause))
        assert (await engine.ports.run_lists.find_run(queued)).status is RunStatus.QUEUED
    assert await engine.tasks(queued) == {}
    (tmp_path / "gate").touch()
    await engine.set_status(SubscriptionStatus.ACTIVE)
    assert (await engine.ended(first)).status is RunStatus.SUCCEEDED
    assert (await engine.ended(queued)).status is RunStatus.SUCCEEDED


@pytest.mark.usefixtures("worker")
async def test_a_run_whose_workflow_a_stranger_started_first_runs_once(
    engine: Engine, stranger: Client, key: str
) -> None:
    await engine.apply({"tasks": [shell("true")]})
    name = ids.workflow_id(OWNER, "manual", f"manual/{key}")
    await carried(stranger, made_up(f"manual/{key}", name))
    await carried(stranger, made_up(f"manual/{key}", "run/other"), as_workflow=name)
    assert await engine.runs() == []
    run_id = await engine.fire(key)
    assert (await engine.ended(run_id)).status is RunStatus.SUCCEEDED
    await stranger.get_workflow_handle(name).result()
    await carried(stranger, made_up(f"manual/{key}", name))
    await carried(stranger, made_up(f"manual/{key}", "run/other"), as_workflow="run/another")
    assert (await engine.tasks(run_id))["one"].attempts == 1


@pytest.mark.usefixtures("worker")
async def test_a_run_that_a_stranger_cancels_goes_on_and_we_can_cancel_it(
    engine: Engine,
    stranger: Client,
    key: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = f"touch {tmp_path}/begun; while ! test -e {tmp_path}/gate; do sleep 0.02; done"
    await engine.apply({"tasks": [shell(script)]})
    run_id = await engine.fire(key)
    await until((tmp_path / "begun").exists)
    handle = await workflow_of(engine, stranger, run_id)
    await handle.cancel()
    await handle.signal("cancelRun", run_id)
    await until(lambda: caplog.text.count("Postgres has no request for that") == 2)
    (tmp_path / "gate").touch()
    assert (await engine.ended(run_id)).status is RunStatus.SUCCEEDED
    assert (await handle.describe()).status is not WorkflowExecutionStatus.CANCELED

    (tmp_path / "gate").unlink()
    (tmp_path / "begun").unlink()
    second = await engine.fire(f"{key}-2")
    await until((tmp_path / "begun").exists)
    handle = await workflow_of(engine, stranger, second)
    await handle.cancel()
    await until(lambda: caplog.text.count("Postgres has no request for that") == 3)
    await engine.cancel(second)
    ended = await engine.ended(second)
    assert (ended.status, ended.reason) == (RunStatus.CANCELLED, "cancelled on request")
