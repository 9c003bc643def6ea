"""Rounds: decides what follows a round of a task that repeats, or of a group that is retried."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from activityctl.domain.cel.expression import evaluate_condition
from activityctl.domain.manifests.task_template import GROUP, TaskTemplate
from activityctl.domain.runs.run import TaskInstance, TaskStatus
from activityctl.domain.tasks.engine_kinds import ENGINE_KINDS
from activityctl.errors import ExpressionError


def most_rounds(template: TaskTemplate) -> int:
    """Return how many rounds the task has at most."""
    return template.repeat.max if template.repeat else template.retry.attempts_of(GROUP, None)


def begins_at(template: TaskTemplate, task: TaskInstance) -> datetime | None:
    """Return when a round may begin that waits after the one before; None if it need not wait."""
    is_round = template.has_rounds and task.kind == template.kind
    if not is_round or task.index == 1 or task.kind in ENGINE_KINDS:
        return None
    repeat, retry = template.repeat, template.retry
    wait = repeat.delay if repeat else retry.wait_after(task.index - 1)
    return task.created_at + wait if wait > timedelta(0) else None


def end_of_rounds(
    template: TaskTemplate,
    container: TaskInstance,
    rounds: Sequence[TaskInstance],
    scope: Mapping[str, Any],
    now: datetime,
) -> TaskInstance | None:
    """Return the container in its end, after these rounds have ended; None if another follows."""
    last = rounds[-1]
    has_next = len(rounds) < most_rounds(template)
    if last.status is not TaskStatus.SUCCEEDED:
        is_retried = last.status is TaskStatus.FAILED and template.repeat is None
        error = f"round {last.index} failed: {last.error}" if last.error else None
        end = replace(container, status=last.status, error=error, reason=last.reason, ended_at=now)
        return None if is_retried and has_next else end
    try:
        is_done = _is_done(template, scope)
    except ExpressionError as failure:
        return replace(container, status=TaskStatus.FAILED, error=str(failure), ended_at=now)
    if has_next and not is_done:
        return None
    if is_done or template.repeat is None or template.repeat.until is None:
        return replace(container, status=TaskStatus.SUCCEEDED, ended_at=now)
    error = f"until was still false after round {last.index}, the last one: {template.repeat.until}"
    return replace(container, status=TaskStatus.FAILED, error=error, ended_at=now)


def _is_done(template: TaskTemplate, scope: Mapping[str, Any]) -> bool:
    """Return whether no round follows one that has succeeded, however many there may be."""
    if template.repeat is None:
        return True
    return template.repeat.until is not None and evaluate_condition(template.repeat.until, scope)
