"""Print the explanation of an event, for `explain event`, from its JSON form."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from activityctl.domain.cel.messages import one_line
from activityctl.domain.routing.matching import others_text, shown
from activityctl.domain.values.json_form import View
from activityctl.domain.values.untrusted import escape_controls

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
_ALONE: Final[View] = {"reason": None, "operator": None, "clauses": []}


def print_explained(console: "Console", explained: View, *, shows_all: bool) -> None:
    """Print for each trigger whether it matches the event, and why.

    Unless `shows_all`, print only some of the triggers that do not match.
    """
    event, triggers = explained["event"], explained["triggers"]
    console.print(
        escape_controls(f"{event['type']}  {event['source']}  {event['id']}"), style="bold"
    )
    if not triggers:
        console.print("There are no event triggers.")
    chosen = [each for each in triggers if shows_all or not each["wantsAnother"]]
    most = len(chosen) if shows_all else _MOST_NOT_MATCHING
    not_matching = [trigger for trigger in chosen if trigger["outcome"] == "no_match"]
    left_out = set(map(id, not_matching[most:]))
    for trigger in chosen:
        if id(trigger) not in left_out:
            console.print()
            _print_trigger(console, trigger)
    if left_out:
        console.print(f"\n{len(left_out):,} more triggers do not match; -o wide shows all")
    if others := len(triggers) - len(chosen):
        console.print(f"\n{others_text(others)}; -o wide shows them", style="dim")
    for verdict in explained.get("verdicts", ()):
        when = f"replay {verdict['replay']}" if verdict["replay"] else "on arrival"
        owner = f"{verdict['subscription']}/{verdict['trigger']}"
        reason = f": {verdict['reason']}" if verdict["reason"] else ""
        console.print(
            escape_controls(f"\n{when}, {owner}: {verdict['outcome']}{reason}"), style="dim"
        )


def _print_trigger(console: "Console", trigger: View) -> None:
    mark, color = _HEADLINES[trigger["outcome"]]
    label = f"{mark} {trigger['subscription']}/{trigger['trigger']}"
    console.print(escape_controls(f"{label} {_headline(trigger)}"), style=f"bold {color}")
    for pattern in trigger["patterns"]:
        indent = 4
        if pattern["name"] is not None:
            console.print(escape_controls(f"    {_pattern_headline(pattern)}"))
            indent = 8
        _print_clauses(console, pattern["parts"], indent)
    if trigger["key"] is not None:
        _print_clauses(console, [_key_clause(trigger["key"])], 4)


def _key_clause(key: View) -> View:
    """Return the key as one more clause, which is true if the key has a value."""
    holds = True if key["error"] is None else None
    operands = [{**key, "text": "key"}]
    return {"text": f"key {key['text']}", "holds": holds, "operands": operands, **_ALONE}


def _headline(trigger: View) -> str:
    match trigger["outcome"]:
        case "matches":
            form = trigger["form"]
            return f"matches; it gathers events ({form})" if form else "matches"
        case "paused":
            return "matches, but the subscription is paused"
        case "error" if trigger["key"] is not None:
            return f"matches, but is not gathered: {trigger['reason']}"
        case _:
            return f"does not match: {trigger['reason']}"


def _pattern_headline(pattern: View) -> str:
    return f"{pattern['name']}: {'matches' if pattern['matches'] else 'does not match'}"


def _print_clauses(console: "Console", parts: Sequence[View], indent: int) -> None:
    from rich.text import Text

    rows = list(_rows(parts, indent))
    width = min(_WIDEST, max((len(" " * at + text) for at, text, _ in rows), default=0))
    for at, text, clause in rows:
        mark, color = _MARKS[clause["holds"]]
        line = Text(f"{' ' * at}{mark} ", style=color)
        values = ", ".join(map(_value, clause["operands"]))
        if not values and clause["holds"] is None and not clause["clauses"]:
            values = clause["reason"] or ""
        line.append(escape_controls(text.ljust(width - at) if values else text))
        line.append(escape_controls(f"  {values}" if values else ""), style="dim")
        console.print(line)


def _rows(clauses: Sequence[View], indent: int) -> Iterator[tuple[int, str, View]]:
    for clause in clauses:
        text, operator = one_line(clause["text"]), clause["operator"]
        yield indent, f"{_OPERATORS[operator]}: {text}" if operator else text, clause
        yield from _rows(clause["clauses"], indent + 4)


def _value(operand: View) -> str:
    text, error = operand["text"], operand["error"]
    if error is None:
        return f"{text} = {shown(operand['value'])}"
    return f"{text} {_MISSING}" if error == _MISSING else one_line(error)
