"""The figures of a subscription's runs as a small table: how many ended how, and how long."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from activityctl.cli.render.story.page import Line, Part, line
from activityctl.cli.render.story.timeline import seconds_text

_PERIODS: Final = {"lastDay": "last day", "lastWeek": "last week"}
_COLUMNS: Final = ("ok", "failed", "skipped", "success", "p50", "p95", "longest")
_OTHERS: Final = ("missed", "cancelled")
_WIDTH: Final = 8
_LABEL: Final = 10
_NEWEST: Final = 10_000
_WELL: Final = 0.99
_BADLY: Final = 0.9


def figure_lines(figures: Mapping[str, Any]) -> Iterator[Line]:
    """Yield a line of titles, one for each period, and what is not in the table."""
    titles = "".join(f"{title:>{_WIDTH}}" for title in _COLUMNS)
    yield line(" " * _LABEL + titles, "dim", 0)
    for key, label in _PERIODS.items():
        yield Line(tuple(_row(label, figures[key])), 0)
    for key, label in _PERIODS.items():
        others = [f"{figures[key]['runs'][s]:,} {s}" for s in _OTHERS if figures[key]["runs"][s]]
        if others:
            yield line(f"{label}: {', '.join(others)}", "dim")
    if cut := [label for key, label in _PERIODS.items() if figures[key]["isCut"]]:
        yield line(f"of the {' and the '.join(cut)}, only the newest {_NEWEST:,} count", "dim")


def _row(label: str, figures: Mapping[str, Any]) -> Iterator[Part]:
    runs, rate = figures["runs"], figures["successRate"]
    failed = runs["failed"] + runs["timed_out"]
    yield f"{label:<{_LABEL}}", ""
    yield f"{runs['succeeded']:>{_WIDTH},}", ""
    yield f"{failed:>{_WIDTH},}", "failed" if failed else ""
    yield f"{runs['skipped']:>{_WIDTH},}", ""
    yield f"{_percent(rate):>{_WIDTH}}", _style(rate)
    for key in ("p50Seconds", "p95Seconds", "longestSeconds"):
        seconds = figures[key]
        yield f"{'-' if seconds is None else seconds_text(seconds):>{_WIDTH}}", ""


def _percent(rate: float | None) -> str:
    """Return the rate in percent; never 100 % if a run failed."""
    if rate is None:
        return "-"
    text = f"{rate * 100:.1f} %"
    return ">99.9 %" if text == "100.0 %" and rate < 1 else text.replace("100.0", "100")


def _style(rate: float | None) -> str:
    if rate is None or _BADLY <= rate < _WELL:
        return "" if rate is None else "warning"
    return "succeeded" if rate >= _WELL else "failed"
