"""Print the firings of `next`; they are computed elsewhere."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from activityctl.cli.render.output import Column, Format, print_table, print_views
from activityctl.domain.timing.preview import occurrence_view
from activityctl.domain.values.json_form import View
from activityctl.domain.values.untrusted import escape_controls
from activityctl.operations.looking.upcoming import TimeRange, Upcoming, merge_upcoming

if TYPE_CHECKING:
    from rich.console import Console

MOST_LISTED: Final = 10_000
_NARROW: Final = 120
"""Below this many columns a terminal has no room for a note beside the times."""
_OWNER: Final[Column] = ("SUBSCRIPTION", lambda view: view["subscription"])
_TIMES: Final[tuple[Column, ...]] = (
    ("TRIGGER", lambda view: view["trigger"]),
    ("DUE", lambda view: _short(view["dueAt"])),
    ("LOCAL TIME", lambda view: view["localTime"]),
    ("FIRES", lambda view: _short(view["firesAt"])),
)
_SHORT_TIMES: Final[tuple[Column, ...]] = (
    _TIMES[0],
    _TIMES[1],
    ("LOCAL", lambda view: _without_day(view["localTime"])),
    _TIMES[3],
)
_NOTE: Final[Column] = ("NOTE", lambda view: view["note"])


def print_upcoming(
    out: "Console", err: "Console", found: Sequence[Upcoming], span: TimeRange, shape: Format
) -> None:
    """Print the firings of all subscriptions in the order of time, and the notes on `err`."""
    for note in (note for upcoming in found for note in upcoming.notes):
        err.print(f"note: {escape_controls(note)}")
    firings, is_cut = merge_upcoming(found, span.limit)
    if is_cut and span.limit == MOST_LISTED:
        err.print(
            f"note: only the first {MOST_LISTED:,} firings are listed; for later ones use --since"
        )
    views = [occurrence_view(name, firing) for name, firing in firings]
    if shape == "text":
        print_firings(out, views, with_owner=len(found) != 1)
    else:
        print_views(out, "firings", views, shape, ())


def print_firings(console: "Console", views: Sequence[View], *, with_owner: bool) -> None:
    """Print a table; on a narrow terminal, notes on their own lines and no local dates."""
    owner = (_OWNER,) if with_owner else ()
    if not views or not console.is_terminal or console.width >= _NARROW:
        print_table(console, views, (*owner, *_TIMES, _NOTE), empty="No firings found.")
        return
    columns = (*owner, *_SHORT_TIMES)
    rows = [[escape_controls(str(read(view) or "-")) for _, read in columns] for view in views]
    names = [name for name, _ in columns]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    notes = [None, *(view["note"] for view in views)]
    for row, note in zip((names, *rows), notes, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.print("  ".join(cells).rstrip(), soft_wrap=True)
        if note is not None:
            console.print(f"  {escape_controls(note)}", soft_wrap=True)


def _short(stamp: str | None) -> str | None:
    """Return the time stamp without milliseconds that are zero."""
    return None if stamp is None else stamp.replace(".000Z", "Z")


def _without_day(local: str) -> str:
    moment = datetime.fromisoformat(local)
    return moment.timetz().isoformat("seconds" if moment.second else "minutes")
