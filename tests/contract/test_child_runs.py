"""The Waits port: runs that tasks start, and what is announced of tasks that wait for a person."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from activityctl import wiring
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.values import ids
from activityctl.ports import WORK_CHANNEL, Work
from support.run_store import ended, save

MakeRun = Callable[..., Awaitable[Run]]
BODY = {"subscription": "other", "payload": {"n": 1}}


async def waiting(ports: wiring.Ports, run: Run, kind: str, **fields: Any) -> TaskInstance:
    """Add a waiting task of that kind to the run."""
    name = fields.pop("name", kind)
    task = TaskInstance(
        id=ids.task_id(run.id, name, 0),
        run_id=run.id,
        name=name,
        index=0,
        phase="main",
        kind=kind,
        status=TaskStatus.WAITING,
        created_at=run.created_at,
        started_at=run.created_at,
        **fields,
    )
    await save(ports, RunChange(run, create=(task,)))
    return task


async def test_a_task_starts_its_run_once_and_learns_of_its_end(
    ports: wiring.Ports, make_run: MakeRun
):
    parent = await make_run("parent")
    first = await waiting(ports, parent, "activity", name="first", input=BODY)
    second = await waiting(ports, parent, "activity", name="second", input=BODY)
    await waiting(ports, parent, "manual", input={})
    asked = await ports.waits.children_to_start(10)
    assert [request.task_id for request in asked] == [first.id, second.id], "in order, no others"
    assert (asked[0].body, asked[0].parent_key) == (BODY, parent.firing_key)
    assert len(await ports.waits.children_to_start(1)) == 1
    child = await make_run("child")
    await ports.waits.child_started(first.id, child.id)
    assert [request.task_id for request in await ports.waits.children_to_start(10)] == [second.id]
    assert await ports.waits.ended_children(10) == []
    over = replace(child, status=RunStatus.FAILED, ended_at=datetime.now(UTC))
    await save(ports, RunChange(over))
    assert await ports.waits.ended_children(10) == [(first.id, child.id)]
    await ports.waits.answer(first.id, Answer(None, "it failed"))
    assert await ports.waits.ended_children(10) == [], "it has its answer"
    assert await ports.waits.unwanted_children(10) == []


async def test_the_run_of_a_task_that_ended_without_its_answer_is_not_wanted(
    ports: wiring.Ports, make_run: MakeRun
):
    now = datetime.now(UTC)
    parent = await make_run("parent")
    task = await waiting(ports, parent, "activity", input=BODY)
    other = await waiting(ports, parent, "activity", name="other", input=BODY)
    child = await make_run("child/1/x")
    by_hand = await make_run("by-hand")
    await ports.waits.child_started(task.id, child.id)
    await ports.waits.child_started(other.id, by_hand.id)
    cancelled = [
        ended(each, now, status=TaskStatus.CANCELLED, reason="too slow") for each in (task, other)
    ]
    await save(ports, RunChange(parent, update=tuple(cancelled)))
    assert await ports.waits.unwanted_children(10) == [child.id], "only a run that a task started"
    assert await ports.waits.children_to_start(10) == []
    await ports.runs.request_cancel(child.id, now)
    assert await ports.waits.unwanted_children(10) == [], "its cancellation was requested"


async def test_reminders_come_at_their_time_the_earliest_first(
    ports: wiring.Ports, make_run: MakeRun
):
    now = datetime.now(UTC)
    run = await make_run("k", at=now - timedelta(hours=1))
    late = await waiting(ports, run, "manual", name="late", input={"reminder": "50m"})
    early = await waiting(ports, run, "manual", name="early", input={"reminder": "10m"})
    await waiting(ports, run, "manual", name="quiet", input={})
    soon = await waiting(ports, run, "manual", name="soon", input={"reminder": "2h"})
    found = await ports.waits.announcements(10)
    assert [each.task.id for each in found] == [early.id, late.id]
    assert found[0].at == run.created_at + timedelta(minutes=10)
    assert (found[0].subscription, found[0].is_answered) == (run.subscription, False)
    assert found[0].task.input == {"reminder": "10m"}
    assert len(await ports.waits.announcements(1)) == 1
    assert await ports.waits.seconds_to_announcement() == 0
    await ports.waits.answer(late.id, Answer({"ok": True}, by="anna"))
    await ports.waits.announced(early.id, None)
    (answered,) = await ports.waits.announcements(10)
    assert (answered.task.id, answered.is_answered) == (late.id, True)
    await ports.waits.announced(late.id, now + timedelta(hours=3))
    assert await ports.waits.announcements(10) == []
    seconds = await ports.waits.seconds_to_announcement()
    assert seconds is not None
    assert 3500 < seconds <= 3600, "the next is that of the task soon"
    await ports.waits.announced(soon.id, None)
    await ports.waits.announced(late.id, None)
    assert await ports.waits.seconds_to_announcement() is None


async def test_a_new_reminder_and_a_task_that_starts_a_run_wake_the_workers(
    ports: wiring.Ports, make_run: MakeRun
):
    run = await make_run("k")
    async with ports.signals.listening(WORK_CHANNEL) as payloads:
        await waiting(ports, run, "manual", input={"reminder": "10m"})
        assert await heard(payloads, Work.REMIND)
        await waiting(ports, run, "activity", input=BODY)
        assert await heard(payloads, Work.WAIT)


async def heard(payloads: Any, work: Work) -> bool:
    async with asyncio.timeout(60):
        async for payload in payloads:
            if payload == work:
                return True
    return False
