"""Progress bars for what takes long; only where somebody watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from activityctl.cli.session import Session

if TYPE_CHECKING:
    from rich.progress import Progress

_MANY_SCHEDULES: Final = 100
_MANY_EVENTS: Final = 2_000


@contextmanager
def schedule_progress(session: Session) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many schedules wait; it draws a bar for many.

    When that is first called the change is recorded, which Ctrl-C says from then on.
    """
    total: int | None = None

    with _counting(session, "placing schedules", _MANY_SCHEDULES) as show:

        def on_pending(count: int) -> None:
            nonlocal total
            if total is None:
                total = count
                on_interrupt_say_recorded(session)
            show(total - count, total)

        yield on_pending


@contextmanager
def event_progress(session: Session) -> Iterator[Callable[[int, int], None]]:
    """Give a function that is told how many events were read; it draws a bar for many."""
    with _counting(session, "reading events", _MANY_EVENTS) as show:
        yield show


def on_interrupt_say_unknown(session: Session) -> None:
    """Have Ctrl-C say that the change may be recorded or not; called as that begins."""
    session.set_interrupt_message(
        "it is not known whether the change is recorded",
        hint="run the command again: it changes only what is missing",
    )


def on_interrupt_say_recorded(session: Session) -> None:
    """Have Ctrl-C say that the change is recorded."""
    session.set_interrupt_message(
        "the change is recorded; the worker goes on", hint="activityctl get schedules"
    )


@contextmanager
def _counting(session: Session, label: str, many: int) -> Iterator[Callable[[int, int], None]]:
    """Give a function that is told how many of how many are done.

    The bar is built when that is first called: the work itself has begun by then.
    """
    bar: Progress | None = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            if not session.err.is_terminal or total <= many:
                return
            bar = _started(session, label)
        bar.update(bar.task_ids[0], completed=done, total=total)

    try:
        yield show
    finally:
        if bar is not None:
            bar.stop()


def _started(session: Session, label: str) -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, console=session.err, transient=True)
    bar.add_task("")
    bar.start()
    return bar
