"""A strip of runs: one character each, with a legend that needs no colors."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from activityctl.cli.render.story.page import Line, Part
from activityctl.domain.values.json_form import View

STUCK: Final = "stuck"
_SIGNS: Final[Mapping[str, str]] = {
    "succeeded": "✓",
    "failed": "✗",
    "timed_out": "T",
    STUCK: "!",
    "running": "▶",
    "cancelling": "x",
    "queued": "q",
    "cancelled": "c",
    "skipped": "-",
    "missed": "m",
}
"""One character for each status, all different; the order is that of the legend."""
_STYLES: Final[Mapping[str, str]] = {STUCK: "failed", "queued": "waiting"}


def strip_lines(runs: Sequence[View]) -> list[Line]:
    """Return the strip, the oldest run first, and the legend of its signs; the newest come first.

    Statuses that no run has are not in the legend.
    """
    statuses = [STUCK if run["isStuck"] else str(run["status"]) for run in reversed(runs)]
    if not statuses:
        return []
    strip: list[Part] = []
    for status in statuses:
        sign, style = _SIGNS.get(status, "?"), _STYLES.get(status, status)
        if strip and strip[-1][1] == style:
            strip[-1] = (strip[-1][0] + sign, style)
        else:
            strip.append((sign, style))
    counts = Counter(statuses)
    legend: list[Part] = []
    for status, sign in _SIGNS.items():
        if status in counts:
            gap = "   " if legend else ""
            word = status.replace("_", " ")
            legend += [(gap, ""), (sign, _STYLES.get(status, status))]
            legend.append((f" {counts[status]} {word}", "dim"))
    return [Line(tuple(strip), indent=0), Line(tuple(legend), indent=0)]
