"""RunActivityWorkflow against a real Temporal server, with scripted steps."""

import asyncio
import uuid
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleBackfill,
    ScheduleIntervalSpec,
    ScheduleSpec,
    ScheduleState,
    WorkflowFailureError,
)
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activityctl.domain.timing.firing import FiringRef
from activityctl.workflows.calls import Orders, StopOrder, TaskOrder
from activityctl.workflows.run_activity import RunActivityWorkflow
from support.histories import json_values_in, keys
from support.scripted import (
    FIRING,
    GOING_ON,
    OVER,
    RUN,
    Script,
    cancelled_soon,
    order,
    orders,
    running,
    work_without_end,
)

QUOTED = ("the key of a customer", "the card of a customer")


async def test_a_run_of_one_task_ends_with_the_runs_id(client: Client) -> None:
    async def succeed(_: TaskOrder) -> Orders:
        return OVER

    script = Script(orders("one"), succeed)
    async with running(client, script) as handle:
        assert await handle.result() == RUN
    assert script.firings == [FIRING]
    assert script.executed == ["one"]
    assert script.stops == []


@pytest.mark.parametrize("status", ["failed", "timed_out"])
async def test_a_failed_run_ends_the_workflow_as_failed_after_its_work(
    client: Client, status: str
) -> None:
    async def fail(_: TaskOrder) -> Orders:
        return replace(OVER, ended_as=status)

    named = replace(orders("one"), subscription="backup-main", definition="backup")
    script = Script(named, fail)
    async with running(client, script) as handle:
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
        memo = await (await handle.describe()).memo()
        metadata = await handle.query("__temporal_workflow_metadata")
    cause = failure.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.non_retryable) == (status, True)
    assert cause.message == f"{status}; activityctl describe run {RUN}"
    assert script.executed == ["one"]
    assert memo["subscription"] == "backup-main"
    assert memo["describe"] == f"activityctl describe run {RUN}"
    assert f"**backup-main**, nightly, due 2026-11-21T02:00:00Z: {status}" in str(metadata)


async def test_a_cancelled_run_ends_the_workflow_and_says_so(client: Client) -> None:
    script = Script(replace(OVER, ended_as="cancelled"), work_without_end)
    async with running(client, script) as handle:
        assert await handle.result() == f"cancelled; activityctl describe run {RUN}"


async def test_a_run_that_is_over_at_admission_starts_nothing(client: Client) -> None:
    script = Script(OVER, work_without_end)
    async with running(client, script) as handle:
        assert await handle.result() == RUN
    assert script.executed == []


async def test_tasks_that_may_start_run_in_parallel(client: Client) -> None:
    together = asyncio.Barrier(3)

    async def meet(asked: TaskOrder) -> Orders:
        async with asyncio.timeout(60):
            await together.wait()
        return OVER if asked.task_id == "c" else GOING_ON

    script = Script(orders("a", "b", "c"), meet)
    async with running(client, script) as handle:
        await handle.result()
    assert sorted(script.executed) == ["a", "b", "c"]


async def test_an_order_given_twice_starts_one_task(client: Client) -> None:
    answers = {"a": orders("b", "c"), "b": orders("c", "d"), "c": orders("d"), "d": OVER}

    async def repeat(asked: TaskOrder) -> Orders:
        return answers[asked.task_id]

    script = Script(orders("a", "b"), repeat)
    async with running(client, script) as handle:
        await handle.result()
    assert sorted(script.executed) == ["a", "b", "c", "d"]


async def test_a_failed_attempt_is_repeated_after_its_wait(client: Client) -> None:
    attempts: list[int] = []

    async def fail_once(_: TaskOrder) -> Orders:
        attempts.append(activity.info().attempt)
        if len(attempts) == 1:
            raise ApplicationError("once", next_retry_delay=timedelta(milliseconds=50))
        return OVER

    script = Script(orders("one"), fail_once)
    async with running(client, script) as handle:
        await handle.result()
    assert attempts == [1, 2]
    assert script.stops == []


async def test_the_text_of_an_unexpected_error_is_not_in_the_history(client: Client) -> None:
    attempts: list[int] = []

    async def stumble(_: TaskOrder) -> Orders:
        attempts.append(activity.info().attempt)
        if len(attempts) == 1:
            raise RuntimeError(QUOTED[0]) from ValueError(QUOTED[1])
        return OVER

    script = Script(orders("one"), stumble)
    async with running(client, script) as handle:
        await handle.result()
        history = await handle.fetch_history()
    assert attempts == [1, 2]
    text = history.to_json()
    assert "RuntimeError" in text
    assert not [quoted for quoted in QUOTED if quoted in text]


async def test_an_attempt_without_a_result_fails_its_task(client: Client) -> None:
    async def break_off(_: TaskOrder) -> Orders:
        raise ApplicationError("broken", non_retryable=True)

    script = Script(orders("one"), break_off)
    async with running(client, script) as handle:
        await handle.result()
    (stop,) = script.stops
    assert (stop.run_id, stop.task_id, stop.status) == (RUN, "one", "failed")
    assert "without a result" in stop.reason


