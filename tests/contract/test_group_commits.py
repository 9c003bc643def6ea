"""The RunStore port serves many that ask at the same time; each gets its own outcome."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

import pytest

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values import ids
from activityctl.ports import BegunAttempt, KnownRun, OpenResult
from support.run_store import ended, log_entry, messages, save, state_of

MakeRun = Callable[..., Awaitable[Run]]


async def begin_all(ports: wiring.Ports, runs: list[Run], now: datetime) -> list[BegunAttempt]:
    """Begin the task of each run, all at the same time."""
    tasks = [(await state_of(ports, run)).tasks[0] for run in runs]
    begun = await asyncio.gather(
        *(ports.runs.begin_attempt(task.id, now, "here", reads_run=True) for task in tasks)
    )
    assert all(begun)
    return [each for each in begun if each is not None]


def end_of(known: KnownRun | None, now: datetime, output: object) -> RunChange:
    assert known is not None
    (task,) = known.state.tasks
    run = replace(known.state.run, status=RunStatus.SUCCEEDED, ended_at=now)
    entry = log_entry(run, f"ended {run.firing_key}", now)
    return RunChange(run, update=(ended(task, now, output=output),), entries=(entry,))


async def tasks_of(ports: wiring.Ports, runs: list[Run]) -> list[TaskInstance]:
    return [(await state_of(ports, run)).tasks[0] for run in runs]


async def test_what_begins_and_ends_together_is_each_its_own(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    runs = [await make_run(f"k{number}") for number in range(12)]
    begun = await begin_all(ports, runs, now)
    assert [each.task.run_id for each in begun] == [run.id for run in runs]
    assert [each.known and each.known.state.run.id for each in begun] == [run.id for run in runs]
    saved = await asyncio.gather(
        *(
            ports.runs.save_unchanged(known, end_of(known, now, {"own": known.state.run.id}))
            for known in (each.known for each in reversed(begun))
            if known is not None
        )
    )
    assert saved == [True] * 12
    found = await tasks_of(ports, runs)
    assert [task.output for task in found] == [{"own": run.id} for run in runs]
    assert [(task.attempts, task.status) for task in found] == [(1, TaskStatus.SUCCEEDED)] * 12
    attempts = await ports.run_lists.attempts([task.id for task in found])
    assert [str(attempt.outcome) for attempt in attempts] == ["succeeded"] * 12
    assert sorted(await messages(ports, mine)) == sorted(f"ended {run.firing_key}" for run in runs)


async def test_one_that_cannot_be_written_fails_alone(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    runs = [await make_run(f"k{number}") for number in range(6)]
    begun = await begin_all(ports, runs, now)
    await save(ports, RunChange(replace(runs[1], status=RunStatus.CANCELLING)))
    outputs: list[object] = [0, 1, 2, {"no JSON": object()}, 4, 5]
    saved = await asyncio.gather(
        *(
            ports.runs.save_unchanged(each.known, end_of(each.known, now, output))
            for each, output in zip(begun, outputs, strict=True)
            if each.known is not None
        ),
        return_exceptions=True,
    )
    assert [outcome is True for outcome in saved] == [True, False, True, False, True, True]
    found = await tasks_of(ports, runs)
    assert [task.output for task in found] == [0, None, 2, None, 4, 5]
    assert [task.has_ended for task in found] == [True, False, True, False, True, True]


async def test_only_some_of_those_that_ask_together_may_begin(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    runs = [await make_run(f"k{number}") for number in range(4)]
    tasks = await tasks_of(ports, runs)
    await save(ports, RunChange(replace(runs[1], status=RunStatus.CANCELLING)))
    await save(ports, RunChange(runs[2], update=(ended(tasks[2], now),)))
    ids = [*(task.id for task in tasks), "nothing"]
    begun = await asyncio.gather(*(ports.runs.begin_attempt(each, now, "here") for each in ids))
    assert [each.task.id if each else None for each in begun] == [
        tasks[0].id,
        None,
        None,
        tasks[3].id,
        None,
    ]


async def test_a_task_that_is_asked_for_twice_begins_one_attempt_after_the_other(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    runs = [await make_run("k"), await make_run("other")]
    (task, other) = await tasks_of(ports, runs)
    begun = await asyncio.gather(
        ports.runs.begin_attempt(task.id, now, "first"),
        ports.runs.begin_attempt(other.id, now, "here", lane=task.id),
        ports.runs.begin_attempt(task.id, now, "second"),
    )
    assert begun[0] is not None
    assert begun[2] is not None
    # The call is at the other task, if that began before.
    numbers = sorted((each.task.id, each.task.attempts) for each in begun if each)
    assert len(set(numbers)) == len(numbers)


async def test_a_late_end_of_an_attempt_ends_no_other_task(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    """An end that is asked for twice, with those of others, is written once and for its task."""
    runs = [await make_run(f"k{number}") for number in range(4)]
    begun = await begin_all(ports, runs, now)
    late = begun[0].known
    assert late is not None
    asked = [(late, "first"), (late, "second"), *((each.known, "own") for each in begun[2:])]
    saved = await asyncio.gather(
        *(
            ports.runs.save_unchanged(known, end_of(known, now, output))
            for known, output in asked
            if known is not None
        )
    )
    assert sorted(saved[:2]) == [False, True]
    assert saved[2:] == [True, True]
    written = "first" if saved[0] else "second"
    found = await tasks_of(ports, runs)
    assert [task.output for task in found] == [written, None, "own", "own"]
    assert [task.has_ended for task in found] == [True, False, True, True]


@pytest.mark.parametrize("count", [1, 9])
async def test_a_cancelled_caller_takes_no_other_with_it(
    ports: wiring.Ports, make_run: MakeRun, now: datetime, count: int
):
    runs = [await make_run(f"k{number}") for number in range(count + 1)]
    tasks = await tasks_of(ports, runs)
    asking = [asyncio.create_task(ports.runs.begin_attempt(task.id, now, "here")) for task in tasks]
    await asyncio.sleep(0)
    asking[0].cancel()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(result, BegunAttempt) for result in results[1:])


VALUES = [
    None,
    0.1,
    2**53 - 1,
    -(2**53),
    1.0,
    "ä\U0001f600",
    {"a": {"b": [None, True, ""]}},
    [],
    {},
]


async def test_what_is_opened_together_is_stored_as_if_it_were_opened_alone(
    ports: wiring.Ports, make_run: MakeRun
):
    alone = await make_run("alone")
    (pattern,) = (await state_of(ports, alone)).tasks
    opened = []
    for number, value in enumerate(VALUES):
        run_id = ids.run_id(alone.subscription_id, "manual", f"k{number}")
        run = replace(alone, id=run_id, firing_key=f"k{number}", payload={"v": value}, reason="ä")
        tasks = tuple(
            replace(pattern, id=ids.task_id(run_id, name, 0), run_id=run_id, name=name, input=value)
            for name in ("first", "second")
        )
        opened.append((RunChange(run, create=tasks), tasks))
    results = await asyncio.gather(*(ports.runs.open("w", change) for change, _ in opened))
    assert results == [OpenResult.OPENED] * len(VALUES)
    for change, tasks in opened:
        state = await state_of(ports, change.run)
        assert (state.run, state.tasks) == (change.run, tasks)
        assert repr(state.run.payload) == repr(change.run.payload)
