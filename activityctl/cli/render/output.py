"""Print tables, JSON, YAML, log lines and errors, with control characters made visible."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from activityctl.domain.values.ci_commands import CI_MARK, defused
from activityctl.domain.values.json_form import View, list_view, problem_view
from activityctl.domain.values.untrusted import escape_controls, escape_line
from activityctl.errors import (
    ActivityctlError,
    InterruptionError,
    InvalidManifestsError,
    UsageError,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Format = Literal["text", "wide", "json", "jsonl", "yaml", "name"]
FORMATS: Final = ("text", "wide", "json", "jsonl", "yaml", "name")

STYLES: Final[Mapping[str, str]] = {
    "succeeded": "green",
    "running": "cyan",
    "cancelling": "yellow",
    "closed": "green",
    "open": "red",
    "half_open": "yellow",
    "active": "green",
    "failed": "red",
    "timed_out": "red",
    "error": "red",
    "backoff": "yellow",
    "cancelled": "yellow",
    "paused": "yellow",
    "pending": "yellow",
    "waiting": "cyan",
    "skipped": "dim",
    "missed": "dim",
    "stopped": "dim",
    "warning": "yellow",
    "created": "green",
    "configured": "yellow",
    "deleted": "red",
    "unchanged": "dim",
    "accepted": "green",
    "duplicate": "dim",
    "conflict": "red",
    "invalid": "red",
    "retried": "green",
    "replayed": "green",
    "discarded": "dim",
}
Column = tuple[str, Callable[[View], object]]
_LABELS: Final[Mapping[str, Callable[[View], str]]] = {
    "definitions": lambda view: view["name"],
    "subscriptions": lambda view: view["name"],
    "calendars": lambda view: view["name"],
    "sources": lambda view: view["name"],
    "schedules": lambda view: f"{view['subscription']}/{view['trigger']}",
    "events": lambda view: view["uid"],
    "breakers": lambda view: view["name"],
    "limits": lambda view: view["name"],
    "sets": lambda view: view["name"],
    "chains": lambda view: str(view["chainId"]),
}
"""The name of an object of these kinds; objects of other kinds are named by their id."""
_LEAST_WIDTH: Final = 8
"""No column is made narrower than this to fit a terminal."""
_SHORT: Final = 16
"""A last column of this width is not folded where another column has to be cut anyway."""
_TYPED: Final = frozenset({"ID", "NAME", "SUBSCRIPTION"})
"""The columns of what a person gives to the next command."""
_MOST_LINES: Final = 2
"""Cells of the last column that need more lines follow their row, over the whole width."""
_INDENT: Final = 4
GAP: Final = 2


def check_format(text: str, allowed: Sequence[str] = FORMATS) -> Any:
    """Return the output format; UsageError if the command does not have it."""
    if text not in allowed:
        raise UsageError(f"unknown output format {text!r}", hint="use " + ", ".join(allowed))
    return text


def styled(text: str) -> "Text":
    """Return the text in the color of the status that it names; markup is not interpreted."""
    from rich.text import Text

    return Text(escape_controls(text), style=STYLES.get(text, ""))


def print_json(console: "Console", value: object) -> None:
    """Print JSON: never wrapped, never colored, characters outside ASCII escaped."""
    console.file.write(to_json(value, indent=2) + "\n")


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return JSON in ASCII, with nothing in it that a CI takes for a command."""
    return CI_MARK.sub(r"\\u0023", json.dumps(value, indent=indent, ensure_ascii=True))


def print_views(
    console: "Console",
    kind: str,
    views: Sequence[View],
    output: Format,
    columns: Sequence[Column],
    *,
    has_more: bool | None = None,
) -> None:
    """Print a list in the given format; `has_more` says whether it was cut, None if it cannot."""
    match output:
        case "json":
            print_json(console, list_view(views, has_more=has_more))
        case "jsonl":
            for view in views:
                console.file.write(to_json(view) + "\n")
        case "yaml":
            console.file.write(to_yaml(list_view(views, has_more=has_more)))
        case "name":
            for view in views:
                console.file.write(f"{kind.removesuffix('s')}/{name_of_view(kind, view)}\n")
        case "text" | "wide":
            empty = f"No {kind} found."
            print_table(console, views, columns, empty=empty, is_wide=output == "wide")


