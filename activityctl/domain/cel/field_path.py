"""Reads the value at a path of fields, as CEL sees it."""

from collections.abc import Mapping
from typing import Any, Final

from activityctl.domain.cel.conversion import Size, to_cel
from activityctl.domain.values.model import JsonValue

FieldPath = tuple[str, ...]

_EXACT_INTEGERS: Final = 2**53


class Missing:
    """The type of MISSING."""


MISSING: Final = Missing()
"""The value of a field that does not exist."""


def value_at(document: Mapping[str, JsonValue], path: FieldPath) -> Any:
    """Return the value as CEL sees it, or MISSING; lists and maps are not converted."""
    found: Any = document
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return MISSING
        found = found[name]
    return found if isinstance(found, Mapping | list) else to_cel(found, None, Size())


def is_exact_number(value: Any) -> bool:
    """Return whether CEL compares this number exactly with any other number.

    CEL compares an int with a double as doubles, which are not exact from 2^53 on.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -_EXACT_INTEGERS < value < _EXACT_INTEGERS
