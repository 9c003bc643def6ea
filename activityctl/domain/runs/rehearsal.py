"""Rehearsal: what a replay would do, evaluated without calling anything.

Rules, conditions and inputs are evaluated as admission does it. A task that would be called is
taken to end as it did in the run before; what needs a result that nobody knows stays undecided.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from activityctl.domain.cel.expression import evaluate_condition
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.document import is_same_json
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.runs.admission import begin
from activityctl.domain.runs.advance import advance
from activityctl.domain.runs.phases import templates_of
from activityctl.domain.runs.replay import (
    FRESH_KEY_PREFIX,
    ReplayedRun,
    continues,
    kept_tasks,
    with_key,
)
from activityctl.domain.runs.run import (
    Decision,
    Phase,
    Run,
    RunEnd,
    RunState,
    TaskInstance,
    TaskStatus,
)
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.runs.scope import run_scope
from activityctl.domain.tasks.stop import STOP
from activityctl.domain.tasks.value import VALUE
from activityctl.domain.tasks.wait import WAIT
from activityctl.domain.tasks.wait_for import WAIT_FOR
from activityctl.domain.values import ids
from activityctl.domain.values.credentials import mask_credentials
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass

_PHASES: Final[tuple[Phase, ...]] = ("main", "onSuccess")
_UNNOTICED: Final = frozenset({VALUE, WAIT, WAIT_FOR, STOP})


class Part(StrEnum):
    """What a replay does with a task."""

    KEPT = "kept"
    """It had succeeded; its output is used, and it is not called."""
    CALLED = "called"
    """It is called again, or for the first time."""
    EVALUATED = "evaluated"
    """The engine carries it out; nothing outside notices."""
    SKIPPED = "skipped"
    FAILS = "fails"
    """Its input or condition cannot be evaluated."""
    UNDECIDED = "undecided"
    """Whether it is called depends on a result that is not known."""


@frozen_dataclass
class RehearsedTask:
    """One task of the replay, and the same task then."""

    task: TaskInstance
    part: Part
    before: TaskInstance | None
    """The task of the run before; None if it had none of that name."""

    @property
    def has_fresh_key(self) -> bool:
        """Whether its idempotency key tells a receiver that it is a deliberate repetition."""
        return (self.task.idempotency_key or "").startswith(FRESH_KEY_PREFIX)

    @property
    def calls_outside(self) -> bool:
        """Whether somebody outside notices that it runs."""
        return self.part is Part.CALLED and self.task.kind not in _UNNOTICED

    @property
    def has_relay(self) -> bool:
        """Whether it would send a call as a transaction, if its executor wants one."""
        has_input = self.part is Part.CALLED and isinstance(self.task.input, Mapping)
        return has_input and self.task.input.get("relay") is not None

    @property
    def has_other_input(self) -> bool:
        """Whether its input differs from that of then, as far as both are known."""
        if self.before is None or self.part in {Part.KEPT, Part.UNDECIDED}:
            return False
        if self.task.input is None or self.before.input is None:
            return False
        then, now = mask_credentials(self.before.input), mask_credentials(self.task.input)
        return not is_same_json(then, now)


@frozen_dataclass
class RehearsedRule:
    """A rule of the replay, and what it gave then."""

    when: str
    holds: bool | None
    """None if it cannot be evaluated."""
    held: bool | None
    """None if the run before had no such rule, or if it could not be evaluated."""
    error: str | None = None


@frozen_dataclass
class Rehearsal:
    """What a replay would do."""

    run: Run
    rules: tuple[RehearsedRule, ...]
    tasks: tuple[RehearsedTask, ...]
    end: RunEnd | None
    """How it would end if every called task ended as it did then; None if that is not known."""
    to_resolve: tuple[str, ...] = ()
    """The context that is resolved when the replay begins, and so is not known yet."""

    def part(self, part: Part) -> list[RehearsedTask]:
        """Return the tasks of this part."""
        return [task for task in self.tasks if task.part is part]


def rehearse(
    before: RunState, run: Run, spec: DefinitionSpec, replayed: ReplayedRun, now: datetime
) -> Rehearsal:
    """Return what the replay, as admission makes it, would do at this moment."""
    old = {(task.name, task.index): task for task in before.tasks}
    rules = tuple(_rules(before, run, spec, now))
    if not continues(run, replayed) and (names := _to_resolve(run, spec)):
        known = RunState(run, spec, kept_tasks(run, spec, replayed, now))
        kept = [
            RehearsedTask(task, Part.KEPT, old.get((task.name, task.index)))
            for task in known.tasks
            if task.has_ended and not task.is_container
        ]
        return Rehearsal(run, rules, (*kept, *_undecided(known, old, now)), None, names)
    started, decision = begin(run, spec, now, replayed)
    kept_ids = {task.id for task in kept_tasks(started, spec, replayed, now) if task.has_ended}
    state = _applied(RunState(started, spec, ()), decision, now)
    called: dict[str, TaskInstance] = {}
    while not state.run.has_ended:
        begun = [
            task
            for task in state.tasks
            if not (task.has_ended or task.is_container or task.id in called)
        ]
        called |= {task.id: task for task in begun}
        ended = {task.id: as_then for task in begun if (as_then := _as_then(task, old, now))}
        state = replace(state, tasks=tuple(ended.get(task.id, task) for task in state.tasks))
        decision = advance(state, now)
        after = _applied(state, decision, now)
        if after == state:
            break
        state = after
    tasks = [
        RehearsedTask(
            called.get(task.id, task),
            _part(task, kept_ids, called),
            old.get((task.name, task.index)),
        )
        for task in state.tasks
        if not task.is_container
    ]
    end = decision.end if state.run.has_ended else None
    undecided = () if end else _undecided(state, old, now)
    return Rehearsal(run, rules, (*tasks, *undecided), end)


def _to_resolve(run: Run, spec: DefinitionSpec) -> tuple[str, ...]:
    return tuple(source.name for source in spec.context if source.name not in run.context)


def _applied(state: RunState, decision: Decision, now: datetime) -> RunState:
    """Return the run as it is after the decision is stored."""
    change = run_change(state.run, decision, now)
    changed = {task.id: task for task in change.update}
    tasks = (changed.pop(task.id, task) for task in (*state.tasks, *change.create))
    return replace(state, run=change.run, tasks=tuple(tasks))


def _as_then(
    task: TaskInstance, old: Mapping[tuple[str, int], TaskInstance], now: datetime
) -> TaskInstance | None:
    """Return the task with the result of then; None if it had not succeeded."""
    before = old.get((task.name, task.index))
    if before is None or before.status is not TaskStatus.SUCCEEDED:
        return None
    return replace(task, status=TaskStatus.SUCCEEDED, output=before.output, ended_at=now)


def _part(task: TaskInstance, kept: Collection[str], called: Mapping[str, TaskInstance]) -> Part:
    if task.id in called:
        return Part.CALLED
    if task.id in kept:
        return Part.KEPT
    match task.status:
        case TaskStatus.FAILED:
            return Part.FAILS
        case TaskStatus.SUCCEEDED:
            return Part.EVALUATED
        case _:
            return Part.SKIPPED


def _undecided(
    state: RunState, old: Mapping[tuple[str, int], TaskInstance], now: datetime
) -> Iterator[RehearsedTask]:
    """Yield the tasks of the definition that do not exist yet."""
    names = {task.name for task in state.tasks}
    for phase in _PHASES:
        for template in templates_of(state.spec, phase):
            if template.name not in names:
                task = with_key(state.run, _blank(state.run, template, phase, now))
                before = old.get((template.name, 0))
                yield RehearsedTask(task, Part.UNDECIDED, before)


def _blank(run: Run, template: TaskTemplate, phase: Phase, now: datetime) -> TaskInstance:
    return TaskInstance(
        id=ids.task_id(run.id, template.name, 0),
        run_id=run.id,
        name=template.name,
        index=0,
        phase=phase,
        kind=template.kind,
        status=TaskStatus.PENDING,
        created_at=now,
    )


def _rules(
    before: RunState, run: Run, spec: DefinitionSpec, now: datetime
) -> Iterator[RehearsedRule]:
    old_scope = run_scope(before.run, before.run.started_at or before.run.created_at)
    old_rules = {rule.when for rule in before.spec.rules}
    scope = run_scope(run, now)
    for rule in spec.rules:
        held = _holds(rule.when, old_scope)[0] if rule.when in old_rules else None
        holds, error = _holds(rule.when, scope)
        yield RehearsedRule(rule.when, holds, held, error)


def _holds(when: str, scope: Mapping[str, JsonValue]) -> tuple[bool | None, str | None]:
    try:
        return evaluate_condition(when, scope), None
    except ExpressionError as error:
        return None, str(error)
