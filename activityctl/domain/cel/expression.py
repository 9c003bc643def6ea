"""The one expression language, CEL: check, evaluate, render; everybody uses it through here.

Bare CEL stands in `filter`, `when` and `until`, `${ … }` inside any other string.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from activityctl.domain.cel.program import MAX_SOURCE_BYTES, NAMES, Fault, Program, compiled
from activityctl.domain.cel.templates import (
    OPEN,
    TemplateExpression,
    UnclosedExpression,
    has_expression,
    template_parts,
)
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionBudgetError, ExpressionError

__all__ = [
    "MAX_SOURCE_BYTES",
    "NAMES",
    "ExpressionProblem",
    "Scope",
    "TemplateProblem",
    "check_expression",
    "check_template",
    "evaluate",
    "evaluate_condition",
    "has_expression",
    "is_true",
    "render",
]

MAX_RENDERED: Final = 16 << 20
"""Characters that one string may have once rendered."""

Scope = Mapping[str, Any]
"""JSON values by name; `now` is an aware datetime, a CEL timestamp."""


@dataclass(frozen=True, slots=True)
class ExpressionProblem:
    """Why an expression cannot be used; the offset counts characters of the source from 0."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """Why a string of a template cannot be used; the offset counts characters of that string."""

    path: tuple[str | int, ...]
    offset: int
    reason: str


def check_expression(source: str, names: Collection[str] = NAMES) -> ExpressionProblem | None:
    """Return what is wrong with a source where only these names can be seen.

    Found: syntax, unknown names and functions, types as far as they are known without
    data, length and depth.
    """
    program = compiled(source)
    if isinstance(program, Fault):
        return ExpressionProblem(program.offset, program.reason)
    for name, offset in program.shape.names.items():
        if name not in names:
            return ExpressionProblem(offset, f"`{name}` is not available here")
    return None


def evaluate(source: str, scope: Scope) -> JsonValue:
    """Return the expression's value as JSON.

    Integers of 2^64 and above are seen as their decimal digits (`big.add`, `big.compare`).
    Times come back in RFC 3339 with Z, durations as in `90s`, bytes in base64. Raises
    ExpressionError, and ExpressionBudgetError when it is too long, too deep or too much work.
    """
    return _value(compiled(source), scope)


def evaluate_condition(source: str, scope: Scope) -> bool:
    """Return whether the condition holds; what is not a bool is an ExpressionError."""
    return is_true(compiled(source), scope)


def is_true(condition: Program | Fault, scope: Scope) -> bool:
    """Return as `evaluate_condition` does, the condition being compiled."""
    value = _value(condition, scope)
    if not isinstance(value, bool):
        raise ExpressionError(f"the condition gave {_kind(value)}, not true or false")
    return value


def _value(program: Program | Fault, scope: Scope) -> JsonValue:
    if isinstance(program, Fault):
        error = ExpressionBudgetError if program.is_budget else ExpressionError
        raise error(program.reason)
    return program.evaluate(scope)


def _kind(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case str():
            return f"the string {value if len(value) < 40 else value[:39] + '…'!r}"  # noqa: PLR2004  # a line
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case _:
            return "a map"


def render(template: JsonValue, scope: Scope) -> JsonValue:
    """Return the template with its expressions evaluated; keys stay as they are.

    A string that is one whole `${ … }` becomes the value itself; within other text a value
    is put in as text: null as nothing, lists and maps as compact JSON. `$${` gives `${`.
    """
    match template:
        case str():
            return _rendered(template, scope) if OPEN in template else template
        case Mapping():
            return {key: render(value, scope) for key, value in template.items()}
        case list() | tuple():
            return [render(value, scope) for value in template]
        case _:
            return template


def _rendered(text: str, scope: Scope) -> JsonValue:
    parts = template_parts(text)
    if len(parts) == 1 and isinstance(parts[0], TemplateExpression):
        return evaluate(parts[0].source, scope)
    texts: list[str] = []
    for part in parts:
        match part:
            case str():
                texts.append(part)
            case TemplateExpression():
                texts.append(_as_text(evaluate(part.source, scope)))
            case UnclosedExpression():
                raise ExpressionError(_UNCLOSED)
    if sum(map(len, texts)) > MAX_RENDERED:
        raise ExpressionBudgetError(f"the rendered text has more than {MAX_RENDERED} characters")
    return "".join(texts)


_UNCLOSED: Final = "`${` is not closed; write `$${` for the characters themselves"


def _as_text(value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def check_template(template: JsonValue, names: Collection[str] = NAMES) -> list[TemplateProblem]:
    """Return what is wrong with the expressions of a template where these names can be seen."""
    return list(_problems(template, names, ()))


def _problems(
    template: JsonValue, names: Collection[str], path: tuple[str | int, ...]
) -> Iterator[TemplateProblem]:
    match template:
        case str():
            yield from _string_problems(template, names, path)
        case Mapping():
            for key, value in template.items():
                yield from _problems(value, names, (*path, key))
        case list() | tuple():
            for index, value in enumerate(template):
                yield from _problems(value, names, (*path, index))


def _string_problems(
    text: str, names: Collection[str], path: tuple[str | int, ...]
) -> Iterator[TemplateProblem]:
    for part in template_parts(text) if OPEN in text else ():
        match part:
            case UnclosedExpression():
                yield TemplateProblem(path, part.offset, _UNCLOSED)
            case TemplateExpression() if problem := check_expression(part.source, names):
                yield TemplateProblem(path, part.offset + problem.offset, problem.reason)
