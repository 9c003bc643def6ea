"""The tasks of a definition as the lines of a tree: what each is, waits for and depends on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from activityctl.cli.render.story.page import Line, column_width
from activityctl.cli.render.story.phrases import flow
from activityctl.domain.manifests.task_template import BLOCK_KINDS, TaskTemplate
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.frozen_dataclass import frozen_dataclass

_FIELDS: Final = frozenset(
    (field.alias or name) for name, field in TaskTemplate.model_fields.items()
) - set(BLOCK_KINDS)
_WIDEST: Final = 36
_LONGEST: Final = 60


@frozen_dataclass
class _Row:
    name: str
    kind: str
    notes: tuple[str, ...]
    depth: int = 0


def outline_lines(tasks: Sequence[View]) -> Iterator[Line]:
    """Yield a line for each task of a spec in its JSON form, and for what is in it."""
    rows = list(_rows(tasks))
    names = ["  " * row.depth + row.name for row in rows]
    width = column_width(names, _WIDEST)
    kinds = column_width([row.kind for row in rows], 12)
    for name, row in zip(names, rows, strict=True):
        notes = "; ".join(row.notes)
        kind = f"{row.kind:<{kinds}}" if notes else row.kind
        yield Line(((f"{name:<{width}}  ", ""), (kind, "dim"), (f"  {notes}", "")), 4)


def _rows(tasks: Sequence[Mapping[str, Any]]) -> Iterator[_Row]:
    for task in tasks:
        kind = next((key for key in task if key not in _FIELDS), "")
        yield _Row(str(task["name"]), kind, tuple(_notes(task, kind)))
        for label, block in _blocks(task):
            if label:
                yield _Row(label, "", (), 1)
            shift = 2 if label else 1
            yield from (replace(row, depth=row.depth + shift) for row in _rows(block))


def _blocks(task: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the lists of tasks in a task, each with what says when they run."""
    if "tasks" in task:
        yield "", task["tasks"]
    for case in task.get("switch", {}).get("cases", ()):
        yield f"if {case['when']}", case["tasks"]
    if default := task.get("switch", {}).get("default"):
        yield "else", default
    if undo := task.get("undo"):
        yield "to undo it", undo


def _notes(task: Mapping[str, Any], kind: str) -> Iterator[str]:
    if needs := task.get("needs"):
        yield f"after {', '.join(needs)}"
    if "when" in task:
        yield f"if {task['when']}"
    if "forEach" in task:
        yield f"for each of {_cut(flow(task['forEach']))}"
    if repeat := task.get("repeat"):
        yield f"in rounds until {repeat['until']}" if "until" in repeat else "in rounds"
    if attempts := task.get("retry", {}).get("maxAttempts"):
        yield count_noun(attempts, "attempt", "attempts")
    for guard in ("breaker", "limit"):
        if guard in task:
            yield f"{guard} {_cut(flow(task[guard]))}"
    if task.get("continueOnError"):
        yield "may fail"
    if kind and kind not in BLOCK_KINDS:
        yield from _body(task[kind])


def _body(body: object) -> Iterator[str]:
    """Yield the beginning of what the task does."""
    if isinstance(body, Mapping) and "url" in body:
        yield f"{body.get('method', 'GET')} {_cut(str(body['url']))}"
    elif isinstance(body, Mapping) and "argv" in body:
        yield _cut(" ".join(map(str, body["argv"])))
    elif body not in (None, {}, ""):
        yield _cut(flow(body))


def _cut(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= _LONGEST else one_line[: _LONGEST - 1] + "…"
