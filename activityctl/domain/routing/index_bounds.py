"""Bounds: numbers that filters compare a field of the event with, for ruling out listeners.

The bound of `event.data.amount > params.threshold` with a threshold of 10 is `amount > 10`.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from activityctl.domain.cel.clauses import clause_of
from activityctl.domain.cel.field_path import FieldPath, is_exact_number
from activityctl.domain.routing.index_operand import (
    constant_value,
    event_expression,
    event_path,
)
from activityctl.domain.values.model import JsonValue

_HOLDS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Comparison(NamedTuple):
    """What of the event is compared, and the operator."""

    operand: FieldPath | str
    """The path of the field, or the text of an expression over the event."""
    sign: str


Bounds = Mapping[Comparison, float]
"""The number that each field is compared with; all comparisons must hold."""


def bounds_of(
    conditions: Sequence[str], params: Mapping[str, JsonValue]
) -> dict[Comparison, float]:
    """Return the bounds of conditions that must all hold.

    Outside of a bound a condition is false and cannot fail.
    """
    found: dict[Comparison, float] = {}
    for text in conditions:
        for comparison, number in _bounds(text, params):
            found.setdefault(comparison, number)
    return found


def _bounds(text: str, params: Mapping[str, JsonValue]) -> Iterator[tuple[Comparison, float]]:
    clause = clause_of(text)
    if clause.operator not in _HOLDS:
        return
    left, right = clause.operands
    for sign, field, value in (
        (clause.operator, left, right),
        (_MIRRORED[clause.operator], right, left),
    ):
        if (operand := event_path(field) or event_expression(field)) is not None:
            number = constant_value(value, params)
            if is_exact_number(number):
                yield Comparison(operand, sign), number


def common_bounds(bounds: Sequence[Bounds]) -> dict[Comparison, float]:
    """Return the widest bounds; outside of them all of these conditions are false."""
    shared = {*bounds[0]}.intersection(*bounds[1:])
    return {
        comparison: (min if comparison.sign in {">", ">="} else max)(
            each[comparison] for each in bounds
        )
        for comparison in shared
    }


def is_out_of_bounds(bounds: Bounds, number_at: Callable[[FieldPath | str], float | None]) -> bool:
    """Return whether an event is outside of a bound.

    A field that is not a number is never outside, since its filter fails and that is reported.
    """
    for (operand, sign), number in bounds.items():
        value = number_at(operand)
        if value is not None and not _HOLDS[sign](value, number):
            return True
    return False
