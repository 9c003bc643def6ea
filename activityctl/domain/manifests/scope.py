"""The variables that each expression of a definition may read, with their static types.

Their values come from `advance.run_scope` and its outcomes. A test checks that both agree.
"""

from dataclasses import replace
from typing import Final

from activityctl.domain.cel.expression import has_expression
from activityctl.domain.cel.static_check import StaticScope
from activityctl.domain.cel.static_type import (
    ANY_TYPE,
    StaticType,
    closed_map,
    params_type,
    type_of_kind,
)
from activityctl.domain.manifests.definition import (
    NOTICE_TRIGGERS,
    ON_MISSED,
    ON_RECOVERED,
    DefinitionSpec,
)
from activityctl.domain.manifests.outcome_types import (
    may_not_run,
    outcome_type,
    single_outcome_type,
)
from activityctl.domain.manifests.task_blocks import StaticBlock, all_needs
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.manifests.task_tree import all_templates
from activityctl.domain.tasks.stop import STOP

_TEXT: Final = type_of_kind("string")
_TEXT_OR_NULL: Final = type_of_kind("string", "null")

TRIGGER: Final = closed_map(
    {
        "name": _TEXT,
        "firingKey": _TEXT,
        "dueAt": _TEXT_OR_NULL,
        "payload": ANY_TYPE,
        "events": type_of_kind("list"),
    }
)
RUN: Final = closed_map(
    {
        "id": _TEXT,
        "subscription": _TEXT,
        "definition": _TEXT,
        "revision": _TEXT,
        "startedAt": _TEXT_OR_NULL,
        "error": _TEXT_OR_NULL,
        "reason": _TEXT_OR_NULL,
        "pauses": type_of_kind("bool"),
    }
)


_RUNS_WHEN: Final = {
    "onFailure": "the run fails",
    "onSuccess": "the run has succeeded",
    "onSkip": "the run is skipped",
    ON_MISSED: "firings were missed",
    ON_RECOVERED: "a run succeeds after others failed or were missed",
}


def task_lists(spec: DefinitionSpec) -> dict[str, tuple[TaskTemplate, ...]]:
    """Return the lists of tasks of a definition by the name of their field, `tasks` first."""
    return {
        "tasks": spec.tasks,
        "onFailure": spec.on_failure,
        "onSuccess": spec.on_success,
        "onSkip": spec.on_skip,
        ON_MISSED: spec.on_missed,
        ON_RECOVERED: spec.on_recovered,
    }


_NOT_BEGUN: Final = "tasks.{} has not run when the run is skipped"
_OTHER_RUN: Final = "tasks.{} is a task of other runs: the tasks of {} are a run of their own"
_NO_CONTEXT: Final = "context.{{}} is not looked up for {}; trigger.payload says what happened"
_NOT_LOOKED_UP: Final = (
    "context.{} is not looked up when concurrency or a throttle skips the run; run.reason says why "
    "it is skipped"
)


def _may_stop_as(ending: str, task: TaskTemplate) -> bool:
    """Return whether the task may end the run early in this way, as far as that is written down."""
    body = (task.model_extra or {}).get(STOP)
    status = body.get("status", "succeeded") if isinstance(body, dict) else None
    return status == ending or (isinstance(status, str) and has_expression(status))


