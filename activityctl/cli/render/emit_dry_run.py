"""Show what `emit --dry-run` found: which triggers match each event, and why others do not."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from rich.text import Text

from activityctl.cli.render.emit_report import SHOWN_ONE_BY_ONE, EmitReport, JsonListWriter
from activityctl.cli.render.output import Format
from activityctl.cli.session import Session
from activityctl.domain.cel.messages import one_line
from activityctl.domain.events.emit_result import ValidEvent, invalid_result
from activityctl.domain.events.json_form import emitted_view
from activityctl.domain.routing.matching import others_text, shown
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_controls
from activityctl.operations.events.dry_run import DryRunResult, result_view
from activityctl.operations.events.emit import CheckedEvent


async def print_dry_run(
    session: Session,
    judge: Callable[[int], AsyncIterator[tuple[CheckedEvent, Sequence[DryRunResult]]]],
    shape: Format,
) -> int:
    """Print the result of each event and return the exit code.

    `judge` yields the events with their results; it takes how many of them are explained.

    From event 21 on, only matching triggers are shown, in text only their number. Triggers that
    accept another type or source are counted in text and listed in `wide`.
    """
    shows_all, shape = shape == "wide", "text" if shape == "wide" else shape
    report = EmitReport(session, shape)
    listed = None if shape == "text" else JsonListWriter(session, shape)
    woken: Counter[str] = Counter()
    number = 0
    try:
        async for event, results in judge(SHOWN_ONE_BY_ONE):
            number += 1
            if not isinstance(event, ValidEvent):
                report.count(invalid := invalid_result(event))
                if listed is not None:
                    listed.add(emitted_view(invalid))
                continue
            is_explained = number <= SHOWN_ONE_BY_ONE
            woken.update(_name(result) for result in results if result.wakes)
            if listed is not None:
                listed.add(_view(event, results, is_explained=is_explained))
            elif is_explained:
                _print(session, event, results, shows_all=shows_all)
    finally:
        if listed is not None:
            listed.end({"events": number, "woken": dict(woken.most_common())})
    if listed is None and number > SHOWN_ONE_BY_ONE:
        session.out.print(f"{count_noun(number, 'event')}; number of matches by trigger:")
        for name, count in woken.most_common():
            session.out.print(f"  {name}  {count:,}")
        if not woken:
            session.out.print("  no trigger matches")
    session.err.print("nothing was stored")
    return report.exit_code


def _view(event: ValidEvent, results: Iterable[DryRunResult], *, is_explained: bool) -> View:
    envelope = event.envelope
    view: View = {"id": envelope.id, "source": envelope.source, "type": envelope.type}
    view["wakes"] = [result_view(result) for result in results if result.wakes]
    if is_explained:
        others = (result for result in results if not result.wakes)
        view["sleeps"] = [{**result_view(result), "reason": result.reason} for result in others]
    return view


def _print(
    session: Session, event: ValidEvent, results: Sequence[DryRunResult], *, shows_all: bool
) -> None:
    envelope = event.envelope
    title = f"{envelope.id}  {envelope.source}  {envelope.type}"
    session.out.print(Text(escape_controls(title), style="bold"))
    if not results:
        session.out.print("  there are no event triggers")
    for result in results:
        if shows_all or not result.wants_another:
            session.out.print(_line(result))
    others = {(result.subscription, result.trigger) for result in results if result.wants_another}
    if others and not shows_all:
        session.out.print(f"  {others_text(len(others))}; -o wide lists them", style="dim")


def _line(result: DryRunResult) -> Text:
    word = ("gathers" if result.gathers else "runs") if result.wakes else "no run"
    line = Text(f"  {word:<7} ", style="green" if result.wakes else "dim")
    line.append(_name(result), style="none")
    if result.reason:
        line.append(f": {escape_controls(result.reason)}")
    elif (key := result.key) is not None:
        line.append(
            f": {escape_controls(one_line(key.text))} = {escape_controls(shown(key.value))}"
        )
    return line


def _name(result: DryRunResult) -> str:
    part = f" ({result.part})" if result.part else ""
    return f"{result.subscription}/{result.trigger}{part}"
