"""Explains each part of a pattern for one event, down to the values that it compares."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
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
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Operand:
    """A value that a clause compared; with an error there is no value."""

    text: str
    value: JsonValue = None
    error: str | None = None


@frozen_dataclass
class ClauseResult:
    """The result of a condition, the values it compared, and the clauses that it consists of."""

    text: str
    """The condition in CEL."""
    holds: bool | None
    """None when it could not be evaluated."""
    reason: str | None = None
    """Why it does not hold or could not be evaluated."""
    operator: str = ""
    """`&&`, `||` or `!`, which joins its clauses; else empty."""
    operands: tuple[Operand, ...] = ()
    clauses: tuple["ClauseResult", ...] = ()


@frozen_dataclass
class MatchExplanation:
    """Whether the event matches the pattern, and the result of each part."""

    match: Match
    parts: tuple[ClauseResult, ...]


def explain_match(
    trigger: EventPattern, params: Mapping[str, JsonValue], event: Event
) -> MatchExplanation:
    """Return the result of every part, also of those after the first one that is false."""
    parts = pattern_parts(trigger)
    results = tuple(_explain_part(part, params, event) for part in parts)
    return MatchExplanation(match_parts(parts, params, event), results)


def _explain_part(part: Part, params: Mapping[str, JsonValue], event: Event) -> ClauseResult:
    result = evaluate_part(part, params, event)
    match part:
        case PatternPart() | ValuePart():
            path = part.path if isinstance(part, ValuePart) else (part.attribute,)
            operands = (_operand_at(("event", *path), {"event": event}),)
            return ClauseResult(part.text, result.holds, result.reason, operands=operands)
        case FilterPart():
            clause = _explain_clause(part.text, {"event": event, "params": params})
            return replace(clause, holds=result.holds, reason=result.reason)
        case _:
            assert_never(part)


def _explain_clause(text: str, scope: Scope) -> ClauseResult:
    holds, error = _evaluate_bool(text, scope)
    clause = clause_of(text)
    if clause.operator in RELATIONS:
        operands = tuple(_operands(clause.operands, scope))
        return ClauseResult(text, holds, error, operands=operands)
    if clause.operator:
        inner = tuple(_explain_clause(operand, scope) for operand in clause.operands)
        return ClauseResult(text, holds, error, clause.operator, clauses=inner)
    return ClauseResult(text, holds, error, operands=tuple(_values_read(text, scope)))


def _evaluate_bool(text: str, scope: Scope) -> tuple[bool | None, str | None]:
    try:
        value = evaluate(text, scope)
    except ExpressionError as error:
        return None, error.message
    return (value, None) if isinstance(value, bool) else (None, "is not true or false")


def _operands(texts: tuple[str, ...], scope: Scope) -> Iterator[Operand]:
    """Yield the sides of a comparison that are not literals."""
    for text in texts:
        program = compiled(text)
        if isinstance(program, Program) and program.shape.names:
            try:
                yield Operand(text, evaluate(text, scope))
            except ExpressionError as error:
                yield Operand(text, error=error.message)


def _values_read(text: str, scope: Scope) -> Iterator[Operand]:
    """Yield the values that an expression reads from the scope."""
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
