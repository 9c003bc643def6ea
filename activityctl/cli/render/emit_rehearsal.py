"""What `emit --dry-run` shows: whom each event would wake, and why the others sleep."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.text import Text

from activityctl.cli.render.emit_report import SHOWN_ONE_BY_ONE, JsonList, Report
from activityctl.cli.render.output import Format, visible
from activityctl.cli.session import Session
from activityctl.domain.cel.messages import one_line
from activityctl.domain.events.emission import OfferedEvent, refused
from activityctl.domain.events.json_form import emitted_view
from activityctl.domain.routing.matching import others_text, shown
from activityctl.domain.values.json_form import View
from activityctl.domain.values.wording import counted
from activityctl.operations.events.emit import Offer
from activityctl.operations.events.rehearse import Audience, Prospect


def rehearse(session: Session, audience: Audience, offers: Iterable[Offer], shape: Format) -> int:
    """Show every event; return the exit code. Above twenty, those alone that would wake.

    In text, triggers that want another type or source are counted; `wide` lists them too.
    """
    shows_all, shape = shape == "wide", "text" if shape == "wide" else shape
    report = Report(session, shape)
    listed = None if shape == "text" else JsonList(session, shape)
    woken: Counter[str] = Counter()
    number = 0
    try:
        for offer in offers:
            number += 1
            if not isinstance(offer, OfferedEvent):
                report.count(one := refused(offer))
                if listed is not None:
                    listed.add(emitted_view(one))
                continue
            document = offer.envelope.document
            is_explained = number <= SHOWN_ONE_BY_ONE
            found = audience.prospects(document) if is_explained else audience.woken(document)
            woken.update(_name(one) for one in found if one.wakes)
            if listed is not None:
                listed.add(_view(offer, found, is_explained=is_explained))
            elif is_explained:
                _print(session, offer, found, shows_all=shows_all)
    finally:
        if listed is not None:
            listed.end({"events": number, "woken": dict(woken.most_common())})
    if listed is None and number > SHOWN_ONE_BY_ONE:
        session.out.print(f"{counted(number, 'event')}; they would wake")
        for name, count in woken.most_common() or (("nobody", 0),):
            session.out.print(f"  {name}  {count:,}" if count else f"  {name}")
    session.err.print("nothing was stored")
    return report.exit_code


def _view(offer: OfferedEvent, found: Iterable[Prospect], *, is_explained: bool) -> View:
    event = offer.envelope
    view: View = {"id": event.id, "source": event.source, "type": event.type}
    view["wakes"] = [_prospect_view(one) for one in found if one.wakes]
    if is_explained:
        sleeps = (one for one in found if not one.wakes)
        view["sleeps"] = [{**_prospect_view(one), "reason": one.reason} for one in sleeps]
    return view


def _prospect_view(one: Prospect) -> View:
    named: View = {"subscription": one.subscription, "trigger": one.trigger}
    if one.part is not None:
        named["part"] = one.part
    if one.key is not None:
        named["key"] = {"text": one.key.text, "value": one.key.value, "error": one.key.error}
    return named


def _print(
    session: Session, offer: OfferedEvent, found: Sequence[Prospect], *, shows_all: bool
) -> None:
    event = offer.envelope
    title = f"{event.id}  {event.source}  {event.type}"
    session.out.print(Text(visible(title), style="bold"))
    if not found:
        session.out.print("  no subscription listens to events")
    for one in found:
        if shows_all or not one.wants_another:
            session.out.print(_line(one))
    elsewhere = {(one.subscription, one.trigger) for one in found if one.wants_another}
    if elsewhere and not shows_all:
        session.out.print(f"  {others_text(len(elsewhere))}; -o wide lists them", style="dim")


def _line(one: Prospect) -> Text:
    word = ("counts for" if one.gathers else "wakes") if one.wakes else "sleeps"
    line = Text(f"  {word:<6} ", style="green" if one.wakes else "dim")
    line.append(_name(one), style="none")
    if one.reason:
        line.append(f": {visible(one.reason)}")
    elif one.key is not None:
        line.append(f": {visible(one_line(one.key.text))} = {visible(shown(one.key.value))}")
    return line


def _name(one: Prospect) -> str:
    part = f" ({one.part})" if one.part else ""
    return f"{one.subscription}/{one.trigger}{part}"
