"""Checks of the waits of a definition: those that the run's timeout cuts off.

Waits in a row count together, and so do the rounds of `repeat` and the items of `forEach`. Only
waits that are written without a template are known.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from pydantic import ValidationError

from activityctl.domain.cel.expression import has_expression
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.tasks.engine_kinds import ENGINE_KINDS, longest_wait
from activityctl.domain.tasks.wait import WAIT
from activityctl.domain.values.duration import MAX_DURATION, format_duration
from activityctl.domain.values.finding import Finding, Path
from activityctl.frozen_dataclass import frozen_dataclass

_LONGEST: Final = timedelta(days=36_500)
"""A sum of waits is not counted further, so that it stays within what a duration can be."""


def check_waits(spec: DefinitionSpec) -> list[Finding]:
    """Return the waits that the run's timeout cuts off; groups and choices are looked into.

    A person or an event can come early, and `until` can be true early, so their limit may be longer
    than a timeout that the author has written; it may not be longer than the default, which the
    author may not know.
    """
    check = _Check(spec, [])
    check.end_of_all(spec.tasks, ("tasks",), timedelta())
    return check.found


@frozen_dataclass
class _Check:
    spec: DefinitionSpec
    found: list[Finding]

    def end_of_all(
        self, templates: Sequence[TaskTemplate], path: Path, begins: timedelta
    ) -> timedelta:
        """Return when the last of these tasks may end, which begin then; note what is wrong."""
        places = {task.name: index for index, task in enumerate(templates)}
        ends: dict[str, timedelta] = {}

        def end_of(task: TaskTemplate) -> timedelta:
            if task.name in ends:
                return ends[task.name]
            ends[task.name] = begins  # circles are another finding
            needs = [end_of(templates[places[need]]) for need in task.needs if need in places]
            start = max(needs, default=begins)
            end = self._end_of_once(task, (*path, places[task.name]), start)
            ends[task.name] = self._end_of_rounds(task, (*path, places[task.name]), start, end)
            return ends[task.name]

        return max(map(end_of, templates), default=begins)

    def _end_of_once(self, task: TaskTemplate, place: Path, start: timedelta) -> timedelta:
        """Return when the task may end without rounds and items."""
        end = start
        if (written := _written_wait(task)) is not None:
            field, wait = written
            end = min(start + wait, _LONGEST)
            if self._is_cut_off(start, end, is_certain=WAIT in task.kinds):
                self.found.append(Finding((*place, task.kind, field), self._reason(wait, end)))
        for path, inner in _inner_lists(task):
            end = max(end, self.end_of_all(inner, (*place, *path), start))
        return end

    def _end_of_rounds(
        self, task: TaskTemplate, place: Path, start: timedelta, once: timedelta
    ) -> timedelta:
        """Return when the task may end with all its rounds, and with the items of its forEach."""
        rounds, delay = _rounds(task)
        of_rounds = _times(once - start, rounds) + _times(delay, rounds - 1)
        end = min(start + of_rounds, _LONGEST)
        is_certain = not _may_end_early(task)
        if self._is_cut_off(once, end, is_certain=is_certain):
            reason = self._reason(of_rounds, end, f"{rounds} rounds take")
            self.found.append(Finding((*place, "repeat", "max"), reason))
        turns = _turns(task)
        of_turns = _times(of_rounds, turns)
        end_of_turns = min(start + of_turns, _LONGEST)
        if self._is_cut_off(end, end_of_turns, is_certain=is_certain):
            reason = self._reason(of_turns, end_of_turns, "the items one after the other take")
            self.found.append(Finding((*place, "forEach"), reason))
        return end_of_turns

    def _is_cut_off(self, before: timedelta, end: timedelta, *, is_certain: bool) -> bool:
        """Return whether the timeout comes between; what may end early is left to the author."""
        is_known = is_certain or "timeout" not in self.spec.model_fields_set
        return is_known and before < self.spec.timeout <= end

    def _reason(self, wait: timedelta, total: timedelta, what: str = "") -> str:
        """Return the finding; `what` says what takes so long, if it is not one wait."""
        is_written = "timeout" in self.spec.model_fields_set
        timeout = "the run's timeout" if is_written else "the default timeout"
        limit = f"{timeout} of {format_duration(self.spec.timeout)}, so the run would end first"
        text = f"{what} {format_duration(wait)}"
        if total > wait:
            before = f"with the waits before {'them' if what else 'it'}, this is"
            text = f"{text}; {before}" if what else before
            text += f" {format_duration(total)}: not shorter than"
        else:
            text = f"{text}: not shorter than" if what else f"{text.strip()} is not shorter than"
        if total >= MAX_DURATION:
            return f"{text} {limit}"
        return f"{text} {limit}; set spec.timeout to more than {format_duration(total)}"


def _inner_lists(task: TaskTemplate) -> Iterator[tuple[Path, Sequence[TaskTemplate]]]:
    """Yield the lists of tasks in a group or choice, with their paths."""
    if task.tasks is not None:
        yield ("tasks",), task.tasks
    if task.switch is not None:
        for number, case in enumerate(task.switch.cases):
            yield ("switch", "cases", number, "tasks"), case.tasks
        yield ("switch", "default"), task.switch.default


def _written_wait(task: TaskTemplate) -> tuple[str, timedelta] | None:
    """Return the field that says how long the task may wait, and its value."""
    if len(task.kinds) != 1 or task.kind not in ENGINE_KINDS:
        return None
    try:
        body = ENGINE_KINDS[task.kind].model_validate_json(json.dumps(task.body))
    except ValidationError:
        return None
    return longest_wait(body)


def _may_end_early(task: TaskTemplate) -> bool:
    """Return whether a person, an event or `until` may end what is in the task before its time."""
    waits = WAIT not in task.kinds and _written_wait(task) is not None
    has_until = task.repeat is not None and task.repeat.until is not None
    return waits or has_until or any(map(_may_end_early, task.children))


def _rounds(task: TaskTemplate) -> tuple[int, timedelta]:
    """Return how many rounds the task has at most, and the wait between two."""
    if task.repeat is None:
        return 1, timedelta()
    has_delay = not ENGINE_KINDS.keys() & set(task.kinds)
    return task.repeat.max, task.repeat.delay if has_delay else timedelta()


def _turns(task: TaskTemplate) -> int:
    """Return how often the task runs one after the other for the items of a written list."""
    items = task.for_each
    if not isinstance(items, list) or has_expression(json.dumps(items)) or len(task.kinds) != 1:
        return 1
    most = task.most_parallel or len(items)
    return max(-(-len(items) // most), 1)


def _times(wait: timedelta, count: int) -> timedelta:
    """Return the product, at most _LONGEST."""
    if wait > _LONGEST / max(count, 1):
        return _LONGEST
    return wait * count
