"""Runs that no worker carries out: they wait for a person, or have failed, as tests need them."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from activityctl import wiring
from activityctl.domain.runs.admission import begin, new_run
from activityctl.domain.runs.run import Decision, RunEnd, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange, run_change
from activityctl.domain.timing.firing import FiringRequest
from support.run_store import save, state_of


async def open_task(
    ports: wiring.Ports, subscription: str, key: str, now: datetime
) -> TaskInstance:
    """Open a run of one task; return the task."""
    owner = await ports.catalog.find_subscription(subscription)
    firing = FiringRequest(owner.id, "manual", f"manual/{key}", now)
    await ports.outbox.add([firing], now)
    facts = await ports.runs.admission_input(firing.ref)
    assert facts is not None
    run, decision = begin(new_run(firing.ref, facts, now), facts.spec, now)
    await ports.runs.open("w", run_change(run, decision, now))
    (task,) = (await state_of(ports, run)).tasks
    return task


async def let_wait(
    ports: wiring.Ports, task: TaskInstance, now: datetime, **given: Any
) -> TaskInstance:
    """Let the task wait for a person, with this input."""
    run = await ports.run_lists.find_run(task.run_id)
    waits = replace(task, status=TaskStatus.WAITING, started_at=now, input=given)
    await save(ports, RunChange(run, update=(waits,)))
    return waits


async def let_fail(ports: wiring.Ports, task: TaskInstance, now: datetime) -> str:
    """Let the task and its run fail; return the id of the run, which has a dead letter."""
    run = await ports.run_lists.find_run(task.run_id)
    end = Decision(end=RunEnd(RunStatus.FAILED, f"task {task.name} failed: 503"))
    bad = replace(task, status=TaskStatus.FAILED, error="503", ended_at=now)
    await save(ports, run_change(run, end, now, update=(bad,)))
    return run.id
