"""Runs whose workflow Temporal lost: a worker carries them on, and `recover` does."""

import asyncio
import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import Client

from activityctl.domain.runs.run import RunStatus
from activityctl.settings import Settings
from support.engine import Engine, shell
from support.forked import run_command
from support.worker import working


async def workflow_of(engine: Engine, run_id: str) -> str:
    firings = await engine.ports.unfinished.open_runs(timedelta(0), 100)
    return next(firing.workflow_id for firing in firings if firing.run_id == run_id)


@pytest.mark.usefixtures("soon", "worker")
async def test_a_worker_carries_on_a_run_whose_workflow_is_gone(
    engine: Engine, servers: dict[str, str], tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    first = shell(f"echo first >> {marks}")
    second = {**shell(f"echo second >> {marks}; sleep 3"), "name": "two", "needs": ["one"]}
    await engine.apply({"tasks": [first, second]})
    run_id = await engine.fire()
    while not (marks.exists() and "second" in marks.read_text()):
        await asyncio.sleep(0.05)
    client = await Client.connect(servers["temporal_address"])
    await client.get_workflow_handle(await workflow_of(engine, run_id)).terminate()
    run = await engine.ended(run_id, 40)
    assert run.status is RunStatus.SUCCEEDED
    lines = marks.read_text().split()
    assert lines.count("first") == 1, "a finished task was repeated"
    tasks = await engine.tasks(run_id)
    assert tasks["one"].attempts == 1
    assert lines.count("second") <= tasks["two"].attempts
    messages = [entry.message for entry in await engine.log(run_id)]
    assert any("Temporal did not know the workflow of this run" in text for text in messages)


@pytest.mark.usefixtures("soon")
async def test_a_task_that_was_at_work_starts_again_when_its_worker_is_gone_too(
    engine: Engine, settings: Settings, servers: dict[str, str], tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    async with working(settings):
        script = (
            f'echo "$ACTIVITYCTL_ATTEMPT" >> {marks}; [ "$ACTIVITYCTL_ATTEMPT" -gt 1 ] || sleep 60'
        )
        await engine.apply({"tasks": [shell(script)]})
        run_id = await engine.fire()
        while not marks.exists():
            await asyncio.sleep(0.05)
        client = await Client.connect(servers["temporal_address"])
        await client.get_workflow_handle(await workflow_of(engine, run_id)).terminate()
    async with working(settings):
        run = await engine.ended(run_id, 60)
    assert run.status is RunStatus.SUCCEEDED
    assert marks.read_text().split() == ["1", "2"]


async def test_recover_says_what_it_does_and_repeats_nothing(
    engine: Engine, settings: Settings, servers: dict[str, str]
) -> None:
    await engine.apply({"tasks": [shell("true")]})
    run_id = await engine.fire()
    async with engine.ports.outbox.claimed(10) as claim:  # as a dispatcher that then dies
        await claim.dispatched(claim.firings, claim.firings[0].due - timedelta(minutes=1))

    async def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **{key: text for key, text in os.environ.items() if "ACTIVITYCTL_" not in key},
            "ACTIVITYCTL_HOME": str(settings.home / "home"),
            "ACTIVITYCTL_DATABASE_URL": settings.required_database_url(),
            "TEMPORAL_ADDRESS": servers["temporal_address"],
        }
        return await asyncio.to_thread(run_command, *arguments, environment=environment, timeout=60)

    dry = await call("recover", "--dry-run", "-o", "json")
    assert dry.returncode == 0, dry.stderr
    view = json.loads(dry.stdout)
    assert [firing["run"] for firing in view["firings"]] == [run_id]
    assert view["dryRun"] is True
    client = await Client.connect(servers["temporal_address"])
    query = f"WorkflowId = '{engine_workflow(view)}'"
    assert (await client.count_workflows(query)).count == 0
    assert "Temporal knows" not in (await call("recover", "--dry-run")).stdout
    checks = json.loads((await call("doctor", "-o", "json")).stdout)["checks"]
    (recovery,) = [check for check in checks if check["name"] == "recovery"]
    assert (recovery["state"], recovery["hint"]) == ("failed", "activityctl recover")
    done = await call("recover")
    assert "started 1 firing again" in done.stdout, done
    async with asyncio.timeout(60):
        while not (await client.count_workflows(query)).count:
            await asyncio.sleep(0.1)
    await client.get_workflow_handle(engine_workflow(view)).terminate()


def engine_workflow(view: dict[str, list[dict[str, str]]]) -> str:
    (firing,) = view["firings"]
    return firing["workflow"]
