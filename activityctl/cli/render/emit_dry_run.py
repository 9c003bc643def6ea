"""What `emit --dry-run` shows: whom each event would wake, and why the others sleep."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.text import Text

from activityctl.cli.render.emit_report import SHOWN_ONE_BY_ONE, EmitReport, JsonListWriter
from activityctl.cli.render.output import Format, escape_controls
from activityctl.cli.session import Session
from activityctl.domain.cel.messages import one_line
from activityctl.domain.events.emit_result import ValidEvent, invalid_result
from activityctl.domain.events.json_form import emitted_view
from activityctl.domain.routing.matching import others_text, shown
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.operations.events.dry_run import DryRunIndex, DryRunResult
from activityctl.operations.events.emit import CheckedEvent


def rehearse(
    session: Session, audience: DryRunIndex, offers: Iterable[CheckedEvent], shape: Format
) -> int:
    """Show every event; return the exit code. Above twenty, those alone that would wake.

    In text, triggers that want another type or source are counted; `wide` lists them too.
    """
    shows_all, shape = shape == "wide", "text" if shape == "wide" else shape
    report = EmitReport(session, shape)
    listed = None if shape == "text" else JsonListWriter(session, shape)
    woken: Counter[str] = Counter()
    number = 0
    try:
        for offer in offers:
            number += 1
            if not isinstance(offer, ValidEvent):
                report.count(one := invalid_result(offer))
                if listed is not None:
                    listed.add(emitted_view(one))
                continue
            document = offer.envelope.document
            is_explained = number <= SHOWN_ONE_BY_ONE
            found = audience.results_for(document) if is_explained else audience.woken(document)
            woken.update(_name(one) for one in found if one.wakes)
            if listed is not None:
                listed.add(_view(offer, found, is_explained=is_explained))
            elif is_explained:
                _print(session, offer, found, shows_all=shows_all)
    finally:
        if listed is not None:
            listed.end({"events": number, "woken": dict(woken.most_common())})
    if listed is None and number > SHOWN_ONE_BY_ONE:
        session.out.print(f"{count_noun(number, 'event')}; they would wake")
        for name, count in woken.most_common() or (("nobody", 0),):
            session.out.print(f"  {name}  {count:,}" if count else f"  {name}")
    session.err.print("nothing was stored")
    return report.exit_code


def _view(offer: ValidEvent, found: Iterable[DryRunResult], *, is_explained: bool) -> View:
    event = offer.envelope
    view: View = {"id": event.id, "source": event.source, "type": event.type}
    view["wakes"] = [_prospect_view(one) for one in found if one.wakes]
    if is_explained:
        sleeps = (one for one in found if not one.wakes)
        view["sleeps"] = [{**_prospect_view(one), "reason": one.reason} for one in sleeps]
    return view


def _prospect_view(one: DryRunResult) -> View:
    named: View = {"subscription": one.subscription, "trigger": one.trigger}
    if one.part is not None:
        named["part"] = one.part
    if one.key is not None:
        named["key"] = {"text": one.key.text, "value": one.key.value, "error": one.key.error}
    return named


def _print(
    session: Session, offer: ValidEvent, found: Sequence[DryRunResult], *, shows_all: bool
) -> None:
    event = offer.envelope
    title = f"{event.id}  {event.source}  {event.type}"
    session.out.print(Text(escape_controls(title), style="bold"))
    if not found:
        session.out.print("  no subscription listens to events")
    for one in found:
        if shows_all or not one.wants_another:
            session.out.print(_line(one))
    elsewhere = {(one.subscription, one.trigger) for one in found if one.wants_another}
    if elsewhere and not shows_all:
        session.out.print(f"  {others_text(len(elsewhere))}; -o wide lists them", style="dim")


def _line(one: DryRunResult) -> Text:
    word = ("counts for" if one.gathers else "wakes") if one.wakes else "sleeps"
    line = Text(f"  {word:<6} ", style="green" if one.wakes else "dim")
    line.append(_name(one), style="none")
    if one.reason:
        line.append(f": {escape_controls(one.reason)}")
    elif one.key is not None:
        line.append(
            f": {escape_controls(one_line(one.key.text))} = {escape_controls(shown(one.key.value))}"
        )
    return line


def _name(one: DryRunResult) -> str:
    part = f" ({one.part})" if one.part else ""
    return f"{one.subscription}/{one.trigger}{part}"
