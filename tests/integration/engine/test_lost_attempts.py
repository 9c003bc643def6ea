"""A worker that was only slow: its attempts are taken for lost, and not started a second time."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest

from activityctl.domain.runs.run import RunStatus
from activityctl.workflows import carrier
from support.engine import Engine, shell

HEARTBEAT_TIMEOUT = timedelta(seconds=4)


@pytest.mark.usefixtures("worker")
async def test_a_running_task_is_not_executed_again_when_the_worker_was_stalled(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "HEARTBEAT_TIMEOUT", HEARTBEAT_TIMEOUT)
    starts = tmp_path / "starts"
    script = f"echo started >> {starts}; sleep 12; echo ended >> {starts}"
    await engine.apply({"tasks": [shell(script)]})
    run_id = await engine.fire()
    while not starts.exists():
        await asyncio.sleep(0.05)
    time.sleep(9)  # noqa: ASYNC251 - the stall: nothing in this loop answers
    run = await engine.ended(run_id)
    assert run.status is RunStatus.SUCCEEDED
    assert starts.read_text().split() == ["started", "ended"]
    assert (await engine.tasks(run_id))["one"].attempts == 1
    warnings = [entry for entry in await engine.log(run_id) if entry.level == "warning"]
    assert warnings
    assert "task one attempt 1 is still running in this worker" in warnings[0].message
