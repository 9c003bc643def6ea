"""The course of one `emit`: its input opened, stored batch by batch, and waited for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Final

from activityctl import wiring
from activityctl.cli.emit_options import EventOptions, fill_in, fill_in_by_hand, fill_nothing
from activityctl.cli.render.emit_report import EmitReport
from activityctl.cli.render.emit_results import EventResultsView
from activityctl.cli.render.output import Format
from activityctl.cli.session import Session
from activityctl.domain.events.emit_result import Emitted
from activityctl.domain.values.selection import Selection
from activityctl.errors import UsageError, WaitTimeoutError
from activityctl.operations.events.await_events import await_events
from activityctl.operations.events.emit import CheckedEvent, checked_events, emit
from activityctl.wiring import Ports

_MOST_SUBSCRIPTIONS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Input:
    """The events to be stored, and how far they have been read."""

    offers: Iterator[CheckedEvent]
    size: int | None = None
    """In bytes; None when nobody knows."""
    position: Callable[[], int] = lambda: 0


@contextmanager
def opened_input(file: str | None, by_hand: EventOptions, *, strict: bool) -> Iterator[Input]:
    """Open what the command was given: a file, or options; UsageError for both or none."""
    if file is None and not by_hand.is_given:
        raise UsageError("no event named", hint="name a file, - for stdin, or --type and --source")
    if file is None:
        fill = fill_nothing if strict else fill_in_by_hand
        yield Input(checked_events([by_hand.event()], fill))
        return
    if by_hand.is_given:
        raise UsageError(
            "both a file and an event by hand",
            hint="leave out FILE, or --type, --data and the like",
        )
    with wiring.open_events(file) as source:
        offers = checked_events(source.events(), fill_nothing if strict else fill_in)
        yield Input(offers, source.size, lambda: source.position)


async def store(
    session: Session, ports: Ports, given: Input, shape: Format, wait_seconds: float | None
) -> int:
    """Store all events and tell of each; return the exit code.

    WaitTimeoutError when the runs have not ended in time, after what is known was shown.
    """
    report = EmitReport(session, shape, keeps_all=wait_seconds is not None)
    consequences: EventResultsView | None = None
    report.update_interrupt_message()
    try:
        with _drawn(session, given) as draw:
            async with aclosing(emit(ports.events, given.offers)) as batches:
                async for batch in batches:
                    report.take(batch)
                    report.update_interrupt_message()
                    draw(report.counts.total())
        if not report.counts:
            session.err.print("the input holds no event")
        if wait_seconds is not None:
            consequences = await _waited(session, ports, report.results, wait_seconds)
    finally:
        report.end(consequences)
    if report.exit_code or consequences is None:
        return report.exit_code
    if consequences.failed:
        return 1
    if consequences.is_awaited and not consequences.aftermath.is_complete:
        raise WaitTimeoutError(
            f"the runs have not all ended after {wait_seconds:g}s", hint="activityctl get runs"
        )
    return 0


async def _waited(
    session: Session, ports: Ports, results: Sequence[Emitted], seconds: float
) -> EventResultsView:
    """Return what the stored events led to; without a worker, what is known at once."""
    is_alive = bool(await ports.workers.alive())
    if not is_alive:
        session.err.print("no worker is alive; the runs will start when one is")
    session.set_interrupt_message(
        "the events are stored; the worker goes on with their runs", hint="activityctl get runs"
    )
    with session.err.status("waiting for the runs") as status:
        aftermath = await await_events(
            ports.events,
            ports.run_lists,
            [one.uid for one in results if one.uid is not None and one.problem is None],
            timeout_seconds=seconds if is_alive else 0.0,
            on_progress=status.update,
        )
    owners = await ports.catalog.subscriptions(Selection(limit=_MOST_SUBSCRIPTIONS))
    return EventResultsView(aftermath, {one.id: one.name for one in owners}, is_awaited=is_alive)


@contextmanager
def _drawn(session: Session, given: Input) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many events are done; on a terminal it draws a bar."""
    if not session.err.is_terminal or given.size == 0:
        yield lambda _: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[events]:,} events"))
    with Progress(*columns, console=session.err, transient=True) as progress:
        task = progress.add_task("", total=given.size, events=0)
        yield lambda count: progress.update(task, completed=given.position(), events=count)
