"""The outcomes of a run and of its replay, side by side."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from activityctl.cli.render.output import Column, print_table
from activityctl.domain.values.json_form import View
from activityctl.domain.values.untrusted import escape_line

if TYPE_CHECKING:
    from rich.console import Console

_MOST_CHANGES: Final = 10
_LONGEST: Final = 60
_SECOND: Final = 1000
_DURATION: Final = "durationMs"
"""A field of the output of commands; the table has the durations."""


def print_outcomes_of_replay(console: "Console", view: View) -> None:
    """Print both outcomes as a table, then the outputs and errors that differ."""
    rows = [{"name": "run", "isKept": False, **view}, *view["tasks"]]
    columns: Sequence[Column] = (
        ("", lambda row: row["name"]),
        (f"THEN {view['then']['run'][:8]}", lambda row: _cell(row["then"])),
        (f"NOW {view['now']['run'][:8]}", _now),
    )
    print_table(console, rows, columns, empty="")
    for line in _changes(view):
        console.print(escape_line(line), style="yellow")


def _now(row: View) -> str:
    return "kept" if row["isKept"] else _cell(row["now"])


def _cell(side: Mapping[str, Any] | None) -> str:
    if side is None:
        return "-"
    parts = [side["status"], _duration(side["durationMs"])]
    attempts = side.get("attempts", 1)
    return ", ".join([part for part in parts if part] + [f"{attempts} attempts"] * (attempts > 1))


def _duration(milliseconds: int | None) -> str:
    if milliseconds is None:
        return ""
    is_short = milliseconds < _SECOND
    return f"{milliseconds}ms" if is_short else f"{milliseconds / _SECOND:.1f}s"


def _changes(view: View) -> Iterator[str]:
    then, now = view["then"], view["now"]
    if then["reason"] != now["reason"]:
        yield f"reason: {then['reason'] or 'none'} → {now['reason'] or 'none'}"
    for task in view["tasks"]:
        if task["isKept"] or not task["bothHaveOutput"]:
            continue
        changes = [change for change in task["outputChanges"] if change["path"] != _DURATION]
        for change in changes[:_MOST_CHANGES]:
            path = f" {change['path']}" if change["path"] else ""
            old, new = _value(change, "old"), _value(change, "new")
            yield f"{task['name']}: output{path}: {old} → {new}"
        if len(changes) > _MOST_CHANGES:
            yield f"{task['name']}: {len(changes) - _MOST_CHANGES} more changes; -o json has all"


def _value(change: View, key: str) -> str:
    if change.get(key) is None:
        return "nothing"
    text = json.dumps(change[key], ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
