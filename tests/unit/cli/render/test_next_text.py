"""The output of `next` on a terminal: notes are never cut."""

import io
from typing import Any

import pytest
from rich.console import Console

from activityctl.cli.render.next_text import print_firings

NOTE = (
    "shifted: 02:30 does not exist on that day (clocks go forward); jitter 4s210ms; "
    "last: maxFirings reached"
)
VIEW = {
    "subscription": "disk-report",
    "trigger": "nightly",
    "dueAt": "2027-03-28T01:30:00.000Z",
    "localTime": "2027-03-28T03:30:00+02:00",
    "firesAt": None,
    "note": NOTE,
}


def printed(width: int, *views: dict[str, Any], terminal: bool = True) -> list[str]:
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=terminal, highlight=False, no_color=True
    )
    print_firings(console, views, with_owner=False)
    return out.getvalue().splitlines()


def test_a_narrow_terminal_shows_each_note_on_its_own_line():
    header, row, note, plain = printed(80, VIEW, {**VIEW, "note": None})
    assert header.split() == ["TRIGGER", "DUE", "LOCAL", "FIRES"]
    assert row.split() == ["nightly", "2027-03-28T01:30:00Z", "03:30+02:00", "-"]
    assert note == f"  {NOTE}"
    assert plain == row
    assert len(row) <= 80


@pytest.mark.parametrize(("width", "terminal"), [(200, True), (80, False)])
def test_otherwise_the_note_is_a_column(width: int, *, terminal: bool):
    header, row = printed(width, VIEW, terminal=terminal)
    assert "NOTE" in header
    assert "2027-03-28T03:30:00+02:00" in row
    assert row.rstrip().endswith(NOTE)