def name_of_view(kind: str, view: View) -> str:
    """Return the name of an object, or its id if objects of the kind have no name."""
    return _LABELS[kind](view) if kind in _LABELS else str(view["id"])


def to_yaml(value: object) -> str:
    """Return YAML in the given order; a string that looks like another type is quoted."""
    from activityctl import wiring

    return wiring.to_yaml(value)


def print_table(
    console: "Console",
    views: Sequence[View],
    columns: Sequence[Column],
    *,
    empty: str,
    is_wide: bool = False,
) -> None:
    """Print a table without borders; if there are no rows, print `empty` on stderr.

    On a terminal, cells are cut or folded so that each line fits. Where that cannot be read well,
    and in a wide table, what does not fit follows each row on lines of its own. If the output is no
    terminal, cells stay whole, and lines may be long.
    """
    if not views:
        sys.stderr.write(empty + "\n")
        return
    names = [name for name, _ in columns]
    rows = [[cell_text(read(view)) for _, read in columns] for view in views]
    widths = _natural_widths(names, rows)
    limits = _terminal_widths(names, widths, console.width)
    if not console.is_terminal or _table_width(widths) <= console.width:
        _print_whole(console, names, rows)
    elif is_wide or limits is None:
        _print_records(console, names, rows)
    elif _is_folded_often(widths, limits, console.width):
        _print_with_long_cells(console, names, rows)
    else:
        _print_fitted(console, names, rows, limits)


def _print_fitted(
    console: "Console",
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    limits: Sequence[int | None],
) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    last = len(names) - 1
    for index, name in enumerate(names):
        table.add_column(
            name,
            no_wrap=index != last,
            overflow="ellipsis" if index != last else "fold",
            max_width=limits[index],
        )
    for row in rows:
        table.add_row(*(styled(cell) if cell in STYLES else Text(cell) for cell in row))
    console.print(table)


def _print_whole(console: "Console", names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = _natural_widths(names, rows)
    for row in (names, *rows):
        line = _line_of(row, widths, "bold" if row is names else "")
        if console.is_terminal:
            console.print(line, soft_wrap=True)
        else:
            console.file.write(line.plain + "\n")


def _line_of(cells: Sequence[str], widths: Sequence[int], style: str = "") -> "Text":
    """Return a line of a table, with each cell as wide as its column; statuses have a color."""
    from rich.text import Text

    line = Text(style=style)
    for cell, width in zip(cells, widths, strict=False):
        line.append(cell, style=STYLES.get(cell, "")).append(" " * (width - len(cell) + GAP))
    line.rstrip()
    return line


def _print_records(console: "Console", names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print as many columns as fit; the other cells follow each row, each with its name."""
    from rich.padding import Padding
    from rich.text import Text

    widths = _natural_widths(names, rows)
    fitting = [i + 1 for i in range(len(names)) if _table_width(widths[: i + 1]) <= console.width]
    count = max(fitting, default=1)
    console.print(_line_of(names[:count], widths, "bold"))
    for row in rows:
        console.print(_line_of(row[:count], widths), overflow="ellipsis", no_wrap=True)
        named = [
            Text.assemble((f"{name.lower()} ", "dim"), (cell, STYLES.get(cell, "")))
            for name, cell in zip(names[count:], row[count:], strict=True)
            if cell != "-"
        ]
        for packed in _packed(named, console.width - _INDENT):
            console.print(Padding(packed, (0, 0, 0, _INDENT)))


def _print_with_long_cells(
    console: "Console", names: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print a table; a cell of the last column that would take many lines follows its row."""
    from rich.padding import Padding
    from rich.text import Text

    widths = _natural_widths([*names[:-1], ""], [[*row[:-1], ""] for row in rows])
    begin = _table_width(widths)
    console.print(_line_of(names, widths, "bold"))
    for row in rows:
        cell = Text(row[-1], style=STYLES.get(row[-1], ""), overflow="fold")
        lines = cell.wrap(console, console.width - begin)
        if len(lines) > _MOST_LINES:
            console.print(_line_of(row[:-1], widths))
            console.print(Padding(cell, (0, 0, 0, _INDENT)))
            continue
        first = _line_of(row[:-1], widths)
        console.print(first.append(" " * (begin - first.cell_len)).append_text(lines[0]))
        for line in lines[1:]:
            console.print(Padding(line, (0, 0, 0, begin)))


def _packed(texts: Sequence["Text"], room: int) -> "list[Text]":
    """Return the texts on as few lines as they need, in their order; a long one is folded."""
    lines: list[Text] = []
    for text in texts:
        text.overflow = "fold"
        if lines and lines[-1].cell_len + GAP + text.cell_len <= room:
            lines[-1].append(" " * GAP).append_text(text)
        else:
            lines.append(text)
    return lines


def _natural_widths(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[i]) for row in (names, *rows)) for i in range(len(names))]


