"""The run engine: runs and tasks that are cancelled or time out."""

import asyncio
import time
from pathlib import Path

import pytest

from activityctl.domain.runs.run import RunStatus
from activityctl.steps.record import RecordStep
from activityctl.workflows.calls import StopOrder
from support.engine import Engine, lives, now, shell, until


@pytest.mark.usefixtures("worker")
async def test_a_task_that_times_out_fails_and_leaves_no_process(
    engine: Engine, tmp_path: Path
) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid; wait"
    run = await engine.run({"tasks": [shell(script, timeout={"startToClose": "500ms"})]})
    assert run.status is RunStatus.FAILED
    assert "did not end within 0.5 s" in str(run.reason)
    assert not lives(tmp_path / "pid")


@pytest.mark.usefixtures("worker")
async def test_a_cancelled_run_ends_with_its_command(engine: Engine, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    await engine.apply(
        {
            "tasks": [
                shell(f"echo $$ > {pid}; exec sleep 60"),
                shell("true", name="two", needs=["one"]),
            ]
        }
    )
    run_id = await engine.fire()
    await until(lambda: pid.exists() and pid.read_text().endswith("\n"))
    requested = time.monotonic()
    await engine.cancel(run_id)
    run = await engine.ended(run_id)
    assert not lives(pid)
    print(f"the run had ended {time.monotonic() - requested:.1f} s after cancel")
    assert (run.status, run.reason) == (RunStatus.CANCELLED, "cancelled on request")
    tasks = await engine.tasks(run_id)
    assert {name: task.status for name, task in tasks.items()} == {"one": "cancelled"}
    assert await engine.dead_letters() == []


@pytest.mark.usefixtures("worker")
async def test_a_run_that_times_out_runs_its_on_failure_tasks(
    engine: Engine, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    page = {"name": "page", "command": {"argv": ["echo", "${ run.error }"]}}
    spec = {"timeout": "1s", "tasks": [shell(f"echo $$ > {pid}; exec sleep 60")]}
    run = await engine.run({**spec, "onFailure": [page]})
    reason = "the run took longer than its timeout"
    assert (run.status, run.reason) == (RunStatus.TIMED_OUT, reason)
    tasks = await engine.tasks(run.id)
    assert tasks["one"].status == "cancelled"
    assert tasks["page"].output["stdout"].strip() == reason
    assert await engine.dead_letters() == [reason]
    assert not lives(pid)


@pytest.mark.usefixtures("worker")
async def test_a_timeout_that_is_recorded_twice_does_not_stop_on_failure_tasks(
    engine: Engine, tmp_path: Path
) -> None:
    """The next worker records a timeout again if the first was lost right after doing so."""
    page = shell(f"while ! test -e {tmp_path}/gate; do sleep 0.02; done", name="page")
    spec = {"timeout": "500ms", "tasks": [shell("sleep 60")], "onFailure": [page]}
    await engine.apply(spec)
    run_id = await engine.fire()
    async with asyncio.timeout(60):
        while "page" not in await engine.tasks(run_id):
            await asyncio.sleep(0.02)
    recorder = RecordStep(engine.ports.runs, now)
    orders = await recorder.record(StopOrder(run_id, "timed_out", "again"))
    assert not orders.is_over
    (tmp_path / "gate").touch()
    run = await engine.ended(run_id)
    assert (run.status, run.reason) == (RunStatus.TIMED_OUT, "the run took longer than its timeout")
    assert (await engine.tasks(run_id))["page"].status == "succeeded"


@pytest.mark.usefixtures("worker")
async def test_skipped_runs_run_their_on_skip_tasks_and_end_as_skipped(
    engine: Engine, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    tell = {"name": "tell", "command": {"argv": ["echo", "${ run.reason }"]}}
    fail = {"name": "fail", "needs": ["tell"], "command": {"argv": ["false"]}}
    spec = {
        "concurrency": {"policy": "skip"},
        "rules": [{"when": "!has(trigger.payload.no)", "otherwise": "not wanted"}],
        "tasks": [shell(f"while ! test -e {gate}; do sleep 0.02; done")],
        "onSkip": [tell, fail],
        "onFailure": [shell("true", name="page")],
    }
    await engine.apply(spec)
    first = await engine.fire()
    async with asyncio.timeout(60):
        while not await engine.tasks(first):
            await asyncio.sleep(0.02)
    second = await engine.ended(await engine.fire())
    assert second.status is RunStatus.SKIPPED
    busy, _, told = str(second.reason).partition("; ")
    assert busy.startswith(f"run {first[:8]} is still running")
    assert told == "onSkip task fail failed: ended with exit code 1"
    tasks = await engine.tasks(second.id)
    assert list(tasks) == ["tell", "fail"]
    assert tasks["tell"].output["stdout"].strip() == busy
    gate.touch()
    await engine.ended(first)
    third = await engine.ended(await engine.fire(no=True))
    told = "onSkip task fail failed: ended with exit code 1"
    assert (third.status, third.reason) == (RunStatus.SKIPPED, f"not wanted; {told}")
    messages = [entry.message for entry in await engine.log(third.id)]
    assert messages[0] == "run is skipped: not wanted; its onSkip tasks run"
    assert messages[-1] == f"run skipped: {third.reason}"
    fourth = await engine.ended(await engine.fire())
    assert fourth.status is RunStatus.SUCCEEDED, "the skipped one has left its slot"
    assert await engine.dead_letters() == []


@pytest.mark.usefixtures("worker")
async def test_on_success_tasks_run_last_and_may_be_stopped_or_fail(engine: Engine) -> None:
    tell = {"name": "tell", "command": {"argv": ["false"]}, "when": "params.fails"}
    slow = {"name": "slow", "command": {"argv": ["sleep", "60"]}, "when": "!params.fails"}
    spec = {"timeout": "2s", "tasks": [shell("true")], "onSuccess": [tell, slow], "state": {"n": 1}}
    run = await engine.run(spec, {"fails": True})
    reason = "onSuccess task tell failed: ended with exit code 1"
    assert (run.status, run.reason) == (RunStatus.SUCCEEDED, reason)
    run = await engine.run(spec, {"fails": False})
    reason = "onSuccess tasks were stopped: the run took longer than its timeout"
    assert (run.status, run.reason) == (RunStatus.SUCCEEDED, reason)
    assert (await engine.tasks(run.id))["slow"].status == "cancelled"
    assert (await engine.apply(spec)).state == {"n": 1}
