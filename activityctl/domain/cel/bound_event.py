"""CelEvent: an event converted for the CEL runtime, once for many conditions of prefilters."""

from collections.abc import Mapping
from typing import Any, Final

from activityctl.domain.cel.conversion import Size, to_cel
from activityctl.domain.cel.evaluator import EvaluatesElsewhere
from activityctl.domain.cel.field_path import FieldPath, is_exact_number, value_at
from activityctl.domain.cel.program import Program, compiled, environment
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError

_MAX_EVENT: Final = 1 << 13
"""Characters and values that the conditions of a prefilter may read: up to 128 conditions are
evaluated at once, and cannot be stopped."""
_MAX_EVENT_FOR_PATTERNS: Final = 1 << 10
"""The same if a condition has a regular expression."""


class CelEvent:
    """An event in the form that prefilters use."""

    def __init__(self, document: Mapping[str, JsonValue], activation: Any) -> None:
        self._document = document
        self.activation = activation
        """The runtime's form of the event, with the fields that the conditions read."""
        self._numbers: dict[FieldPath | str, float | None] = {}

    def number_at(self, operand: FieldPath | str) -> float | None:
        """Return the number at a path, or of an expression over the event.

        None if it is no number or not exactly comparable.
        """
        if operand not in self._numbers:
            if isinstance(operand, str):
                value = expression_value(operand, self._document, otherwise=None)
            else:
                value = value_at(self._document, operand)
            self._numbers[operand] = value if is_exact_number(value) else None
        return self._numbers[operand]


def to_cel_event(
    event: Mapping[str, JsonValue], paths: Mapping[str, Any] | None, *, has_patterns: bool = False
) -> CelEvent | None:
    """Return the event for prefilters; None if it is too large or cannot be converted.

    `paths` are the fields that are converted; None means all. `has_patterns` says whether a
    condition has a regular expression.
    """
    size = Size(most=_MAX_EVENT)
    try:
        converted = to_cel(event, paths, size)
    except (ExpressionError, EvaluatesElsewhere):
        return None
    if size.text > (_MAX_EVENT_FOR_PATTERNS if has_patterns else _MAX_EVENT):
        return None
    return CelEvent(event, environment().Activation({"event": converted}))


def expression_value(source: str, document: Mapping[str, JsonValue], *, otherwise: object) -> Any:
    """Return the value of an expression over the event; `otherwise` when it fails."""
    program = compiled(source)
    if not isinstance(program, Program):
        return otherwise
    try:
        return program.evaluate({"event": document})
    except ExpressionError:
        return otherwise


def merge_paths(into: dict[str, Any], paths: Mapping[str, Any]) -> None:
    """Add the paths of a condition to the paths that are read; None means all fields below."""
    for name, inner in paths.items():
        if inner is None:
            into[name] = None
        elif (known := into.setdefault(name, {})) is not None:
            merge_paths(known, inner)
