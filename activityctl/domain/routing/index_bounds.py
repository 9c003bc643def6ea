"""Bounds: the numbers that a field of the event is compared with, so that none need be tried.

Of `event.data.amount > params.threshold` with a threshold of 10 the bound is `amount > 10`.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from activityctl.domain.cel.clauses import clause_of
from activityctl.domain.cel.field_path import FieldPath, is_exact_number
from activityctl.domain.routing.index_operand import constant_value, event_path
from activityctl.domain.values.model import JsonValue

_HOLDS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TURNED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Comparison(NamedTuple):
    """Which field is compared, and how."""

    path: FieldPath
    sign: str


Bounds = Mapping[Comparison, float]
"""What an event's fields are compared with; all must hold."""


def bounds_of(
    conditions: Sequence[str], params: Mapping[str, JsonValue]
) -> dict[Comparison, float]:
    """Return the bounds of conditions that all hold: false, and failing not, outside of any."""
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
        (_TURNED[clause.operator], right, left),
    ):
        if (path := event_path(field)) is not None:
            number = constant_value(value, params)
            if is_exact_number(number):
                yield Comparison(path, sign), number


def common_bounds(bounds: Sequence[Bounds]) -> dict[Comparison, float]:
    """Return the bounds outside of which all of these conditions are false."""
    shared = {*bounds[0]}.intersection(*bounds[1:])
    return {
        comparison: (min if comparison.sign in {">", ">="} else max)(
            one[comparison] for one in bounds
        )
        for comparison in shared
    }


def is_out_of_bounds(bounds: Bounds, number_at: Callable[[FieldPath], float | None]) -> bool:
    """Whether an event is outside of a bound; what is no number is not, since it fails."""
    for (path, sign), number in bounds.items():
        value = number_at(path)
        if value is not None and not _HOLDS[sign](value, number):
            return True
    return False
