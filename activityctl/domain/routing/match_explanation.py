"""How each part of an event trigger comes out for one event, down to the values it compares."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from activityctl.domain.cel.clauses import RELATIONS, clause_of
from activityctl.domain.cel.expression import Scope, evaluate
from activityctl.domain.cel.field_path import MISSING, value_at
from activityctl.domain.cel.program import Program, compiled
from activityctl.domain.cel.source import path_source
from activityctl.domain.events.parts import (
    Event,
    FilterPart,
    Part,
    PatternPart,
    ValuePart,
    pattern_parts,
)
from activityctl.domain.events.pattern import EventPattern
from activityctl.domain.routing.matching import Match, evaluate_part, match_parts
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError


@dataclass(frozen=True, slots=True)
class Operand:
    """A value that a clause looked at; with an error there is none."""

    text: str
    value: JsonValue = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ClauseResult:
    """What a condition gave, what it looked at, and the conditions that it is made of."""

    text: str
    """In CEL."""
    holds: bool | None
    """None when it could not be evaluated."""
    reason: str | None = None
    """Of a part that does not hold, and of what could not be evaluated."""
    operator: str = ""
    """`&&`, `||` or `!`, by which it is made of its clauses; else empty."""
    operands: tuple[Operand, ...] = ()
    clauses: tuple["ClauseResult", ...] = ()


@dataclass(frozen=True, slots=True)
class MatchExplanation:
    """Whether the event wakes the trigger, and how each part came out: all hold or it does not."""

    match: Match
    parts: tuple[ClauseResult, ...]


def explain_match(
    trigger: EventPattern, params: Mapping[str, JsonValue], event: Event
) -> MatchExplanation:
    """Return how every part came out, those too that did not matter any more."""
    parts = pattern_parts(trigger)
    verdicts = tuple(_explained(part, params, event) for part in parts)
    return MatchExplanation(match_parts(parts, params, event), verdicts)


def _explained(part: Part, params: Mapping[str, JsonValue], event: Event) -> ClauseResult:
    verdict = evaluate_part(part, params, event)
    match part:
        case PatternPart() | ValuePart():
            path = part.path if isinstance(part, ValuePart) else (part.attribute,)
            looked_at = (_operand_at(("event", *path), {"event": event}),)
            return ClauseResult(part.text, verdict.holds, verdict.reason, operands=looked_at)
        case FilterPart():
            found = _clause(part.text, {"event": event, "params": params})
            return ClauseResult(
                found.text,
                verdict.holds,
                verdict.reason,
                found.operator,
                found.operands,
                found.clauses,
            )
        case _:
            assert_never(part)


def _clause(text: str, scope: Scope) -> ClauseResult:
    holds, error = _truth(text, scope)
    clause = clause_of(text)
    if clause.operator in RELATIONS:
        operands = tuple(_operands(clause.operands, scope))
        return ClauseResult(text, holds, error, operands=operands)
    if clause.operator:
        inner = tuple(_clause(operand, scope) for operand in clause.operands)
        return ClauseResult(text, holds, error, clause.operator, clauses=inner)
    return ClauseResult(text, holds, error, operands=tuple(_values_read(text, scope)))


def _truth(text: str, scope: Scope) -> tuple[bool | None, str | None]:
    try:
        value = evaluate(text, scope)
    except ExpressionError as error:
        return None, error.message
    return (value, None) if isinstance(value, bool) else (None, "gives neither true nor false")


def _operands(texts: tuple[str, ...], scope: Scope) -> Iterator[Operand]:
    """Yield both sides of a comparison, less what is written out in it."""
    for text in texts:
        program = compiled(text)
        if isinstance(program, Program) and program.shape.names:
            try:
                yield Operand(text, evaluate(text, scope))
            except ExpressionError as error:
                yield Operand(text, error=error.message)


def _values_read(text: str, scope: Scope) -> Iterator[Operand]:
    """Yield the values of the scope that an expression reads."""
    program = compiled(text)
    if isinstance(program, Program):
        for path in _paths(program.shape.paths, ()):
            yield _operand_at(path, scope)


def _paths(wanted: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, inner in wanted.items():
        if inner is None:
            yield (*above, name)
        else:
            yield from _paths(inner, (*above, name))


def _operand_at(path: tuple[str, ...], scope: Scope) -> Operand:
    value = value_at(scope, path)
    text = path_source(path)
    return Operand(text, error="is missing") if value is MISSING else Operand(text, value)
