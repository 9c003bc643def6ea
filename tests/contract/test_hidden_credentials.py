"""The RunStore port: the credentials in a task's input are stored only until the task ends."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from activityctl import wiring
from activityctl.domain.runs.run import Run, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values import ids


async def save(ports: wiring.Ports, change: RunChange) -> None:
    async with ports.runs.locked(change.run.id) as locked:
        await locked.save(change)


async def tasks_of(ports: wiring.Ports, run: Run) -> tuple[TaskInstance, ...]:
    state = await ports.runs.load(run.id)
    assert state is not None
    return state.tasks


async def test_the_credentials_of_a_task_are_stored_only_until_it_ends(
    ports: wiring.Ports, make_run: Callable[..., Awaitable[Run]], now: datetime
):
    run = await make_run("k")
    (task,) = await tasks_of(ports, run)
    secret = {"url": "x", "headers": {"Authorization": "Bearer a", "Accept": "b"}}
    other = replace(task, id=ids.task_id(run.id, "call", 0), name="call", input=secret)
    await save(ports, RunChange(run, create=(other,)))
    begun = await ports.runs.begin_attempt(other.id, now, "here")
    assert begun is not None
    assert begun.task.input == secret
    ended = replace(begun.task, status=TaskStatus.SUCCEEDED, ended_at=now, output={"ok": True})
    await save(ports, RunChange(run, update=(ended,)))
    (stored,) = [kept for kept in await tasks_of(ports, run) if kept.name == "call"]
    assert stored.input == {"url": "x", "headers": {"Authorization": "***", "Accept": "b"}}
    assert stored.output == {"ok": True}