def _table_width(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _is_folded_often(widths: Sequence[int], limits: Sequence[int | None], width: int) -> bool:
    """Return whether the longest cell of the last column would take more lines than are read well.

    `limits` are what the others are cut to.
    """
    others = [
        width if limit is None else limit
        for width, limit in zip(widths[:-1], limits[:-1], strict=True)
    ]
    left = width - _table_width(others) - GAP
    return widths[-1] > left * _MOST_LINES and left < width - _INDENT


def _terminal_widths(
    names: Sequence[str], natural: Sequence[int], width: int
) -> list[int | None] | None:
    """Return the largest width of each column; only one column is made narrower, a wide one.

    A name that a person types stays whole, if another column can be narrower. The last column is
    not limited, because its cells are folded. None if the table cannot fit.
    """
    excess = _table_width([*natural[:-1], min(natural[-1], _LEAST_WIDTH)]) - width
    limits: list[int | None] = [None] * len(natural)
    if excess <= 0 or len(natural) == 1:
        return limits
    if natural[-1] <= _SHORT:
        excess = _table_width(natural) - width
    fitting = [
        index
        for index in range(len(natural) - 1)
        if natural[index] - excess >= min(natural[index], _LEAST_WIDTH)
    ]
    if not fitting:
        return None
    chosen = max(fitting, key=lambda index: (names[index] not in _TYPED, natural[index]))
    limits[chosen] = natural[chosen] - excess
    return limits


def cell_text(value: object) -> str:
    """Return a cell of a table on one line, with control characters made visible."""
    if value is None:
        return "-"
    return escape_line(str(value))


def age(text: str | None) -> str:
    """Return how long ago a time stamp was: 12s, 5m, 3h, 2d; `in 5m` if it is in the future."""
    if text is None:
        return "-"
    seconds = (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()
    if seconds < 0:
        return "in " + _span(-seconds)
    return _span(seconds)


def duration(start: str | None, end: str | None) -> str:
    """Return the time between two time stamps: 12ms, 1.2s, 5m; `-` if one is missing."""
    if start is None or end is None:
        return "-"
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 60 else _span(seconds)  # noqa: PLR2004  # a minute


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def print_run_end(console: "Console", view: View) -> None:
    """Print the id, status and reason of a run."""
    from rich.text import Text

    line = Text(f"run/{view['id']} ").append_text(styled(view["status"]))
    console.print(line.append(f" {escape_line(view['reason'])}" if view["reason"] else ""))


def print_error(error: ActivityctlError, *, as_json: bool) -> None:
    """Print an error on stderr: one line for each problem, the message, then the hint."""
    is_interruption = isinstance(error, InterruptionError)
    if is_interruption and sys.stderr.isatty():
        sys.stderr.write("\n")  # the terminal has just printed ^C
    if as_json:
        sys.stderr.write(to_json(_error_object(error)) + "\n")
        return
    if isinstance(error, InvalidManifestsError):
        for problem in error.problems:
            sys.stderr.write(f"error: {defused(escape_controls(str(problem)))}\n")
    label = error.code if is_interruption else "error"
    sys.stderr.write(f"{label}: {defused(escape_controls(error.message))}\n")
    if error.hint:
        sys.stderr.write(f"hint: {defused(escape_controls(error.hint))}\n")


def _error_object(error: ActivityctlError) -> Mapping[str, object]:
    problems = error.problems if isinstance(error, InvalidManifestsError) else ()
    views = [problem_view(problem) for problem in problems]
    first: View = views[0] if views else {}
    return {
        "code": error.code,
        "message": error.message,
        "file": first.get("file"),
        "line": first.get("line"),
        "path": first.get("path"),
        "hint": error.hint,
        "retryable": error.retryable,
        "problems": views,
    }
