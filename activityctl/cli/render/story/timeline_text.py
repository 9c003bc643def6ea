"""A timeline in the terminal: one row for each task, one bar for each attempt."""

from typing import TYPE_CHECKING, Final

from activityctl.cli.render.story.page import SIGNS, Line, column_width, line
from activityctl.cli.render.story.page_text import print_line
from activityctl.cli.render.story.timeline import Row, Timeline, seconds_text

if TYPE_CHECKING:
    from rich.console import Console

_WIDEST_LABEL: Final = 28
_TOOK: Final = 7
_LEAST: Final = 20
_FULL, _SHORT, _OPEN = "█", "▏", "░"
_TICK_WIDTH: Final = 12
_WITHOUT_TERMINAL: Final = 100


def print_timeline(console: "Console", timeline: Timeline) -> None:
    """Print the axis, the rows and what is left out."""
    labels = [row.label for row in timeline.rows]
    width = column_width(labels, _WIDEST_LABEL)
    whole = console.width if console.is_terminal else _WITHOUT_TERMINAL
    cells = max(whole - width - _TOOK - 5, _LEAST)
    print_line(console, line(" " * (width + 3) + _axis(timeline, cells), "dim"))
    for row in timeline.rows:
        label = row.label if len(row.label) <= width else row.label[: width - 1] + "…"
        print_line(
            console,
            Line(
                (
                    (f"{SIGNS.get(row.status, '•')} ", row.status),
                    (f"{label:<{width}} ", ""),
                    *_drawn(row, timeline.seconds, cells),
                    (f" {_took(row):>{_TOOK}}", "dim"),
                )
            ),
        )
    for name, count in timeline.left_out.items():
        print_line(console, line(f"… and {count:,} more of {name}", "dim"))


def _took(row: Row) -> str:
    if row.is_kept:
        return "kept"
    return seconds_text(row.seconds) if row.bars else "-"


def _axis(timeline: Timeline, cells: int) -> str:
    axis = [" "] * cells
    for tick in timeline.ticks(max(cells // _TICK_WIDTH, 2)):
        place = round(tick / timeline.seconds * (cells - 1))
        text = seconds_text(tick)
        place = min(place, cells - len(text))
        axis[place : place + len(text)] = text
    return "".join(axis)


def _drawn(row: Row, seconds: float, cells: int) -> list[tuple[str, str]]:
    """Return the bars of the row as parts that are `cells` wide together."""
    signs, styles = [" "] * cells, [""] * cells
    for bar in row.bars:
        first = min(int(bar.start / seconds * cells), cells - 1)
        end = min(max(round(bar.end / seconds * cells), first), cells)
        sign = _OPEN if bar.status == "waiting" else _FULL
        for place in range(first, max(end, first + 1)):
            signs[place] = sign if end > first else _SHORT
            styles[place] = bar.status
    parts: list[tuple[str, str]] = []
    for sign, style in zip(signs, styles, strict=True):
        if parts and parts[-1][1] == style:
            parts[-1] = (parts[-1][0] + sign, style)
        else:
            parts.append((sign, style))
    return parts