class Scopes:
    """The scopes of the expressions of one definition."""

    def __init__(self, spec: DefinitionSpec, *, has_sound_params: bool) -> None:
        self._spec = spec
        self.limits = frozenset(limit.name for limit in spec.limits)
        """The names of the limits that tasks may use."""
        self._can_stop_as_skipped = any(
            _may_stop_as("skipped", task) for task in all_templates(spec.tasks)
        )
        self._shared = {
            "params": params_type(spec.params) if has_sound_params else ANY_TYPE,
            "trigger": TRIGGER,
            "event": ANY_TYPE,
            "run": RUN,
            "state": ANY_TYPE,
            "now": type_of_kind("timestamp"),
        }

    @property
    def params(self) -> StaticType:
        """The static type of the params."""
        return self._shared["params"]

    def gates(self) -> StaticScope:
        """Return the scope of the keys of concurrency and throttle."""
        return {name: self._shared[name] for name in ("params", "trigger", "event")}

    def context(self, index: int) -> StaticScope:
        """Return the scope of a context source, which includes the context sources above it."""
        above = {source.name: ANY_TYPE for source in self._spec.context[:index]}
        below = [source.name for source in self._spec.context[index:]]
        absent = {
            name: f"context.{name} is looked up later; move it above this one"
            for name in below
            if name not in above
        }
        note = "" if above else "there is no context above it"
        known = StaticType(frozenset({"map"}), above, is_closed=True, absent=absent, note=note)
        return {**self._shared, "context": known}

    def rules(self) -> StaticScope:
        """Return the scope of rules: all context, but no tasks."""
        fields = {source.name: ANY_TYPE for source in self._spec.context}
        return {**self._shared, "context": closed_map(fields, "no such context is declared")}

    def task(self, block: StaticBlock, task: TaskTemplate, *, in_body: bool = False) -> StaticScope:
        """Return the scope of a task: the outcomes of the tasks that it needs.

        `in_body` is about what runs if its `when` is true, once for each item. A task that runs
        at the end of the run can also read the main tasks that have ended.
        """
        lists = task_lists(self._spec)
        readable = block.readable(task, in_body=in_body)
        absent = block.absent(task, readable)
        if block.phase in NOTICE_TRIGGERS:
            absent |= {
                task.name: _OTHER_RUN.format(task.name, block.phase) for task in self._spec.tasks
            }
        elif block.phase == "onSkip" and not self._can_stop_as_skipped:
            absent |= {task.name: _NOT_BEGUN.format(task.name) for task in self._spec.tasks}
        elif block.phase != "tasks":
            conditions = block.conditions_of(task, in_body=in_body)
            readable = {**self._main_outcomes(block.phase, conditions), **readable}
        for other_phase in lists.keys() - {block.phase, "tasks"}:
            absent |= {
                other.name: f"tasks.{other.name} runs only when {_RUNS_WHEN[other_phase]}"
                for other in lists[other_phase]
                if other.name not in readable
            }
        note = "no such task is declared"
        tasks = StaticType(frozenset({"map"}), readable, is_closed=True, absent=absent, note=note)
        item = block.has_item or (in_body and task.for_each is not None)
        return {**self._around(block.phase), "tasks": tasks, **({"item": ANY_TYPE} if item else {})}

    def until(self, block: StaticBlock, task: TaskTemplate) -> StaticScope:
        """Return the scope of `until`, which is asked only after a round that has succeeded."""
        scope = self.task(block, task, in_body=True)
        conditions = block.conditions_of(task, in_body=True)
        done = single_outcome_type(task, conditions, is_sure=True)
        known = scope["tasks"]
        return {**scope, "tasks": replace(known, fields={**known.fields, task.name: done})}

    def _around(self, phase: str) -> StaticScope:
        """Return what the tasks of a phase can read beside other tasks.

        A gate skips a run before its context is known, and a notice has none.
        """
        if phase in NOTICE_TRIGGERS:
            reason = _NO_CONTEXT.format(phase)
        elif phase == "onSkip" and self._spec.skips_at_gates:
            reason = _NOT_LOOKED_UP
        else:
            return self.rules()
        absent = {source.name: reason.format(source.name) for source in self._spec.context}
        none = StaticType(frozenset({"map"}), {}, is_closed=True, absent=absent)
        return {**self._shared, "context": none}

    def state(self) -> StaticScope:
        """Return the scope of `state`, which includes the outcomes of all tasks."""
        main = self._spec.tasks
        tasks = {
            task.name: outcome_type(task, is_sure=not may_not_run(task, main)) for task in main
        }
        return {**self.rules(), "tasks": closed_map(tasks, "no such task is declared")}

    def _main_outcomes(self, phase: str, conditions: tuple[str, ...]) -> dict[str, StaticType]:
        """Return the outcomes of the main tasks as the tasks of a phase after them read them.

        Of a run that has failed, none has an output for certain.
        """
        sure = self._done_before(phase)
        return {
            task.name: outcome_type(task, conditions, is_sure=task.name in sure)
            for task in self._spec.tasks
        }

    def _done_before(self, phase: str) -> frozenset[str]:
        """Return the main tasks that have succeeded whenever the tasks of the phase begin.

        A `stop` that ends the run early comes after the tasks that it needs. Rules and gates skip a
        run before its first task.
        """
        main = self._spec.tasks
        if phase == "onSuccess":
            ending = "succeeded"
            sure = frozenset(task.name for task in main if not may_not_run(task, main))
        elif phase == "onSkip" and not self._spec.rules and not self._spec.skips_at_gates:
            ending = "skipped"
            sure = frozenset(task.name for task in main)
        else:
            return frozenset()
        needs = all_needs(main)
        for task in main:
            if any(_may_stop_as(ending, inner) for inner in all_templates((task,))):
                sure &= needs[task.name]
        return sure
