"""Checks, evaluates and renders CEL expressions; all other packages use CEL through this module.

`filter`, `when` and `until` contain plain CEL; other strings contain it as `${ … }`.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from activityctl.domain.cel.program import MAX_SOURCE_BYTES, NAMES, Fault, Program, compiled
from activityctl.domain.cel.templates import (
    ESCAPED,
    OPEN,
    TemplateExpression,
    UnclosedExpression,
    has_expression,
    template_parts,
)
from activityctl.domain.values.group_key import group_key, key_text
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionBudgetError, ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass

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
    "json_text",
    "render",
    "render_key",
]

MAX_RENDERED: Final = 16 << 20
"""The most characters of one rendered string."""
_SHORT_TEXT: Final = 40
"""Characters of a value in a message."""

Scope = Mapping[str, Any]
"""JSON values by name; `now` is an aware datetime, a CEL timestamp."""


@frozen_dataclass
class ExpressionProblem:
    """Why an expression cannot be used; the offset counts characters of the source from 0."""

    offset: int
    reason: str


@frozen_dataclass
class TemplateProblem:
    """Why a string of a template cannot be used; the offset counts characters of that string."""

    path: tuple[str | int, ...]
    offset: int
    reason: str
    at_key: bool = False
    """Whether the key at the path is wrong, not its value; the offset counts in the key then."""


def check_expression(source: str, names: Collection[str] = NAMES) -> ExpressionProblem | None:
    """Return the first problem of a source that may use only these names; None if there is none.

    The problems are: syntax, unknown names and functions, types as far as they are known
    without data, length and depth.
    """
    program = compiled(source)
    if isinstance(program, Fault):
        return ExpressionProblem(program.offset, program.reason)
    for name, offset in program.shape.names.items():
        if name not in names:
            return ExpressionProblem(offset, f"`{name}` is not available here")
    return None


def evaluate(source: str, scope: Scope) -> JsonValue:
    """Return the value of an expression as JSON.

    The expression sees integers of 2^64 and above as strings of their decimal digits, for
    `big.add` and `big.compare`. Times are returned in RFC 3339 with Z, durations as in `90s`,
    bytes in base64. Raise ExpressionError for a failure, ExpressionBudgetError for an
    expression that is too long, too deep or too much work.
    """
    return _value(compiled(source), scope)


def evaluate_condition(source: str, scope: Scope) -> bool:
    """Return the value of a condition; raise ExpressionError if it is not a bool."""
    return is_true(compiled(source), scope)


def is_true(condition: Program | Fault, scope: Scope) -> bool:
    """Return the value of a compiled condition, like `evaluate_condition`."""
    value = _value(condition, scope)
    if not isinstance(value, bool):
        raise ExpressionError(f"the condition returned {_described(value)}, not true or false")
    return value


def _value(program: Program | Fault, scope: Scope) -> JsonValue:
    if isinstance(program, Fault):
        error = ExpressionBudgetError if program.is_budget else ExpressionError
        raise error(program.reason)
    return program.evaluate(scope)


def _described(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case str():
            return f"the string {_shortened(value)!r}"
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case _:
            return "a map"


def _shortened(text: str) -> str:
    return text if len(text) < _SHORT_TEXT else text[: _SHORT_TEXT - 1] + "…"


def render(template: JsonValue, scope: Scope) -> JsonValue:
    """Return the template with its expressions evaluated; those in keys are not.

    `check_template` refuses expressions in keys. A string that consists of one `${ … }` becomes
    the value itself. Within other text, a value is inserted as text: null as the empty text,
    lists and maps as compact JSON. `$${` becomes `${`, in keys too.
    """
    match template:
        case str():
            return _rendered(template, scope) if OPEN in template else template
        case Mapping():
            return {
                key.replace(ESCAPED, OPEN): render(value, scope) for key, value in template.items()
            }
        case list() | tuple():
            return [render(value, scope) for value in template]
        case _:
            return template


def render_key(template: str, scope: Scope) -> str:
    """Return the stored text of a key, by which runs or events are grouped.

    Keys are compared as text. A text is its own text, a number is written without insignificant
    zeros (7, 7.0 and "7" are one key), and any other value is canonical JSON with numbers of the
    same form.
    """
    parts = template_parts(template)
    if len(parts) == 1 and isinstance(parts[0], TemplateExpression):
        return group_key(evaluate(parts[0].source, scope))
    return group_key(_joined(parts, scope, lambda value: "" if value is None else key_text(value)))


def _rendered(text: str, scope: Scope) -> JsonValue:
    parts = template_parts(text)
    if len(parts) == 1 and isinstance(parts[0], TemplateExpression):
        return evaluate(parts[0].source, scope)
    return _joined(parts, scope, json_text)


def _joined(
    parts: Sequence[str | TemplateExpression | UnclosedExpression],
    scope: Scope,
    text_of: Callable[[JsonValue], str],
) -> str:
    texts: list[str] = []
    for part in parts:
        match part:
            case str():
                texts.append(part)
            case TemplateExpression():
                texts.append(text_of(evaluate(part.source, scope)))
            case UnclosedExpression():
                raise ExpressionError(_UNCLOSED)
    if sum(map(len, texts)) > MAX_RENDERED:
        raise ExpressionBudgetError(f"the rendered text has more than {MAX_RENDERED} characters")
    return "".join(texts)


_IN_KEY: Final = (
    "a key cannot contain ${ … }; build the whole map in an expression, as in"
    " `${ {params.name: 1} }`, or write $${ for the characters"
)
_UNCLOSED: Final = "`${` is not closed; write `$${` for a literal `${`"


def json_text(value: JsonValue) -> str:
    """Return a value as text within other text: null as nothing, lists and maps as JSON.

    Equal maps give the same text: their keys are sorted.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def check_template(template: JsonValue, names: Collection[str] = NAMES) -> list[TemplateProblem]:
    """Return the problems of the expressions in a template that may use only these names."""
    return list(_problems(template, names, ()))


def _problems(
    template: JsonValue, names: Collection[str], path: tuple[str | int, ...]
) -> Iterator[TemplateProblem]:
    match template:
        case str():
            yield from _string_problems(template, names, path)
        case Mapping():
            for key, value in template.items():
                if has_expression(key):
                    yield TemplateProblem((*path, key), key.index(OPEN), _IN_KEY, at_key=True)
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
