"""CelEvent: an event in the CEL runtime's form, converted once for many conditions."""

from collections.abc import Mapping
from typing import Any, Final

from activityctl.domain.cel.conversion import Size, to_cel
from activityctl.domain.cel.field_path import FieldPath, is_exact_number, value_at
from activityctl.domain.cel.program import environment
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError

_MAX_EVENT: Final = 4 << 20
"""With no more, the budgets of a plain condition cannot be passed, so a sieve need not count."""


class CelEvent:
    """An event as sieves take it."""

    def __init__(self, document: Mapping[str, JsonValue], activation: Any) -> None:
        self._document = document
        self.activation = activation
        """The runtime's form, with what the conditions read."""
        self._numbers: dict[FieldPath, float | None] = {}

    def number_at(self, path: FieldPath) -> float | None:
        """Return the number at a path; None when it is none, or compares inexactly."""
        if path not in self._numbers:
            value = value_at(self._document, path)
            self._numbers[path] = value if is_exact_number(value) else None
        return self._numbers[path]


def to_cel_event(
    event: Mapping[str, JsonValue], wanted: Mapping[str, Any] | None
) -> CelEvent | None:
    """Return the event ready for sieves, converted once; None when it is too much for them."""
    size = Size()
    try:
        seen = to_cel(event, wanted, size)
    except ExpressionError:
        return None
    if size.text > _MAX_EVENT:
        return None
    return CelEvent(event, environment().Activation({"event": seen}))


def merge_paths(into: dict[str, Any], paths: Mapping[str, Any]) -> None:
    """Add to the fields that are read those of another reader, None meaning all below."""
    for name, inner in paths.items():
        if inner is None:
            into[name] = None
        elif (known := into.setdefault(name, {})) is not None:
            merge_paths(known, inner)
