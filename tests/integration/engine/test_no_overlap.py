"""A run keeps its place until its work has ended, however it is stopped."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from activityctl.domain.runs.run import RunStatus, TaskStatus
from support.engine import Engine, Spec, shell, until

SLOW_TO_STOP = """echo "+ $KEY" >> {marks}
trap 'sleep 1; echo "- $KEY" >> {marks}; exit 0' TERM
echo begun; while :; do sleep 0.05; done"""


def slow(marks: Path) -> Spec:
    """Return a task that needs a second after SIGTERM, and notes its beginning and its end."""
    script = SLOW_TO_STOP.format(marks=marks)
    env = {"KEY": "${ trigger.firingKey }"}
    return {"name": "slow", "command": {"shell": script, "env": env}}


def marked(marks: Path) -> list[str]:
    lines = marks.read_text().splitlines() if marks.exists() else []
    return [line.replace("manual/", "") for line in lines]


def has(marks: Path, line: str) -> Callable[[], bool]:
    return lambda: line in marked(marks)


async def is_seen(engine: Engine, run_id: str, status: RunStatus) -> None:
    async with asyncio.timeout(60):
        while (await engine.run_of(run_id)).status is not status:
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("how", ["replace", "cancel", "timeout"])
async def test_a_run_that_is_stopped_does_not_overlap_with_the_next(
    engine: Engine, tmp_path: Path, how: str
) -> None:
    marks = tmp_path / "marks"
    gate = {"policy": "replace" if how == "replace" else "queue", "limit": 1}
    timeout = {"timeout": "2s"} if how == "timeout" else {}
    await engine.apply({"concurrency": gate, "tasks": [slow(marks)], **timeout})
    first = await engine.fire("a")
    await until(has(marks, "+ a"))
    second = await engine.fire("b")
    if how == "cancel":
        await engine.cancel(first)
    await is_seen(engine, first, RunStatus.CANCELLING)
    reasons = {
        "replace": f"replaced by run {second[:8]}",
        "cancel": "cancelled on request",
        "timeout": "the run took longer than its timeout",
    }
    stopping = await engine.run_of(first)
    assert (stopping.reason, stopping.ended_at) == (reasons[how], None)
    assert (await engine.tasks(first))["slow"].status is TaskStatus.RUNNING
    await until(has(marks, "+ b"))
    assert marked(marks) == ["+ a", "- a", "+ b"]
    run = await engine.run_of(first)
    wanted = RunStatus.TIMED_OUT if how == "timeout" else RunStatus.CANCELLED
    assert (run.status, run.reason) == (wanted, reasons[how])
    task = (await engine.tasks(first))["slow"]
    assert (task.status, task.reason) == (TaskStatus.CANCELLED, reasons[how])
    assert task.output["stdout"] == "begun\n"
    messages = [entry.message.split(" stopped: ")[0] for entry in await engine.log(first)]
    messages = [message for message in messages if not message.startswith("task slow: ")]
    assert messages[-4:] == [
        f"run cancelling: {reasons[how]}; waiting for task slow to end",
        "task slow attempt 1 was",
        f"task slow cancelled: {reasons[how]}",
        f"run {wanted.value.replace('_', ' ')}: {reasons[how]}",
    ]
    await engine.cancel(second)
    await engine.ended(second)


@pytest.mark.usefixtures("worker")
async def test_on_failure_starts_after_the_work_that_it_cleans_up_after(
    engine: Engine, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    said = "clean ${ tasks.slow.status } ${ tasks.slow.output.stdout }"
    clean = {"name": "clean", "command": {"shell": f"echo $SAID >> {marks}", "env": {"SAID": said}}}
    spec = {"timeout": "1s", "tasks": [slow(marks)], "onFailure": [clean]}
    await engine.apply(spec)
    run = await engine.ended(await engine.fire("a"))
    assert run.status is RunStatus.TIMED_OUT
    assert marked(marks) == ["+ a", "- a", "clean cancelled begun"]
    assert await engine.dead_letters() == ["the run took longer than its timeout"]


@pytest.mark.usefixtures("worker")
async def test_a_cancellation_stops_on_failure_tasks_and_waits_for_them(
    engine: Engine, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    await engine.apply({"tasks": [shell("exit 1")], "onFailure": [slow(marks)]})
    run_id = await engine.fire("a")
    await until(has(marks, "+ a"))
    for _ in range(2):
        await engine.cancel(run_id)
    run = await engine.ended(run_id)
    assert run.status is RunStatus.FAILED
    assert str(run.reason).endswith("; onFailure tasks were stopped: cancelled on request")
    assert marked(marks) == ["+ a", "- a"]
    assert await engine.dead_letters() == [run.reason]


@pytest.mark.usefixtures("worker")
async def test_a_run_of_a_burst_waits_for_its_own_task_only(engine: Engine, tmp_path: Path) -> None:
    """Many runs in one workflow: one is cancelled, and the others do not notice."""
    marks = tmp_path / "marks"
    gate = f"while ! test -e {tmp_path}/gate; do sleep 0.05; done"
    script = f'if test "$KEY" = manual/3; then {SLOW_TO_STOP.format(marks=marks)}; else {gate}; fi'
    env = {"KEY": "${ trigger.firingKey }"}
    await engine.apply({"tasks": [{"name": "one", "command": {"shell": script, "env": env}}]})
    runs = await engine.fire_many("0", "1", "2", "3", "4", "5")
    await until(has(marks, "+ 3"))
    await engine.cancel(runs[3])
    run = await engine.ended(runs[3])
    assert (run.status, marked(marks)) == (RunStatus.CANCELLED, ["+ 3", "- 3"])
    (tmp_path / "gate").touch()
    others = [await engine.ended(other) for other in runs if other != runs[3]]
    assert {other.status for other in others} == {RunStatus.SUCCEEDED}
