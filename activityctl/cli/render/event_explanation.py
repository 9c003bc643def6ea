"""`activityctl explain event`: how an event's explanation looks in a terminal."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from activityctl.cli.render.output import escape_controls
from activityctl.domain.cel.messages import one_line
from activityctl.domain.routing.explanation import PatternExplanation, TriggerExplanation
from activityctl.domain.routing.match_explanation import ClauseResult, Operand
from activityctl.domain.routing.matching import others_text, shown
from activityctl.domain.routing.trigger_match import GroupingKey
from activityctl.operations.events.explain_event import Explained

if TYPE_CHECKING:
    from rich.console import Console

_MOST_SLEEPERS: Final = 10
"""Triggers that do not match, of which the text shows all parts."""
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


def print_explained(console: "Console", explained: Explained, *, shows_all: bool) -> None:
    """Print what each trigger makes of the event; only some of those that do not match."""
    event = explained.event
    console.print(
        escape_controls(f"{event['type']}  {event['source']}  {event['id']}"), style="bold"
    )
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
        console.print(
            escape_controls(f"\n{when}, {owner}: {verdict['outcome']}{reason}"), style="dim"
        )


def _print_trigger(console: "Console", one: TriggerExplanation) -> None:
    mark, color = _HEADLINES[one.outcome]
    label = f"{mark} {one.subscription}/{one.trigger}"
    console.print(escape_controls(f"{label} {_headline(one)}"), style=f"bold {color}")
    for pattern in one.patterns:
        indent = 4
        if pattern.name is not None:
            console.print(escape_controls(f"    {_named(pattern)}"))
            indent = 8
        _print_clauses(console, pattern.found.parts, indent)
    if one.key is not None:
        _print_clauses(console, [_key_clause(one.key)], 4)


def _key_clause(key: GroupingKey) -> ClauseResult:
    """Return the key as one more part: it holds when it has a value."""
    operand = Operand("key", key.value, key.error)
    holds = True if key.error is None else None
    return ClauseResult(f"key {key.text}", holds, operands=(operand,))


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


def _print_clauses(console: "Console", parts: Sequence[ClauseResult], indent: int) -> None:
    from rich.text import Text

    rows = list(_rows(parts, indent))
    width = min(_WIDEST, max((len(" " * at + text) for at, text, _ in rows), default=0))
    for at, text, clause in rows:
        mark, color = _MARKS[clause.holds]
        line = Text(f"{' ' * at}{mark} ", style=color)
        values = ", ".join(_value(one) for one in clause.operands)
        if not values and clause.holds is None and not clause.clauses:
            values = clause.reason or ""
        line.append(escape_controls(text.ljust(width - at) if values else text))
        line.append(escape_controls(f"  {values}" if values else ""), style="dim")
        console.print(line)


def _rows(clauses: Sequence[ClauseResult], indent: int) -> Iterator[tuple[int, str, ClauseResult]]:
    for one in clauses:
        text = one_line(one.text)
        yield indent, f"{_OPERATORS[one.operator]}: {text}" if one.operator else text, one
        yield from _rows(one.clauses, indent + 4)


def _value(one: Operand) -> str:
    if one.error is None:
        return f"{one.text} = {shown(one.value)}"
    return f"{one.text} {_MISSING}" if one.error == _MISSING else one_line(one.error)
