"""Values at a path of fields, as CEL sees them; what they mean is not known here."""

from collections.abc import Mapping
from typing import Any, Final

from activityctl.domain.cel.conversion import Size, to_cel
from activityctl.domain.values.model import JsonValue

FieldPath = tuple[str, ...]

_EXACT_INTEGERS: Final = 2**53


class Missing:
    """What stands for a field that is not there."""


MISSING: Final = Missing()


def value_at(document: Mapping[str, JsonValue], path: FieldPath) -> Any:
    """Return the value as CEL sees it, or MISSING; lists and maps come as they are."""
    found: Any = document
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return MISSING
        found = found[name]
    return found if isinstance(found, Mapping | list) else to_cel(found, None, Size())


def is_exact_number(value: Any) -> bool:
    """Whether CEL compares this number with all others as mathematics does.

    It compares an int with a double as doubles, which from 2^53 on are not exact.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -_EXACT_INTEGERS < value < _EXACT_INTEGERS
