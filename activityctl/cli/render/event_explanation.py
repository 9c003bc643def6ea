"""Print the explanation of an event, for `explain event`."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from activityctl.domain.cel.messages import one_line
from activityctl.domain.routing.explanation import PatternExplanation, TriggerExplanation
from activityctl.domain.routing.match_explanation import ClauseResult, Operand
from activityctl.domain.routing.matching import others_text, shown
from activityctl.domain.routing.trigger_match import GroupingKey
from activityctl.domain.values.untrusted import escape_controls
from activityctl.operations.events.explain_event import Explained

if TYPE_CHECKING:
    from rich.console import Console

_MOST_NOT_MATCHING: Final = 10
"""How many triggers that do not match the text shows in full."""
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
    """Print for each trigger whether it matches the event, and why.

    Unless `shows_all`, print only some of the triggers that do not match.
    """
    event = explained.event
    console.print(
        escape_controls(f"{event['type']}  {event['source']}  {event['id']}"), style="bold"
    )
    if not explained.triggers:
        console.print("There are no event triggers.")
    chosen = [trigger for trigger in explained.triggers if shows_all or not trigger.wants_another]
    most = len(chosen) if shows_all else _MOST_NOT_MATCHING
    not_matching = [trigger for trigger in chosen if trigger.outcome == "no_match"]
    left_out = set(map(id, not_matching[most:]))
    for trigger in chosen:
        if id(trigger) not in left_out:
            console.print()
            _print_trigger(console, trigger)
    if left_out:
        console.print(f"\n{len(left_out):,} more triggers do not match; -o wide shows all")
    if others := len(explained.triggers) - len(chosen):
        console.print(f"\n{others_text(others)}; -o wide shows them", style="dim")
    for verdict in explained.view.get("verdicts", ()):
        when = f"replay {verdict['replay']}" if verdict["replay"] else "on arrival"
        owner = f"{verdict['subscription']}/{verdict['trigger']}"
        reason = f": {verdict['reason']}" if verdict["reason"] else ""
        console.print(
            escape_controls(f"\n{when}, {owner}: {verdict['outcome']}{reason}"), style="dim"
        )


def _print_trigger(console: "Console", trigger: TriggerExplanation) -> None:
    mark, color = _HEADLINES[trigger.outcome]
    label = f"{mark} {trigger.subscription}/{trigger.trigger}"
    console.print(escape_controls(f"{label} {_headline(trigger)}"), style=f"bold {color}")
    for pattern in trigger.patterns:
        indent = 4
        if pattern.name is not None:
            console.print(escape_controls(f"    {_pattern_headline(pattern)}"))
            indent = 8
        _print_clauses(console, pattern.found.parts, indent)
    if trigger.key is not None:
        _print_clauses(console, [_key_clause(trigger.key)], 4)


def _key_clause(key: GroupingKey) -> ClauseResult:
    """Return the key as one more clause, which is true if the key has a value."""
    operand = Operand("key", key.value, key.error)
    holds = True if key.error is None else None
    return ClauseResult(f"key {key.text}", holds, operands=(operand,))


def _headline(trigger: TriggerExplanation) -> str:
    match trigger.outcome:
        case "matches":
            return f"matches; it gathers events ({trigger.form})" if trigger.form else "matches"
        case "paused":
            return "matches, but the subscription is paused"
        case "error" if trigger.key is not None:
            return f"matches, but is not gathered: {trigger.reason}"
        case "error" | "no_match":
            return f"does not match: {trigger.reason}"


def _pattern_headline(pattern: PatternExplanation) -> str:
    return f"{pattern.name}: {'matches' if pattern.found.match.matched else 'does not match'}"


def _print_clauses(console: "Console", parts: Sequence[ClauseResult], indent: int) -> None:
    from rich.text import Text

    rows = list(_rows(parts, indent))
    width = min(_WIDEST, max((len(" " * at + text) for at, text, _ in rows), default=0))
    for at, text, clause in rows:
        mark, color = _MARKS[clause.holds]
        line = Text(f"{' ' * at}{mark} ", style=color)
        values = ", ".join(map(_value, clause.operands))
        if not values and clause.holds is None and not clause.clauses:
            values = clause.reason or ""
        line.append(escape_controls(text.ljust(width - at) if values else text))
        line.append(escape_controls(f"  {values}" if values else ""), style="dim")
        console.print(line)


def _rows(clauses: Sequence[ClauseResult], indent: int) -> Iterator[tuple[int, str, ClauseResult]]:
    for clause in clauses:
        text = one_line(clause.text)
        yield indent, f"{_OPERATORS[clause.operator]}: {text}" if clause.operator else text, clause
        yield from _rows(clause.clauses, indent + 4)


def _value(operand: Operand) -> str:
    if operand.error is None:
        return f"{operand.text} = {shown(operand.value)}"
    is_missing = operand.error == _MISSING
    return f"{operand.text} {_MISSING}" if is_missing else one_line(operand.error)
