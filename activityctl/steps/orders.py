"""Turns decisions of the domain into orders for the workflow, which have only ids and limits."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.manifests.task_tree import template_path, templates_by_path
from activityctl.domain.runs import lanes, rounds
from activityctl.domain.runs.run import Decision, Run, RunState, TaskInstance, TaskStatus
from activityctl.workflows.calls import Orders, TaskOrder


def orders_of(run: Run, spec: DefinitionSpec, decision: Decision) -> Orders:
    """Return the orders that tell the workflow what to do next."""
    templates = templates_by_path(spec)
    is_over = run.has_ended or decision.end is not None
    status = run.status if decision.end is None else decision.end.status
    return Orders(
        run_id=run.id,
        is_over=is_over,
        start=[_order(run, task, templates[template_path(task.name)]) for task in decision.start],
        is_cancelling=bool(decision.waits_for),
        ended_as=status.value if is_over else None,
        lifts_deadline=not is_over and any(task.phase == "undo" for task in decision.start),
    )


def with_waits(
    orders: Orders, tasks: Iterable[TaskInstance], decision: Decision, now: datetime
) -> Orders:
    """Return the orders with what the workflow must know of the tasks that wait.

    `tasks` are those of the run before the decision.
    """
    changed = (*decision.create, *decision.wait, *decision.cancel)
    known = {task.id: task for task in (*tasks, *changed)}.values()
    waiting = [task for task in known if task.status is TaskStatus.WAITING]
    times = [task.waits_until for task in waiting if task.waits_until is not None]
    seconds = max((min(times) - now).total_seconds(), 0.0) if times else None
    return replace(orders, has_waiting=bool(waiting), settle_in_seconds=seconds)


def order_of(state: RunState, task: TaskInstance) -> TaskOrder:
    """Return the order to execute the task of the run."""
    return _order(state.run, task, templates_by_path(state.spec)[template_path(task.name)])


def _order(run: Run, task: TaskInstance, template: TaskTemplate) -> TaskOrder:
    limits = template.timeout
    not_before = rounds.begins_at(template, task) if task.status is TaskStatus.PENDING else None
    return TaskOrder(
        subscription_id=run.subscription_id,
        run_id=run.id,
        task_id=task.id,
        max_attempts=template.retry.attempts_of(task.kind, task.input),
        start_to_close_seconds=limits.start_to_close.total_seconds(),
        schedule_to_start_seconds=_seconds(limits.schedule_to_start),
        heartbeat_seconds=_seconds(limits.heartbeat),
        total_seconds=_seconds(limits.total),
        max_age_seconds=_seconds(template.retry.max_age),
        is_guarded=task.guard is not None,
        is_limited=task.guard is not None and task.guard.limit is not None,
        takes_next=lanes.goes_on(template, task),
        not_before=None if not_before is None else not_before.isoformat(),
        is_group=task.is_container,
        strategy=_strategy(task),
    )


def _strategy(task: TaskInstance) -> str | None:
    if task.kind != "python" or not isinstance(task.input, Mapping):
        return None
    name = task.input.get("strategy")
    return name if isinstance(name, str) else None


def _seconds(limit: timedelta | None) -> float | None:
    return None if limit is None else limit.total_seconds()
