"""A progress bar for applies that place many schedules; only where somebody watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from activityctl.cli.session import Session

_MANY: Final = 100


@contextmanager
def placing(session: Session) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many schedules wait; above a hundred it draws a bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("placing schedules"), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, console=session.err, transient=True)
    total = 0

    def on_pending(count: int) -> None:
        nonlocal total
        if not session.err.is_terminal or (not total and count <= _MANY):
            return
        if not total:
            total = count
            progress.add_task("", total=total)
            progress.start()
        progress.update(progress.task_ids[0], completed=total - count)

    try:
        yield on_pending
    finally:
        progress.stop()
