"""The steps of `emit`: open the input, store its events batch by batch, wait for their runs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Final

from activityctl import wiring
from activityctl.cli.emit_options import EventOptions, fill_in, fill_in_with_source
from activityctl.cli.few_collections import few_collections
from activityctl.cli.render.emit_report import EmitReport
from activityctl.cli.render.emit_results import EventResultsView
from activityctl.cli.render.output import Format
from activityctl.cli.session import Session
from activityctl.cli.told_waits import told_wait
from activityctl.domain.events.emit_result import Emitted
from activityctl.domain.events.envelope import fill_nothing
from activityctl.domain.values.selection import Selection
from activityctl.errors import UsageError, WaitTimeoutError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.events.await_events import await_events
from activityctl.operations.events.emit import CheckedEvent, checked_events, emit
from activityctl.wiring import Ports

_MOST_SUBSCRIPTIONS: Final = 1_000_000


@frozen_dataclass
class Input:
    """The events to store, and how far the input has been read."""

    offers: Iterator[CheckedEvent]
    size: int | None = None
    """In bytes; None if it is not known."""
    position: Callable[[], int] = lambda: 0
    """How many bytes have been read."""


@contextmanager
def open_input(file: str | None, options: EventOptions, *, strict: bool) -> Iterator[Input]:
    """Open the file, or make the event of the options; UsageError if both or neither is given."""
    if file is None and not options.is_given:
        raise UsageError(
            "no event given", hint="name a file, - for standard input, or give --type and --source"
        )
    if file is None:
        fill = fill_nothing if strict else fill_in_with_source
        yield Input(checked_events([options.event()], fill))
        return
    if options.is_given:
        raise UsageError(
            "FILE cannot be combined with options that make an event",
            hint="leave out FILE, or leave out --type, --data and the other options",
        )
    with wiring.open_events(file) as source:
        offers = checked_events(source.events(), fill_nothing if strict else fill_in)
        yield Input(offers, source.size, lambda: source.position)


async def store_events(
    session: Session, ports: Ports, source: Input, shape: Format, wait_seconds: float | None
) -> int:
    """Store all events, report each of them and return the exit code.

    WaitTimeoutError if the runs have not ended in time; all that is known is reported first.
    """
    report = EmitReport(session, shape, keeps_all=wait_seconds is not None)
    results: EventResultsView | None = None
    report.update_interrupt_message()
    try:
        with _progress_bar(session, source) as draw, few_collections():
            async with aclosing(emit(ports.events, source.offers)) as batches:
                async for batch in batches:
                    report.take(batch)
                    report.update_interrupt_message()
                    draw(report.counts.total())
        if not report.counts:
            session.err.print("the input contains no event")
        if wait_seconds is not None:
            results = await _wait_for_runs(session, ports, report.results, wait_seconds)
    finally:
        report.end(results)
    if report.exit_code or results is None:
        return report.exit_code
    if results.failed:
        return 1
    if not results.aftermath.is_complete:
        reason = "" if results.has_worker else ": no worker is running"
        hint = "activityctl get runs" if results.has_worker else "activityctl status"
        raise WaitTimeoutError(
            f"not all runs have ended after {wait_seconds:g}s{reason}", hint=hint
        )
    return 0


async def _wait_for_runs(
    session: Session, ports: Ports, emitted: Sequence[Emitted], seconds: float
) -> EventResultsView:
    """Wait for the runs of the stored events and return them, as far as they are known in time."""
    if not await ports.workers.alive():
        session.err.print("the events are stored; no worker is running, waiting for one")
    session.set_interrupt_message(
        "the events are stored; the worker continues with their runs", hint="activityctl get runs"
    )
    with session.status("waiting for the runs to end") as show:
        waiting = await_events(
            ports.events,
            ports.run_lists,
            [event.uid for event in emitted if event.uid is not None and event.problem is None],
            timeout_seconds=seconds,
            on_progress=show,
        )
        aftermath = await told_wait(session, ports, waiting, "the events are stored")
    subscriptions = await ports.catalog.subscriptions(Selection(limit=_MOST_SUBSCRIPTIONS))
    names: dict[str, str] = {owner.id: owner.name for owner in subscriptions}
    return EventResultsView(aftermath, names, bool(await ports.workers.alive()))


@contextmanager
def _progress_bar(session: Session, source: Input) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of stored events; on a terminal it draws a bar."""
    if not session.draws_progress or source.size == 0:
        yield lambda _: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[events]:,} events"))
    with Progress(*columns, console=session.err, transient=True) as progress:
        task = progress.add_task("", total=source.size, events=0)
        yield lambda count: progress.update(task, completed=source.position(), events=count)