async def test_a_task_that_no_worker_takes_in_time_is_recorded_with_that_reason(
    client: Client,
) -> None:
    start = [order("one", schedule_to_start_seconds=0.3)]
    script = Script(replace(orders(), start=start), work_without_end)
    async with running(client, script, serves_tasks=False) as handle:
        await handle.result()
    assert script.executed == []
    reason = "no worker was free within timeout.scheduleToStart"
    assert script.stops == [StopOrder(RUN, "failed", reason, task_id="one")]


async def test_a_run_that_times_out_stops_its_tasks_and_runs_on_failure(
    client: Client,
) -> None:
    async def work(asked: TaskOrder) -> Orders:
        return OVER if asked.task_id == "page" else await work_without_end(asked)

    script = Script(orders("long", deadline_seconds=0.3), work, [orders("page")])
    async with running(client, script) as handle:
        assert await handle.result() == RUN
        await cancelled_soon(script, "long")
    assert [(stop.task_id, stop.status) for stop in script.stops] == [(None, "timed_out")]
    assert script.executed == ["long", "page"]


async def test_a_cancelled_run_is_recorded_before_its_workflow_ends(client: Client) -> None:
    script = Script(orders("a", "b"), work_without_end)
    async with running(client, script) as handle:
        async with asyncio.timeout(60):
            while len(script.executed) < 2:
                await asyncio.sleep(0.02)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
        assert isinstance(ended.value.cause, CancelledError)
        await cancelled_soon(script, "a")
        await cancelled_soon(script, "b")
        history = await handle.fetch_history()
    assert script.stops == [StopOrder(RUN, "cancelled", "cancelled on request", waits=True)]
    kinds = [event.event_type for event in history.events]
    last_record = max(
        index for index, kind in enumerate(kinds) if kind == EventType.EVENT_TYPE_MARKER_RECORDED
    )
    assert last_record < kinds.index(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED)


async def test_a_run_whose_cancellation_nobody_requested_goes_on(client: Client) -> None:
    """Temporal passes on only the first cancellation, so ours is a signal."""
    go_on = asyncio.Event()

    async def wait(asked: TaskOrder) -> Orders:
        await go_on.wait()
        return OVER if asked.task_id == "b" else orders("b")

    script = Script(orders("a"), wait, [GOING_ON, GOING_ON, GOING_ON])
    async with running(client, script) as handle:
        async with asyncio.timeout(60):
            while not script.executed:
                await asyncio.sleep(0.02)
            await handle.cancel()
            while len(script.stops) < 1:
                await asyncio.sleep(0.02)
            for count in (2, 3):
                await handle.signal(RunActivityWorkflow.cancel_run, RUN)
                while len(script.stops) < count:
                    await asyncio.sleep(0.02)
        go_on.set()
        assert await handle.result() == RUN
    assert script.executed == ["a", "b"]
    assert script.cancelled == []


async def test_a_run_is_cancelled_by_a_signal_after_a_strangers_cancellation(
    client: Client,
) -> None:
    script = Script(orders("a"), work_without_end, [GOING_ON, OVER])
    async with running(client, script) as handle:
        async with asyncio.timeout(60):
            while not script.executed:
                await asyncio.sleep(0.02)
            await handle.cancel()
            while not script.stops:
                await asyncio.sleep(0.02)
        await handle.signal(RunActivityWorkflow.cancel_run, "another run")
        await handle.signal(RunActivityWorkflow.cancel_run, RUN)
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
        assert isinstance(ended.value.cause, CancelledError)
        await cancelled_soon(script, "a")
    assert len(script.stops) == 2


async def test_a_firing_of_a_schedule_gets_its_nominal_time(client: Client) -> None:
    """Only the server knows the nominal time; the workflow may start much later."""
    nominal = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    name = f"scheduled-{uuid.uuid4()}"
    script = Script(OVER, work_without_end)
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            RunActivityWorkflow.run,
            FiringRef("sub-1", "nightly", "", "", ""),
            id=f"run/{name}",
            task_queue=name,
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(minutes=1))]),
        state=ScheduleState(paused=True),
    )
    async with Worker(
        client,
        task_queue=name,
        workflows=[RunActivityWorkflow],
        activities=[script.admit, script.execute, script.record],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        handle = await client.create_schedule(name, schedule)
        await handle.backfill(ScheduleBackfill(nominal, nominal))
        async with asyncio.timeout(60):
            while not script.firings:
                await asyncio.sleep(0.02)
        await client.get_workflow_handle(script.firings[0].workflow_id).result()
        await handle.delete()
    (firing,) = script.firings
    assert firing.firing_key == "2026-01-02T03:04:00Z"
    assert firing.due == nominal
    assert firing.workflow_id == f"run/{name}-2026-01-02T03:04:00Z"


async def test_the_history_contains_only_ids_states_and_deadlines(client: Client) -> None:
    async def fail(asked: TaskOrder) -> Orders:
        if asked.task_id == "one":
            raise ApplicationError("broken", non_retryable=True)
        return OVER

    script = Script(orders("one", "two"), fail, [GOING_ON])
    async with running(client, script) as handle:
        await handle.result()
        history = await handle.fetch_history()
    types = (FiringRef, Orders, TaskOrder, StopOrder)
    known = {field.name for kind in types for field in fields(kind)}
    values = json_values_in(history)
    assert len(values) >= 5
    assert keys(values) <= known
    assert [value for value in values if not isinstance(value, list | dict)] == [RUN]
