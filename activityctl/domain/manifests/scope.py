"""The variables that each expression of a definition may read, with their static types.

Their values come from `advance.run_scope` and its outcomes. A test checks that both agree.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from activityctl.domain.cel.static_check import StaticScope
from activityctl.domain.cel.static_type import (
    ANY_TYPE,
    StaticType,
    closed_map,
    params_type,
    type_of_kind,
)
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_template import TaskTemplate

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
OUTCOME: Final = closed_map(
    {"status": _TEXT, "output": ANY_TYPE, "error": _TEXT_OR_NULL, "attempts": type_of_kind("int")}
)
_OUTCOME_OF_MANY: Final = closed_map({**OUTCOME.fields, "output": type_of_kind("list", "null")})


_RUNS_WHEN: Final = {
    "onFailure": "the run fails",
    "onSuccess": "the run has succeeded",
}


def task_lists(spec: DefinitionSpec) -> dict[str, tuple[TaskTemplate, ...]]:
    """Return the lists of tasks of a definition by the name of their field, `tasks` first."""
    return {"tasks": spec.tasks, "onFailure": spec.on_failure, "onSuccess": spec.on_success}


class Scopes:
    """The scopes of the expressions of one definition."""

    def __init__(self, spec: DefinitionSpec, *, has_sound_params: bool) -> None:
        self._spec = spec
        self._shared = {
            "params": params_type(spec.params) if has_sound_params else ANY_TYPE,
            "trigger": TRIGGER,
            "event": ANY_TYPE,
            "run": RUN,
            "state": ANY_TYPE,
            "now": type_of_kind("timestamp"),
        }
        self._needs = {
            phase: _all_needs(templates) for phase, templates in task_lists(spec).items()
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

    def task(self, phase: str, task: TaskTemplate) -> StaticScope:
        """Return the scope of a task without `item`: the outcomes of the tasks that it needs.

        A task of `onFailure` or `onSuccess` can also read the main tasks that have ended.
        """
        lists = task_lists(self._spec)
        needed = self._needs[phase][task.name]
        readable = {other.name: _outcome(other) for other in lists[phase] if other.name in needed}
        if phase != "tasks":
            readable |= {other.name: _outcome(other) for other in self._spec.tasks}
        absent = {
            other.name: _absence_reason(task.name, other.name, self._needs[phase])
            for other in lists[phase]
            if other.name not in readable
        }
        for other_phase in lists.keys() - {phase, "tasks"}:
            absent |= {
                other.name: f"tasks.{other.name} runs only when {_RUNS_WHEN[other_phase]}"
                for other in lists[other_phase]
                if other.name not in readable
            }
        note = "no such task is declared"
        tasks = StaticType(frozenset({"map"}), readable, is_closed=True, absent=absent, note=note)
        return {**self.rules(), "tasks": tasks}

    def state(self) -> StaticScope:
        """Return the scope of `state`, which includes the outcomes of all tasks."""
        tasks = {task.name: _outcome(task) for task in self._spec.tasks}
        return {**self.rules(), "tasks": closed_map(tasks, "no such task is declared")}


def _outcome(task: TaskTemplate) -> StaticType:
    return OUTCOME if task.for_each is None else _OUTCOME_OF_MANY


def _absence_reason(reader: str, other: str, needs: Mapping[str, frozenset[str]]) -> str:
    if other == reader:
        return f"tasks.{other} is the task itself, which has not run yet"
    if reader in needs[other]:
        return f"tasks.{other} runs after {reader}, because it needs {reader}"
    return f"tasks.{other} is read but not needed: add {other} to needs"


def _all_needs(templates: Sequence[TaskTemplate]) -> dict[str, frozenset[str]]:
    """Return the direct and indirect needs of each task.

    Unknown names are left out, and circles are allowed: other checks report them.
    """
    direct = {task.name: task.needs for task in templates}
    all_needs = {}
    for name, needs in direct.items():
        found: set[str] = set()
        waiting = [*needs]
        while waiting:
            need = waiting.pop()
            if need not in found and need in direct:
                found.add(need)
                waiting += direct[need]
        all_needs[name] = frozenset(found)
    return all_needs
