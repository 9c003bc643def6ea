"""`activityctl explain event`: how an event's explanation looks in a terminal."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from activityctl import wiring
from activityctl.cli.emit_options import fill_in
from activityctl.cli.render.output import print_json, visible
from activityctl.cli.session import Session
from activityctl.domain.cel.messages import one_line
from activityctl.domain.events.emission import OfferedEvent
from activityctl.domain.routing.decision import GroupingKey
from activityctl.domain.routing.explanation import PatternExplanation, TriggerExplanation
from activityctl.domain.routing.match_explanation import ClauseVerdict, Operand
from activityctl.domain.routing.matching import others_text, shown
from activityctl.domain.values.json_form import list_view
from activityctl.errors import InvalidInputError, InvalidManifestsError, UsageError
from activityctl.operations.events.emit import offers_of
from activityctl.operations.events.explain_event import Explained, explain_offered, explain_stored
from activityctl.wiring import Ports

if TYPE_CHECKING:
    from rich.console import Console

_MOST_SLEEPERS: Final = 10
"""Triggers that do not match, of which the text shows all parts."""
_MOST_EVENTS: Final = 1_000
_WIDEST: Final = 64
_MISSING: Final = "is missing"
_MARKS: Final = {True: ("✓", "green"), False: ("✗", "red"), None: ("!", "yellow")}
_HEADLINES: Final = {
    "matches": ("✓", "green"),
    "paused": ("-", "yellow"),
    "error": ("!", "yellow"),
    "no_match": ("✗", "red"),
}
_OPERATORS: Final = {"&&": "all of", "||": "any of", "!": "none of"}


def explain_event(
    session: Session, reference: str | None, file: str | None, subscription: str | None, shape: str
) -> None:
    """Explain a stored event, or those of a file; UsageError unless exactly one is named."""
    if (reference is None) == (file is None):
        raise UsageError(
            "explain event needs an event",
            hint="activityctl explain event ID, or activityctl explain event -f FILE",
        )
    offered = _offered(file) if file is not None else []

    async def work(ports: Ports) -> list[Explained]:
        if reference is None:
            return await explain_offered(ports.catalog, offered, subscription)
        return [await explain_stored(ports.catalog, ports.events, reference, subscription)]

    found = session.with_ports(work)
    if shape == "json":
        print_json(session.out, list_view(one.view for one in found))
        return
    for number, one in enumerate(found):
        if number:
            session.out.print()
        _print(session.out, one, shows_all=shape == "wide" or subscription is not None)


def _offered(path: str) -> list[OfferedEvent]:
    """Return the events of a file, which are all right; else every problem is told."""
    found: list[OfferedEvent] = []
    problems = []
    with wiring.open_events(path) as source:
        for one in offers_of(source.events(), fill_in):
            if isinstance(one, OfferedEvent):
                found.append(one)
            else:
                problems.append(one.problem)
            if len(found) + len(problems) > _MOST_EVENTS:
                raise InvalidInputError(f"{path}: more than {_MOST_EVENTS:,} events to explain")
    if problems:
        raise InvalidManifestsError(problems)
    return found


def _print(console: "Console", explained: Explained, *, shows_all: bool) -> None:
    event = explained.event
    console.print(visible(f"{event['type']}  {event['source']}  {event['id']}"), style="bold")
    if not explained.triggers:
        console.print("No event trigger lives here.")
    chosen = [one for one in explained.triggers if shows_all or not one.wants_another]
    most = len(chosen) if shows_all else _MOST_SLEEPERS
    sleepers = [one for one in chosen if one.outcome == "no_match"]
    left_out = set(map(id, sleepers[most:]))
    for one in chosen:
        if id(one) not in left_out:
            console.print()
            _print_trigger(console, one)
    if left_out:
        console.print(f"\n{len(left_out):,} more do not match; -o wide shows all")
    if others := len(explained.triggers) - len(chosen):
        console.print(f"\n{others_text(others)}; -o wide shows them", style="dim")
    for verdict in explained.view.get("verdicts", ()):
        when = f"replay {verdict['replay']}" if verdict["replay"] else "when it came"
        owner = f"{verdict['subscription']}/{verdict['trigger']}"
        reason = f": {verdict['reason']}" if verdict["reason"] else ""
        console.print(visible(f"\n{when}, {owner}: {verdict['outcome']}{reason}"), style="dim")


def _print_trigger(console: "Console", one: TriggerExplanation) -> None:
    mark, color = _HEADLINES[one.outcome]
    label = f"{mark} {one.subscription}/{one.trigger}"
    console.print(visible(f"{label} {_headline(one)}"), style=f"bold {color}")
    for pattern in one.patterns:
        indent = 4
        if pattern.name is not None:
            console.print(visible(f"    {_named(pattern)}"))
            indent = 8
        _print_clauses(console, pattern.found.parts, indent)
    if one.key is not None:
        _print_clauses(console, [_key_clause(one.key)], 4)


def _key_clause(key: GroupingKey) -> ClauseVerdict:
    """Return the key as one more part: it holds when it has a value."""
    operand = Operand("key", key.value, key.error)
    holds = True if key.error is None else None
    return ClauseVerdict(f"key {key.text}", holds, operands=(operand,))


def _headline(one: TriggerExplanation) -> str:
    match one.outcome:
        case "matches":
            return f"matches; it gathers events ({one.form})" if one.form else "matches"
        case "paused":
            return "matches, but the subscription is paused"
        case "error" if one.key is not None:
            return f"matches, but does not count: {one.reason}"
        case "error" | "no_match":
            return f"does not match: {one.reason}"


def _named(pattern: PatternExplanation) -> str:
    return f"{pattern.name}: {'matches' if pattern.found.match.matched else 'does not match'}"


def _print_clauses(console: "Console", parts: Sequence[ClauseVerdict], indent: int) -> None:
    from rich.text import Text

    rows = list(_rows(parts, indent))
    width = min(_WIDEST, max((len(" " * at + text) for at, text, _ in rows), default=0))
    for at, text, clause in rows:
        mark, color = _MARKS[clause.holds]
        line = Text(f"{' ' * at}{mark} ", style=color)
        values = ", ".join(_value(one) for one in clause.operands)
        if not values and clause.holds is None and not clause.clauses:
            values = clause.reason or ""
        line.append(visible(text.ljust(width - at) if values else text))
        line.append(visible(f"  {values}" if values else ""), style="dim")
        console.print(line)


def _rows(
    clauses: Sequence[ClauseVerdict], indent: int
) -> Iterator[tuple[int, str, ClauseVerdict]]:
    for one in clauses:
        text = one_line(one.text)
        yield indent, f"{_OPERATORS[one.operator]}: {text}" if one.operator else text, one
        yield from _rows(one.clauses, indent + 4)


def _value(one: Operand) -> str:
    if one.error is None:
        return f"{one.text} = {shown(one.value)}"
    return f"{one.text} {_MISSING}" if one.error == _MISSING else one_line(one.error)
