"""A dead letter as a page for a person: what failed, why, with what, and what to do next."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from activityctl.cli.render.columns import columns_of
from activityctl.cli.render.output import age, print_table, styled, to_yaml
from activityctl.domain.values.json_form import View
from activityctl.domain.values.untrusted import escape_controls, escape_line

if TYPE_CHECKING:
    from rich.console import Console

_NAME: Final = 14
_LEAST_WIDTH: Final = 20
_MOST_LINES: Final = 30
"""Lines of a value that are shown; JSON and YAML have all."""


def print_letter(console: "Console", view: View) -> None:
    """Print the letter in sections: facts, tasks, attempts, data, actions, the next command."""
    from rich.text import Text

    console.print(Text(f"dead letter {view['id']} ", style="bold").append_text(_status(view)))
    for name, value in _facts(view):
        shown = _folded(console, escape_line(value), _NAME)
        style = "red" if name == "error" else ""
        console.print(Text.assemble((f"{name:<{_NAME}}", "dim"), (shown, style)))
    tasks: Any = view["tasks"]
    if tasks:
        _heading(console, "tasks")
        columns = [column for column in columns_of("tasks", wide=False) if column[0] != "RUN"]
        print_table(console, tasks, columns, empty="")
    for task in tasks:
        _print_attempts(console, task)
    for title, value in _data(view, tasks):
        _print_value(console, title, value)
    actions: Any = view["actions"]
    if actions:
        _heading(console, "what was done")
        for action in actions:
            console.print(_folded(console, escape_line(_action_line(action)), 2))
    console.print()
    console.print(escape_line(_next_step(view)))


def _status(view: View) -> "Text":  # type: ignore[name-defined]  # noqa: F821  # rich is late
    return styled(str(view["status"]))


def _facts(view: View) -> Iterator[tuple[str, str]]:
    yield "error", str(view["reason"])
    yield "failed", f"{age(_text(view['createdAt']))} ago, in run {view['run']}"
    if view["replayOf"]:
        yield "retry of", f"run {view['replayOf']}"
    yield "subscription", str(view["subscription"])
    number, present = view["revisionNumber"], view["presentRevisionNumber"]
    changed = "" if number == present or present is None else f"; the present one is {present}"
    yield "definition", f"{view['definition']}, revision {number}{changed}"
    firing: Any = view["firing"]
    yield "trigger", f"{firing['trigger']}, due {firing['dueAt']}, key {firing['key']}"


def _folded(console: "Console", text: str, indent: int) -> str:
    """Return the text in lines that fit the terminal, all but the first indented."""
    if not console.is_terminal:
        return text
    width = max(console.width - indent, _LEAST_WIDTH)
    lines = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    return ("\n" + " " * indent).join(lines)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _print_attempts(console: "Console", task: Mapping[str, Any]) -> None:
    """Print the attempts of a task that had a failure."""
    history: Sequence[Mapping[str, Any]] = task["history"]
    if not any(attempt["error"] for attempt in history):
        return
    _heading(console, f"attempts of {task['name']}")
    for attempt in history:
        took = "-" if attempt["durationMs"] is None else f"{attempt['durationMs']}ms"
        line = f"{attempt['number']}  {attempt['startedAt']}  {took}  {attempt['outcome']}"
        error = f"  {attempt['error']}" if attempt["error"] else ""
        console.print(_folded(console, escape_line(line + error), 3))


def _data(view: View, tasks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    firing: Any = view["firing"]
    yield "params", view["params"]
    yield "payload", firing["payload"]
    for event in firing["events"]:
        yield f"event {event.get('id', '')}", event
    yield "context", view["context"]
    for task in tasks:
        if task["status"] == "failed":
            yield f"input of {task['name']}", task["input"]
            yield f"output of {task['name']}", task["output"]


def _print_value(console: "Console", title: str, value: Any) -> None:
    if value in (None, {}, [], ""):
        return
    from rich.padding import Padding
    from rich.text import Text

    _heading(console, title)
    lines = to_yaml(_without_last_breaks(value)).removesuffix("...\n").splitlines()
    for line in lines[:_MOST_LINES]:
        shown = escape_controls(line)
        indent = 2 + len(shown) - len(shown.lstrip())
        console.print(Padding(Text(shown.lstrip(), overflow="fold"), (0, 0, 0, indent)))
    if len(lines) > _MOST_LINES:
        console.print(f"  … {len(lines) - _MOST_LINES} more lines; -o yaml has all")


def _without_last_breaks(value: Any) -> Any:
    """Return the value as it is shown: the output of a program ends with its last line."""
    match value:
        case str():
            return value.rstrip("\n")
        case Mapping():
            return {key: _without_last_breaks(each) for key, each in value.items()}
        case list():
            return [_without_last_breaks(each) for each in value]
        case _:
            return value


def _heading(console: "Console", title: str) -> None:
    from rich.text import Text

    console.print()
    console.print(Text(escape_line(title), style="bold"))


def _action_line(action: Mapping[str, Any]) -> str:
    why = f": {action['reason']}" if action["reason"] else ""
    line = f"{action['createdAt']}  {action['action']} by {action['actor']}{why}"
    if action["run"] is None:
        return line
    how = " with the new revision" if action["newRevision"] else ""
    result = action["result"] or "accepted; waits for a worker"
    because = f" ({action['resultReason']})" if action["resultReason"] else ""
    return f"{line} → run {action['run'][:8]}{how}: {result}{because}"


def _next_step(view: View) -> str:
    short = str(view["id"])[:8]
    if view["status"] == "open":
        return f"next: activityctl dlq retry {short}   or: dlq discard {short} --reason TEXT"
    actions: Any = view["actions"]
    run = actions[-1]["run"]
    return f"next: activityctl describe run {run[:8]}" if run else "next: nothing, it is closed"
