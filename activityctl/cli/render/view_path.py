"""ViewPath: a field of an object's JSON form, for `--sort-by` and `-o custom-columns`."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from activityctl.cli.render.output import Column
from activityctl.domain.values.json_form import View
from activityctl.errors import UsageError
from activityctl.frozen_dataclass import frozen_dataclass

_STEP: Final = re.compile(r"\.?([^.\[\]'\"{}]+)|\[(\d+)\]|\[(?:'([^']+)'|\"([^\"]+)\")\]")
_COLUMN: Final = re.compile(r"([^:,]+):((?:\[[^\]]*\]|[^,\[])+)(?:,|$)")
_EXAMPLE: Final = "write for example .status, lastRun.createdAt or labels['team']"
_TOOK: Final = "took"
"""A field that no view has: the seconds from `startedAt` to `endedAt`."""

CUSTOM: Final = "custom-columns="


@frozen_dataclass
class ViewPath:
    """The keys and positions that lead to a value."""

    text: str
    steps: tuple[str | int, ...]

    def read(self, view: View) -> Any:
        """Return the value; None if a part of the path is missing."""
        if self.steps == (_TOOK,) and _TOOK not in view:
            return _seconds(view)
        value: Any = view
        for step in self.steps:
            if isinstance(value, dict):
                value = value.get(str(step))
            elif isinstance(value, list) and isinstance(step, int):
                value = value[step] if step < len(value) else None
            else:
                return None
        return value

    def check(self, views: Sequence[View]) -> None:
        """Raise UsageError if there are views and none of them has the first key."""
        known = list(dict.fromkeys(key for view in views for key in view))
        if "startedAt" in known and "endedAt" in known:
            known.append(_TOOK)
        if views and str(self.steps[0]) not in known:
            raise UsageError(f"there is no field {self.text}", hint="fields: " + ", ".join(known))


def parse_path(text: str) -> ViewPath:
    """Return the path of `.lastRun.status`, `labels['team']` or `{.items[0]}`.

    UsageError for any other text.
    """
    inner = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    steps: list[str | int] = []
    position = 0
    while found := _STEP.match(inner, position):
        key, index, *quoted = found.groups()
        steps.append(int(index) if index is not None else key or next(filter(None, quoted)))
        position = found.end()
    if not steps or position != len(inner):
        raise UsageError(f"not a field: {text!r}", hint=_EXAMPLE)
    return ViewPath(text, tuple(steps))


def parse_columns(text: str) -> list[tuple[str, ViewPath]]:
    """Return the heading and the path of each column of `ID:.id,TEAM:labels['team']`."""
    columns = []
    position = 0
    while found := _COLUMN.match(text, position):
        columns.append((found[1].strip(), parse_path(found[2].strip())))
        position = found.end()
    if not columns or position != len(text):
        raise UsageError(
            f"not columns: {text!r}", hint="write -o custom-columns=ID:.id,STATUS:.status"
        )
    return columns


def as_columns(paths: Sequence[tuple[str, ViewPath]]) -> list[Column]:
    """Return columns of a table; objects and lists are shown as JSON."""
    return [(heading, _reader(path)) for heading, path in paths]


def _reader(path: ViewPath) -> Any:
    def read(view: View) -> Any:
        value = path.read(view)
        return _text(value) if isinstance(value, dict | list | bool) else value

    return read


def sorted_by(views: Sequence[View], text: str) -> list[View]:
    """Return the views in the order of a field; `-field` reverses it, missing values come last.

    UsageError for a field that no view has.
    """
    is_reversed = text.startswith("-")
    path = parse_path(text[1:] if is_reversed else text)
    path.check(views)
    known = [view for view in views if path.read(view) is not None]
    missing = [view for view in views if path.read(view) is None]
    known.sort(key=lambda view: _order(path.read(view)), reverse=is_reversed)
    return known + missing


def _order(value: Any) -> tuple[bool, float, str, str]:
    """Return a key that orders numbers by size before texts; case decides only between equals."""
    if isinstance(value, int | float):
        return (False, value, "", "")
    text = value if isinstance(value, str) else _text(value)
    return (True, 0, text.casefold(), text)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _seconds(view: View) -> float | None:
    start, end = view.get("startedAt"), view.get("endedAt")
    if not isinstance(start, str) or not isinstance(end, str):
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
