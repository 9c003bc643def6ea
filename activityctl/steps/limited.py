"""Runs one attempt of an executor within the time limits of its task."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from pydantic import ValidationError
from temporalio import activity

from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.tasks.next_attempt import TimeBudget
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.finding import findings_of
from activityctl.errors import TaskError
from activityctl.ports import Executor, ExecutorOutcome, JsonValue, TaskCall
from activityctl.workflows.calls import TaskOrder

_EXTRA_SECONDS: Final = 1.0
"""Added to the limit and to the `stop_seconds` of the executor. Executors keep the limit themselves
with a better message; this is for those that do not."""
_LEAST_SECONDS: Final = 0.001


class TimeUsed:
    """The time since a task was ready: by Temporal's clock until this call, then monotonic.

    An instance that its lane has taken was ready when its first attempt began.
    """

    def __init__(self, taken: TaskInstance | None = None) -> None:
        info = activity.info()
        before = info.started_time - info.scheduled_time
        if taken is not None and taken.started_at and taken.attempt_at:
            before = taken.attempt_at - taken.started_at
        self._before = max(before, timedelta(0))
        self._began = time.monotonic()

    def budget(self, order: TaskOrder) -> TimeBudget:
        """Return what the task has used of its time until now."""
        used = self._before + timedelta(seconds=time.monotonic() - self._began)
        return TimeBudget(used, _duration(order.total_seconds), _duration(order.max_age_seconds))


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


async def execute_limited(
    executor: Executor,
    body: object,
    order: TaskOrder,
    budget: TimeBudget,
    call: Callable[[float, Callable[[], None]], TaskCall],
) -> ExecutorOutcome:
    """Execute within the limits of the order; raise TaskError with the limit that was reached.

    `call` gets the seconds of the attempt and the function that reports progress.
    """
    limit = order.start_to_close_seconds
    left = None if budget.total is None else (budget.total - budget.used).total_seconds()
    is_last = left is not None and left < limit
    if left is not None:
        limit = max(min(limit, left), _LEAST_SECONDS)
    extra = getattr(executor, "stop_seconds", 0.0) + _EXTRA_SECONDS
    silence = asyncio.timeout(order.heartbeat_seconds)
    written: list[JsonValue] = []
    made = call(limit, _progress(silence, order))

    async def stopped(output: JsonValue, last_lines: str) -> None:
        if silence.expired():
            written.append(output)
        else:
            await made.stopped(output, last_lines)

    try:
        async with asyncio.timeout(limit + extra), silence:
            return await executor.execute(body, replace(made, stopped=stopped))
    except TimeoutError as error:
        if silence.expired():
            raise _silent(order, written[0] if written else None) from error
        if is_last:
            raise _over(budget) from error
        shown = format_duration(timedelta(seconds=limit))
        raise TaskError(f"took longer than {shown}", code="timeout") from error
    except TaskError as error:
        if is_last and error.task_code == "timeout":
            raise _over(budget, error.output) from error
        raise


def _progress(silence: asyncio.Timeout, order: TaskOrder) -> Callable[[], None]:
    seconds = order.heartbeat_seconds

    def report() -> None:
        if seconds is not None and not silence.expired():
            silence.reschedule(asyncio.get_running_loop().time() + seconds)

    return report


def _silent(order: TaskOrder, output: JsonValue) -> TaskError:
    shown = format_duration(timedelta(seconds=order.heartbeat_seconds or 0))
    message = f"showed no progress for {shown} (timeout.heartbeat)"
    return TaskError(message, code="heartbeat", output=output)


def _over(budget: TimeBudget, output: JsonValue = None) -> TaskError:
    shown = format_duration(budget.total or timedelta(0))
    message = f"took longer than {shown} in all (timeout.total)"
    return TaskError(message, code="timeout", retryable=False, output=output)


def parse_body(executor: Executor, rendered: JsonValue) -> object:
    """Return the rendered body as the executor takes it; raise TaskError if it does not fit."""
    try:
        return executor.body.model_validate_json(json.dumps(rendered))
    except ValidationError as error:
        first = findings_of(error, executor.body)[0]
        path = ".".join(map(str, (executor.kind, *first.path)))
        raise TaskError(f"{path}: {first.reason}", code="bad_input", retryable=False) from error
