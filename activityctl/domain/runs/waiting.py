"""How a task of a kind that the engine carries out begins, waits and ends.

Its wait begins in the transaction that creates or releases the task, so no step runs for it. The
step `settle` ends it, when an answer has come or its time is over.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import BaseModel, ValidationError

from activityctl.domain.runs.announcements import first_announcement
from activityctl.domain.runs.run import Run, TaskInstance, TaskStatus
from activityctl.domain.tasks.activity import ActivityBody
from activityctl.domain.tasks.engine_kinds import ENGINE_KINDS, WAITING_KINDS
from activityctl.domain.tasks.manual import MANUAL, DefaultOutput, ManualBody, OnTimeout
from activityctl.domain.tasks.value import VALUE
from activityctl.domain.tasks.wait import WaitBody
from activityctl.domain.tasks.wait_for import PATTERN_FIELDS, WaitForBody
from activityctl.domain.values.finding import findings_of
from activityctl.domain.values.ids import EventId, RunId, SubscriptionId, TaskId, event_id
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.text import text_of
from activityctl.errors import ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Answer:
    """What ends the wait of a task from outside of its run: a person, an event, a child run."""

    output: JsonValue = None
    error: str | None = None
    """Why the task fails; None if it succeeds."""
    by: str | None = None
    """Who completed the task; None if no person did."""


@frozen_dataclass
class Wait:
    """The wait of one task, as it is stored beside the task for those that may end it."""

    task_id: TaskId
    run_id: RunId
    subscription_id: SubscriptionId
    kind: str
    began_at: datetime
    until: datetime | None
    """When it ends by itself; None if it does not."""
    event: Mapping[str, JsonValue] | None = None
    """The pattern of the event that ends it; None if no event does."""
    since: datetime | None = None
    """An event that arrived earlier does not count."""
    own_events: tuple[EventId, ...] = ()
    """The events that started the run; they do not count."""
    announce_at: datetime | None = None
    """When a reminder or its being overdue is announced first."""


def wait_of(task: TaskInstance, run: Run) -> Wait:
    """Return the wait of a task that begins to wait."""
    began_at = task.started_at or task.created_at
    wait = Wait(task.id, run.id, run.subscription_id, task.kind, began_at, task.waits_until)
    if task.kind not in ENGINE_KINDS:
        return wait
    body = _body_of(task)
    if isinstance(body, ManualBody):
        return replace(wait, announce_at=first_announcement(task))
    if not isinstance(body, WaitForBody) or not isinstance(task.input, Mapping):
        return wait
    return replace(
        wait,
        event={name: task.input[name] for name in PATTERN_FIELDS if name in task.input},
        since=run.created_at if body.since == "run" else began_at,
        own_events=tuple(event_id(str(own["source"]), str(own["id"])) for own in run.events),
    )


def prepare(task: TaskInstance, now: datetime) -> TaskInstance:
    """Return a new task with rendered input as it is before its start.

    A value has ended already. Raises ExpressionError if the input does not fit the kind.
    """
    if task.kind not in ENGINE_KINDS:
        return task
    if task.kind == VALUE:
        return replace(
            task,
            status=TaskStatus.SUCCEEDED,
            input=None,
            output=task.input,
            started_at=now,
            ended_at=now,
        )
    _body_of(task)
    return task


def begin_wait(task: TaskInstance, now: datetime) -> TaskInstance:
    """Return the task as it is when its wait begins."""
    until = _ends_at(_body_of(task), now)
    return replace(task, status=TaskStatus.WAITING, started_at=now, waits_until=until)


def waits_by_itself(task: TaskInstance) -> bool:
    """Return whether the task waits without a worker when it starts."""
    return task.kind in WAITING_KINDS


def assignee_of(task: TaskInstance) -> str | None:
    """Return for whom a manual task waits; None for another kind and without an assignee."""
    if task.kind != MANUAL or not isinstance(task.input, Mapping):
        return None
    assignee = task.input.get("assignee")
    return None if assignee is None else text_of(assignee)


def end_wait(task: TaskInstance, answer: Answer | None, now: datetime) -> TaskInstance | None:
    """Return a waiting task as it ends now: by its answer, or because its time is over.

    None if it still waits. An answer counts, however late it is settled.
    """
    if answer is not None:
        status = TaskStatus.SUCCEEDED if answer.error is None else TaskStatus.FAILED
        return replace(
            task,
            status=status,
            output=answer.output,
            error=answer.error,
            completed_by=answer.by,
            ended_at=now,
        )
    if task.waits_until is None or now < task.waits_until:
        return None
    return _time_is_over(task, task.waits_until, now)


def settled(
    tasks: Iterable[TaskInstance], answers: Mapping[TaskId, Answer], now: datetime
) -> tuple[TaskInstance, ...]:
    """Return those of the tasks whose wait ends now, in their ends; `answers` are by task id."""
    waiting = (task for task in tasks if task.status is TaskStatus.WAITING)
    ends = (end_wait(task, answers.get(task.id), now) for task in waiting)
    return tuple(task for task in ends if task is not None)


def answered_tasks(
    tasks: Iterable[TaskInstance], answers: Mapping[TaskId, Answer], now: datetime
) -> tuple[TaskInstance, ...]:
    """Return those of the tasks that end by their answer; not those whose time is over."""
    return settled((task for task in tasks if task.id in answers), answers, now)


def _time_is_over(task: TaskInstance, until: datetime, now: datetime) -> TaskInstance:
    match _body_of(task):
        case WaitBody():
            output = {"until": format_timestamp(until)}
            return replace(task, status=TaskStatus.SUCCEEDED, output=output, ended_at=now)
        case ManualBody() as body:
            reason = f"nobody completed it by {format_timestamp(until)}"
            return _timed_out(task, body.on_timeout, reason, now)
        case WaitForBody() as body:
            reason = f"no such event came by {format_timestamp(until)}"
            return _timed_out(task, body.on_timeout, reason, now)
        case ActivityBody() as body:
            reason = f"the run of {body.subscription} had not ended by {format_timestamp(until)}"
            return _timed_out(task, "fail", reason, now)
        case other:
            raise TypeError(f"no wait: {type(other).__name__}")


def _timed_out(
    task: TaskInstance, on_timeout: OnTimeout, reason: str, now: datetime
) -> TaskInstance:
    """Return a task whose time is over: failed, or with its default output and the reason."""
    if isinstance(on_timeout, DefaultOutput):
        return replace(
            task,
            status=TaskStatus.SUCCEEDED,
            output=on_timeout.output,
            reason=f"{reason}, so it has the output of onTimeout",
            ended_at=now,
        )
    return replace(task, status=TaskStatus.FAILED, error=reason, ended_at=now)


def _ends_at(body: BaseModel, now: datetime) -> datetime | None:
    match body:
        case WaitBody() | ManualBody():
            return body.ends_at(now)
        case (
            WaitForBody(timeout=timedelta() as timeout)
            | ActivityBody(timeout=timedelta() as timeout)
        ):
            return now + timeout
        case _:
            return None


def _body_of(task: TaskInstance) -> BaseModel:
    """Return the typed input; raise ExpressionError if it does not fit the kind."""
    model = ENGINE_KINDS[task.kind]
    try:
        return model.model_validate_json(json.dumps(task.input))
    except ValidationError as error:
        first = findings_of(error, model)[0]
        path = ".".join(map(str, (task.kind, *first.path)))
        raise ExpressionError(f"{path}: {first.reason}") from error
