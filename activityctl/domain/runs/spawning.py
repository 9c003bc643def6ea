"""Decides which tasks of one phase exist now, which of them may start, and whether all are over.

Groups, choices and rounds hold other tasks. They begin and end here, in the same decision as what
is in them, so that no worker has to do anything for them. Each row is looked at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from typing import Any, Final

from activityctl.domain.cel.expression import evaluate_condition
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.runs import lanes, rounds
from activityctl.domain.runs.answer_form import with_form
from activityctl.domain.runs.instances import failed, new_instances, numbered, rendered
from activityctl.domain.runs.outcomes import Block, Outcome, Outcomes
from activityctl.domain.runs.phases import templates_of
from activityctl.domain.runs.replay import with_key, with_keys
from activityctl.domain.runs.run import (
    Decision,
    Phase,
    RunEnd,
    RunState,
    RunStatus,
    TaskInstance,
    TaskStatus,
    address_of,
)
from activityctl.domain.runs.scope import run_scope
from activityctl.domain.runs.task_rows import (
    MAX_ROWS,
    SATISFIED,
    TaskRows,
    container_kind,
    failed_instance,
    status_of,
)
from activityctl.domain.runs.waiting import begin_wait, waits_by_itself
from activityctl.domain.tasks.guard import guard_of
from activityctl.domain.tasks.stop import STOP
from activityctl.domain.values import ids
from activityctl.errors import ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass

_TOO_MANY: Final = f"the run has too many tasks; with all items and rounds, {MAX_ROWS:,} at most"


@frozen_dataclass
class SpawnResult:
    """What happens to the tasks of one phase."""

    decision: Decision
    tasks: tuple[TaskInstance, ...]
    """All tasks of the run, as they are after the decision."""
    is_over: bool
    """Whether every task of the phase has ended."""
    failure: TaskInstance | None = None
    """The first task of the phase that failed, if failures of it matter."""
    allowed_failures: str = ""
    """The names of the tasks that failed, and whose failures do not matter."""
    scope: Mapping[str, Any] = field(default_factory=dict)
    """The variables of expressions that read these tasks."""
    early_end: RunEnd | None = None
    """How a `stop` task ends the run; what no worker has begun is cancelled then."""


class Spawning:
    """One decision about the tasks of a run."""

    def __init__(self, state: RunState, now: datetime) -> None:
        self.rows = TaskRows(state.tasks)
        self.outcomes = Outcomes(self.rows)
        self._run = state.run
        self._spec = state.spec
        self._now = now
        self._shared = run_scope(state.run, now)
        self._start: list[TaskInstance] = []
        self._stopped_by = next((task for task in state.tasks if _stops(task)), None)

    def result(self, *, is_over: bool) -> SpawnResult:
        """Return what was decided."""
        changed = self.rows.changed
        decision = Decision(
            create=self.rows.created,
            change=tuple(task for task in changed if task.status is not TaskStatus.WAITING),
            wait=tuple(task for task in changed if task.status is TaskStatus.WAITING),
            start=tuple(self._start),
        )
        return SpawnResult(decision, self.rows.all, is_over)

    def result_of_main(self, block: Block) -> SpawnResult:
        """Carry the main tasks, and return what was decided and how they have ended."""
        is_over = self.carry(block)
        if self._stopped_by is not None:
            end = _early_end(self._stopped_by)
            for task in self.rows.all:
                if not (task.has_ended or task.is_at_work):
                    self.rows.change(self._cancelled(task, end.reason))
            return replace(self.result(is_over=False), early_end=end)
        if not is_over:
            return self.result(is_over=False)
        failures = (self.failure(template, block) for template in block.templates)
        return replace(
            self.result(is_over=True),
            failure=next((task for task in failures if task is not None), None),
            allowed_failures=", ".join(self._allowed_failures(block)),
            scope=self.scope(block),
        )

    def _allowed_failures(self, block: Block) -> Iterator[str]:
        for template in block.templates:
            tasks = self.rows.instances(template, block.prefix + template.name)
            if template.continue_on_error and (task := failed_instance(tasks)) is not None:
                yield f"task {address_of(task)}"

    def carry(self, block: Block) -> bool:
        """Create and start what may be, and end what is over; return whether the block is over."""
        for template in in_order(block.templates):
            name = block.prefix + template.name
            if not self.rows.exists(name):
                if not all(self.rows.is_over(block.prefix + need) for need in template.needs):
                    continue
                self._create(template, block)
            if not self.rows.is_over(name):
                self._carry_instances(template, block)
        return all(self.rows.is_over(block.prefix + task.name) for task in block.templates)

    def scope(self, block: Block) -> dict[str, Any]:
        """Return the variables of expressions in the block."""
        return {**self._shared, "tasks": self.outcomes.visible(block), "item": block.item}

    def _create(self, template: TaskTemplate, block: Block) -> None:
        name = block.prefix + template.name
        blank = TaskInstance(
            id=ids.task_id(self._run.id, name, 0),
            run_id=self._run.id,
            name=name,
            index=0,
            phase=block.phase,
            kind=container_kind(template),
            status=TaskStatus.PENDING,
            created_at=self._now,
        )
        by_name = {other.name: other for other in block.templates}
        statuses = {need: self._status(by_name[need], block) for need in template.needs}
        found = new_instances(template, blank, statuses, self.scope(block))
        if not self.rows.have_room_for(len(found)):
            found = [failed(blank, _TOO_MANY)]
        self.rows.add([self._governed(task, template) for task in with_keys(self._run, found)])

    def _governed(self, task: TaskInstance, template: TaskTemplate) -> TaskInstance:
        """Return the new task with its form, and with what may hold up its attempts."""
        if task.has_ended:
            return task
        task = with_form(task, template, self._spec)
        if template.breaker is None and template.limit is None:
            return task
        guard = guard_of(template.breaker, template.limit, self._spec.limits, task.kind, task.input)
        return replace(task, guard=guard)

    def _status(self, template: TaskTemplate, block: Block) -> str:
        """Return the status of a task that has ended, as those see it that need it."""
        status = status_of(self.rows.instances(template, block.prefix + template.name))
        return SATISFIED if status == "failed" and template.continue_on_error else status

    def _carry_instances(self, template: TaskTemplate, block: Block) -> None:
        """Carry the first instances that have not ended, as many as may run at the same time.

        In a forEach with lanes it is the first of each lane; a worker takes the others by itself.
        """
        found = self.rows.instances(template, block.prefix + template.name)
        if any(lanes.leads(task) for task in found):
            self._start += [task for task in found if lanes.may_be_ordered(task)]
            return
        most = template.most_parallel
        places = len(found) if most is None else most
        for task in found:
            if places == 0:
                return
            if not task.has_ended:
                places -= not self._carry_instance(template, block, task).has_ended

    def _carry_instance(
        self, template: TaskTemplate, block: Block, task: TaskInstance
    ) -> TaskInstance:
        if not task.is_container:
            return self._start_task(task)
        if template.for_each is not None:
            block = replace(block, item=task.input["item"])
        if template.has_rounds:
            return self._carry_rounds(template, block, task)
        return self._carry_group(template, block, task, {})

    def _start_task(self, task: TaskInstance) -> TaskInstance:
        if task.status is not TaskStatus.PENDING:
            return task
        if task.kind == STOP:
            task = self.rows.change(self._ended(task, TaskStatus.SUCCEEDED, output=task.input))
            self._stopped_by = self._stopped_by or task
            return task
        if waits_by_itself(task):
            return self.rows.change(begin_wait(task, self._now))
        self._start.append(task)
        return task

    def _carry_group(
        self, template: TaskTemplate, block: Block, task: TaskInstance, own: Mapping[str, Outcome]
    ) -> TaskInstance:
        """Carry the tasks of a group or choice, and end it when they are over."""
        inner = replace(block, parent=block, prefix=f"{address_of(task)}.", own=own)
        if task.status is TaskStatus.PENDING or (template.switch and task.output is None):
            task = self._begin(template, inner, task)
            if task.has_ended:
                return task
        inner = replace(inner, templates=chosen_tasks(template, task))
        return self._end_by(inner, task) if self.carry(inner) else task

    def _begin(self, template: TaskTemplate, inner: Block, task: TaskInstance) -> TaskInstance:
        begun = replace(task, status=TaskStatus.RUNNING, started_at=self._now)
        if template.switch is None:
            return self.rows.change(begun)
        scope = self.scope(replace(inner, templates=()))
        try:
            held = (evaluate_condition(case.when, scope) for case in template.switch.cases)
            case = next((number for number, holds in enumerate(held, 1) if holds), None)
        except ExpressionError as error:
            return self.rows.change(self._ended(task, TaskStatus.FAILED, error=str(error)))
        return self.rows.change(replace(begun, output={"case": case}))

    def _end_by(self, inner: Block, task: TaskInstance) -> TaskInstance:
        """End a group by the tasks in it, all of which have ended."""
        for template in inner.templates:
            if (failure := self.failure(template, inner)) is not None:
                label = address_of(failure).removeprefix(inner.prefix)
                error = f"{label} failed: {failure.error}"
                return self.rows.change(self._ended(task, TaskStatus.FAILED, error=error))
        return self.rows.change(self._ended(task, TaskStatus.SUCCEEDED))

    def failure(self, template: TaskTemplate, block: Block) -> TaskInstance | None:
        """Return the first failed instance of a task whose failures matter."""
        if template.continue_on_error:
            return None
        return failed_instance(self.rows.instances(template, block.prefix + template.name))

    def _carry_rounds(
        self, template: TaskTemplate, block: Block, task: TaskInstance
    ) -> TaskInstance:
        """Carry the round of now, and begin the next one until no other follows."""
        if task.status is TaskStatus.PENDING:
            started = replace(task, status=TaskStatus.RUNNING, started_at=self._now)
            task = self.rows.change(started)
        found = self.rows.rounds(task) or [self._new_round(template, block, task, [])]
        while True:
            found[-1] = self._carry_round(template, block, task, found)
            if not found[-1].has_ended:
                return task
            own = self._rounds_so_far(template, task, found)
            scope = self.scope(replace(block, parent=block, templates=(), own=own))
            end = rounds.end_of_rounds(template, task, found, scope, self._now)
            if end is not None:
                return self.rows.change(end)
            found.append(self._new_round(template, block, task, found))

    def _new_round(
        self,
        template: TaskTemplate,
        block: Block,
        task: TaskInstance,
        before: Sequence[TaskInstance],
    ) -> TaskInstance:
        blank = TaskInstance(
            id=task.id,
            run_id=task.run_id,
            name=address_of(task),
            index=0,
            phase=task.phase,
            kind=template.kind,
            status=TaskStatus.PENDING,
            created_at=self._now,
        )
        new = numbered(blank, len(before) + 1, rounds.most_rounds(template))
        if not self.rows.have_room_for(1):
            new = failed(new, _TOO_MANY)
        elif not new.is_container:
            own = self._rounds_so_far(template, task, before)
            scope = self.scope(replace(block, parent=block, templates=(), own=own))
            new = self._governed(rendered(new, template, scope), template)
        new = with_key(self._run, new)
        self.rows.add([new])
        return new

    def _carry_round(
        self,
        template: TaskTemplate,
        block: Block,
        task: TaskInstance,
        found: Sequence[TaskInstance],
    ) -> TaskInstance:
        """Carry the last of the rounds; one that has to wait is only ordered."""
        latest = found[-1]
        if latest.has_ended:
            return latest
        is_pending = latest.status is TaskStatus.PENDING
        if is_pending and rounds.begins_at(template, latest) is not None:
            self._start.append(latest)
            return latest
        if not latest.is_container:
            return self._start_task(latest)
        own = self._rounds_so_far(template, task, found[:-1])
        return self._carry_group(template, block, latest, own)

    def _rounds_so_far(
        self, template: TaskTemplate, task: TaskInstance, found: Sequence[TaskInstance]
    ) -> dict[str, Outcome]:
        return {template.name: self.outcomes.of_rounds(template, task, found)}

    def _cancelled(self, task: TaskInstance, reason: str | None) -> TaskInstance:
        return replace(
            task, status=TaskStatus.CANCELLED, reason=reason, ended_at=self._now, attempt_at=None
        )

    def _ended(self, task: TaskInstance, status: TaskStatus, **changes: Any) -> TaskInstance:
        started_at = task.started_at or self._now
        return replace(task, status=status, started_at=started_at, ended_at=self._now, **changes)


def in_order(templates: Sequence[TaskTemplate]) -> Iterator[TaskTemplate]:
    """Yield each task after those that it needs; the manifest checks have refused circles."""
    waiting, seen = list(templates), set[str]()
    while waiting:
        ready = [template for template in waiting if seen.issuperset(template.needs)]
        if not ready:
            return
        yield from ready
        seen.update(template.name for template in ready)
        waiting = [template for template in waiting if template.name not in seen]


def chosen_tasks(template: TaskTemplate, task: TaskInstance) -> tuple[TaskTemplate, ...]:
    """Return the tasks that run in a group, or in a choice that has begun."""
    if template.switch is None:
        return template.tasks or ()
    case = task.output["case"]
    return template.switch.default if case is None else template.switch.cases[case - 1].tasks


def main_block(state: RunState) -> Block:
    """Return the tasks of the definition, as a block."""
    return Block(state.spec.tasks, "main")


def spawn(state: RunState, phase: Phase, now: datetime) -> SpawnResult:
    """Decide which tasks of the phase to create, to start and to end now."""
    spawning = Spawning(state, now)
    main = main_block(state)
    if phase == "main":
        return spawning.result_of_main(main)
    block = Block(templates_of(state.spec, phase), phase, parent=main)
    return spawning.result(is_over=spawning.carry(block))


def _stops(task: TaskInstance) -> bool:
    return task.kind == STOP and task.phase == "main" and task.status is TaskStatus.SUCCEEDED


def _early_end(task: TaskInstance) -> RunEnd:
    """Return how the `stop` task ends the run."""
    body = task.output or {}
    reason = f"stopped by task {address_of(task)}"
    if body.get("reason"):
        reason += f": {body['reason']}"
    return RunEnd(RunStatus(body.get("status", "succeeded")), reason)
