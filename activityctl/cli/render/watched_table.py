"""A table that grows: its columns keep the width that they had at first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from activityctl.cli.render.output import GAP, STYLES, Column, cell_text
from activityctl.domain.values.json_form import View

if TYPE_CHECKING:
    from rich.console import Console


class WatchedTable:
    """Prints rows as they come, with the headings before the first ones."""

    def __init__(self, console: "Console", columns: Sequence[Column]) -> None:
        self._console = console
        self._columns = columns
        self._widths: list[int] | None = None

    def add(self, views: Sequence[View]) -> None:
        """Print a row for each; on a terminal, a line is cut where the terminal ends."""
        rows = [[cell_text(read(view)) for _, read in self._columns] for view in views]
        if not rows:
            return
        if self._widths is None:
            names = [name for name, _ in self._columns]
            self._widths = [max(map(len, cells)) for cells in zip(names, *rows, strict=True)]
            self._line(names, self._widths, is_heading=True)
        for row in rows:
            self._line(row, self._widths)

    def _line(
        self, cells: Sequence[str], widths: Sequence[int], *, is_heading: bool = False
    ) -> None:
        from rich.text import Text

        line = Text(style="bold" if is_heading else "")
        for cell, width in zip(cells, widths, strict=True):
            line.append(cell, style=STYLES.get(cell, ""))
            line.append(" " * (max(width - len(cell), 0) + GAP))
        line.rstrip()
        if self._console.is_terminal:
            self._console.print(line, no_wrap=True, overflow="ellipsis")
        else:
            self._console.file.write(line.plain + "\n")
            self._console.file.flush()
