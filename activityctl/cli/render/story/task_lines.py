"""The tasks of a run as the lines of a tree, with attempts and errors."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from activityctl.cli.render.output import duration
from activityctl.cli.render.story.page import SIGNS, Line, clock_time, column_width, line
from activityctl.cli.render.story.told import Told
from activityctl.cli.render.task_tree import as_tree
from activityctl.domain.values.json_form import View

MANY: Final = 20
"""If a forEach has more items, those that succeeded are only counted."""
_WIDEST_NAME: Final = 36
_SECOND: Final = 1_000


def visible_tasks(tasks: Sequence[View]) -> tuple[list[View], dict[str, int]]:
    """Return the tasks to show as a tree, and how many items of each large forEach are left out.

    Of those that did not succeed, the first MANY are shown.
    """
    shown: list[View] = []
    left_out: dict[str, int] = {}
    kept: dict[str, int] = {}
    for task in as_tree(tasks):
        name = str(task["name"])
        is_one_of_many = task["of"] is not None and int(task["of"]) > MANY
        if is_one_of_many and (task["status"] == "succeeded" or kept.get(name, 0) >= MANY):
            left_out[name] = left_out.get(name, 0) + 1
            continue
        kept[name] = kept.get(name, 0) + 1
        shown.append(task)
    return shown, left_out


def task_lines(
    tasks: Sequence[View], moment: str | None = None, told: Told | None = None
) -> Iterator[Line]:
    """Yield a line for each task, then its error or reason, then its attempts if it had trouble.

    With the time stamp of now, an open task says for how long it has been at work. What is told
    already is not told again.
    """
    told = told or Told()
    shown, left_out = visible_tasks(tasks)
    names = ["  " * task["depth"] + _name(task) for task in shown]
    name_width = column_width(names, _WIDEST_NAME)
    kind_width = column_width([str(task["kind"]) for task in shown], 12)
    for name, task in zip(names, shown, strict=True):
        status = str(task["status"])
        is_open = task["endedAt"] is None and status in {"running", "waiting"}
        took = duration(task["startedAt"], moment if is_open else task["endedAt"])
        so_far = " so far" if is_open and took != "-" else ""
        attempts = f"  {task['attempts']} attempts" if task["attempts"] > 1 else ""
        yield Line(
            (
                (f"{SIGNS.get(status, '•')} ", status),
                (f"{name:<{name_width}}  ", ""),
                (f"{task['kind']:<{kind_width}}  ", "dim"),
                (f"{status:<9}", status),
                (f"  {took:>6}{so_far}{attempts}", ""),
                (_where(task) if is_open else "", "dim"),
            ),
            indent=4,
        )
        yield from _details(task, 4 + 2 * int(task["depth"]), told)
    for name, count in left_out.items():
        yield line(f"… and {count:,} more of {name}; activityctl get tasks has all", "dim")


def _where(task: View) -> str:
    """Return on which worker a task is at work: ` on host pid 42`."""
    history: Any = task.get("history") or []
    worker = history[-1]["worker"] if history and task["status"] == "running" else None
    return f"  on {worker}" if worker else ""


def _name(task: View) -> str:
    name = str(task["shown"])
    return name if task["phase"] == "main" else f"{name} ({task['phase']})"


def _details(task: View, indent: int, told: Told) -> Iterator[Line]:
    space = " " * indent
    if task["error"] and told.has(task["error"]):
        code = f"[{task['code']}] " if task["code"] else ""
        yield line(f"{space}{code}the error that is told above", "dim", indent + 2)
    elif task["error"]:
        code = f" [{task['code']}]" if task["code"] else ""
        told.add(task["error"])
        yield Line(((f"{space}{task['error']}", "failed"), (code, "dim")), indent + 2)
    if task["reason"]:
        yield line(f"{space}{task['reason']}", "dim", indent + 2)
    if task["completedBy"]:
        yield line(f"{space}completed by {task['completedBy']}", "dim", indent + 2)
    if task["waitsUntil"] and task["status"] == "waiting":
        yield line(f"{space}waits until {task['waitsUntil']}", "waiting", indent + 2)
    if held := task.get("held"):
        held_by = ", ".join(f"{key}: {value}" for key, value in held.items() if value is not None)
        yield line(f"{space}held up; {held_by}", "waiting", indent + 2)
    yield from _attempts(task, indent, told)


def _attempts(task: View, indent: int, told: Told) -> Iterator[Line]:
    """Yield a line for each of several attempts; an error that is told is not told again."""
    history: Sequence[Mapping[str, Any]] = task.get("history") or ()
    first: dict[str, int] = {}
    for attempt in history if len(history) > 1 else ():
        took = "-" if attempt["durationMs"] is None else _milliseconds(attempt["durationMs"])
        outcome, number = str(attempt["outcome"]), attempt["number"]
        error = attempt["error"]
        if error is None or error == task["error"] or told.has(error):
            said = ""
        elif error in first:
            said = f"  as attempt {first[error]}"
        else:
            first[error] = number
            said = f"  {error}"
        begun = f"{' ' * indent}{number}.  {clock_time(attempt['startedAt'])}  {took:>6}  "
        yield Line(((begun, "dim"), (outcome, outcome), (said, "")), indent + 4)


def _milliseconds(value: int) -> str:
    return f"{value}ms" if value < _SECOND else f"{value / _SECOND:.1f}s"
