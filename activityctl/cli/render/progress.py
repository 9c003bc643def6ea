"""Progress bars for long operations, shown only on a terminal."""

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
    """Yield a function that takes the number of pending schedules; for many it draws a bar.

    Its first call means that the change is recorded; from then on Ctrl-C reports this.
    """
    total: int | None = None

    with progress_bar(session, "updating schedules", _MANY_SCHEDULES) as show:

        def on_pending(count: int) -> None:
            nonlocal total
            if total is None:
                total = count
                on_interrupt_say_recorded(session)
            show(total - count, total)

        yield on_pending


@contextmanager
def event_progress(session: Session) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes the number of events read and in all; for many it draws a bar."""
    with progress_bar(session, "reading events", _MANY_EVENTS) as show:
        yield show


def on_interrupt_say_unknown(session: Session) -> None:
    """Let Ctrl-C report that the change may or may not be recorded; call this before writing."""
    session.set_interrupt_message(
        "it is not known whether the change is recorded",
        hint="run the command again: it changes only what is missing",
    )


def on_interrupt_say_recorded(session: Session) -> None:
    """Let Ctrl-C report that the change is recorded."""
    session.set_interrupt_message(
        "the change is recorded; the worker continues with it", hint="activityctl get schedules"
    )


@contextmanager
def progress_bar(session: Session, label: str, many: int) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes how many are done and how many there are in all.

    Its first call starts the bar, so that no bar is shown before the work begins.
    """
    bar: Progress | None = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            if not session.draws_progress or total <= many:
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
