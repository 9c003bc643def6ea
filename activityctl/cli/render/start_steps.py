"""Show the steps of a start: a live list on a terminal, else a line for each begin and end."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from activityctl.cli.session import Session

if TYPE_CHECKING:
    from rich.table import Table

Step = Any
"""Has `doing`, `began`, `ended` and `failed`; the two moments in seconds of `time.monotonic`."""
Show = Callable[[Sequence[Step]], None]


@contextmanager
def showing_steps(session: Session) -> Iterator[Show]:
    """Yield a function that takes all steps so far, whenever one begins or ends."""
    if session.draws_progress and not session.err.options.ascii_only:
        with _live_list(session) as show:
            yield show
    else:
        yield _Lines(session).show


class _Lines:
    """Prints a line when a step begins, and one with its seconds when it has ended."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._begun = 0
        self._ended: set[int] = set()

    def show(self, steps: Sequence[Step]) -> None:
        for index, step in enumerate(steps):
            if index >= self._begun:
                self._begun = index + 1
                self._print(step.doing)
            if step.ended is not None and index not in self._ended:
                self._ended.add(index)
                end = "not done after" if step.failed else "done in"
                self._print(f"{step.doing}: {end} {step.ended - step.began:.1f} s")

    def _print(self, line: str) -> None:
        self._session.err.print(line)
        self._session.err.file.flush()


@contextmanager
def _live_list(session: Session) -> Iterator[Show]:
    from rich.live import Live
    from rich.spinner import Spinner

    spinner = Spinner("dots")
    steps: Sequence[Step] = ()

    def drawn() -> "Table":
        return _table(steps, spinner)

    live = Live(console=session.err, get_renderable=drawn, refresh_per_second=10)

    def show(found: Sequence[Step]) -> None:
        nonlocal steps
        steps = tuple(found)

    with live:
        yield show


def _table(steps: Sequence[Step], spinner: Any) -> "Table":
    from rich.table import Table

    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column()
    table.add_column(justify="right")
    for step in steps:
        seconds = (step.ended or time.monotonic()) - step.began
        mark = spinner if step.ended is None else "✗" if step.failed else "✓"
        style = "" if step.ended is None else "dim"
        table.add_row(mark, step.doing, f"{seconds:.1f} s", style=style)
    return table
