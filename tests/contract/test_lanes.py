"""The Lanes port ends an instance of a large forEach, and takes the next one, in one step."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

import pytest_asyncio

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values import ids
from activityctl.ports import LaneEnd, LaneTurn
from support.run_store import ended, log_entry, messages, save, state_of

MakeRun = Callable[..., Awaitable[Run]]
PARALLEL = 2


def instances(run: Run, count: int, now: datetime) -> tuple[TaskInstance, ...]:
    """Return the instances of a forEach; the first ones begin a lane each."""
    found = [
        TaskInstance(
            id=ids.task_id(run.id, "each", index),
            run_id=run.id,
            name="each",
            index=index,
            of=count,
            phase="main",
            kind="command",
            status=TaskStatus.PENDING,
            created_at=now,
            input={"argv": [str(index)]},
        )
        for index in range(count)
    ]
    return tuple(replace(t, lane=t.id) if t.index < PARALLEL else t for t in found)


class Lane:
    """What a worker does with one lane."""

    def __init__(self, ports: wiring.Ports, run: Run, head: TaskInstance, now: datetime) -> None:
        self.ports, self.run, self.head, self.now = ports, run, head, now
        self.task = head

    async def begin(self, worker: str = "here") -> TaskInstance:
        begun = await self.ports.runs.begin_attempt(self.head.id, self.now, worker)
        assert begun is not None
        self.task = begun.task
        return begun.task

    async def end(
        self, task: TaskInstance, *, worker: str = "here", takes_over: bool = True
    ) -> LaneTurn:
        entry = log_entry(self.run, f"{task.index} ended", self.now)
        done = ended(task, self.now, output={"n": task.index})
        return await self.ports.lanes.end(LaneEnd(done, entry, self.head.id, worker, takes_over))


@pytest_asyncio.fixture(loop_scope="session")
async def lanes(ports: wiring.Ports, make_run: MakeRun, now: datetime) -> list[Lane]:
    """A run with a forEach of five instances in two lanes."""
    run = await make_run("k")
    tasks = instances(run, 5, now)
    await save(ports, RunChange(run, create=tasks))
    return [Lane(ports, run, task, now) for task in tasks[:PARALLEL]]


async def indexes(lane: Lane, *statuses: TaskStatus) -> list[int]:
    tasks = (await state_of(lane.ports, lane.run)).tasks
    return [task.index for task in tasks if task.name == "each" and task.status in statuses]


async def test_a_lane_takes_the_next_instance_that_no_lane_has(
    lanes: list[Lane], mine: Subscription
):
    one, two = lanes
    first, second = await one.begin(), await two.begin()
    assert (first.index, second.index) == (0, 1)
    turn = await one.end(first)
    assert turn.has_ended
    assert turn.next is not None
    assert (turn.next.index, turn.next.lane, turn.next.attempts) == (2, first.id, 1)
    assert (turn.next.status, turn.next.worker) == (TaskStatus.RUNNING, "here")
    assert turn.next.input == {"argv": ["2"]}
    other = await two.end(second)
    assert other.next is not None
    assert other.next.index == 3
    stored = {t.index: t for t in (await state_of(one.ports, one.run)).tasks if t.name == "each"}
    assert (stored[0].status, stored[0].output) == (TaskStatus.SUCCEEDED, {"n": 0})
    assert (stored[0].ended_at, stored[0].attempt_at) == (one.now, None)
    assert stored[2] == turn.next
    assert await messages(one.ports, mine) == ["0 ended", "1 ended"]


async def test_the_last_open_instance_needs_a_decision(lanes: list[Lane]):
    one, two = lanes
    task, other = await one.begin(), await two.begin()
    for _ in range(3):
        turn = await one.end(task)
        assert turn.next is not None
        task = turn.next
    none_left = await one.end(task)
    assert none_left == LaneTurn(has_ended=True)
    assert await two.end(other) == LaneTurn(has_ended=False)
    assert await indexes(one, TaskStatus.RUNNING) == [1]


async def test_a_lane_that_ends_early_leaves_the_next_instance_to_a_new_call(lanes: list[Lane]):
    one, two = lanes
    task = await one.begin()
    turn = await one.end(task, takes_over=False)
    head = ids.task_id(one.run.id, "each", 2)
    assert turn == LaneTurn(has_ended=True, waiting=(two.head.id, head))
    begun = await one.ports.runs.begin_attempt(head, one.now, "there")
    assert begun is not None
    assert (begun.task.index, begun.task.lane) == (2, head)


async def test_a_repeated_call_gets_the_instance_again_that_a_lost_answer_had(lanes: list[Lane]):
    one, _ = lanes
    task = await one.begin()
    turn = await one.end(task)
    again = await one.end(task)
    assert turn.next is not None
    assert again.next is not None
    assert (again.has_ended, again.next.index) == (True, turn.next.index)
    assert again.next.attempts == 2
    assert await indexes(one, TaskStatus.RUNNING) == [2]


async def test_a_new_call_goes_on_with_the_open_instance_of_a_lost_lane(lanes: list[Lane]):
    one, _ = lanes
    turn = await one.end(await one.begin())
    assert turn.next is not None
    begun = await one.ports.runs.begin_attempt(one.head.id, one.now, "there")
    assert begun is not None
    assert (begun.task.id, begun.task.attempts) == (turn.next.id, 2)
    assert (begun.lost_worker, begun.lost_since) == ("here", one.now)


async def test_an_attempt_that_was_taken_for_lost_takes_no_instance(lanes: list[Lane]):
    one, _ = lanes
    lost = await one.begin()
    repeated = await one.begin("there")
    assert await one.end(lost) == LaneTurn(has_ended=False)
    turn = await one.end(repeated, worker="there")
    assert turn.next is not None
    assert turn.next.worker == "there"


async def test_the_end_of_another_attempt_lets_the_lane_go_on(lanes: list[Lane]):
    one, _ = lanes
    lost = await one.begin()
    repeated = await one.begin("there")
    await save(one.ports, RunChange(one.run, update=(ended(lost, one.now),)))
    turn = await one.end(repeated, worker="there")
    assert turn.has_ended
    assert turn.next is not None
    assert turn.next.index == 2


async def test_a_run_that_is_stopped_needs_a_decision(lanes: list[Lane]):
    one, _ = lanes
    task = await one.begin()
    await save(one.ports, RunChange(replace(one.run, status=RunStatus.CANCELLING)))
    assert await one.end(task) == LaneTurn(has_ended=False)
    assert await indexes(one, TaskStatus.SUCCEEDED) == []
    assert await one.ports.runs.begin_attempt(one.head.id, one.now, "here") is None
