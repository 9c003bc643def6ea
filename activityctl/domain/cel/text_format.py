"""Writes values as text for the function `format`, as CEL's library of string functions does.

The source of each rule is the CEL specification, doc/extensions/strings.md.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from activityctl.domain.cel.conversion import plain_to_json

_DIRECTIVE: Final = re.compile(r"%(?:\.([0-9]{1,2}))?([sdfeboxX%])|%")
_INVALID_BYTES: Final = re.compile("[\udc80-\udcff]+")
_DEFAULT_PRECISION: Final = "6"


def format_text(pattern: str, values: Sequence[Any], check_length: Callable[[int], None]) -> str:
    """Return the pattern with each directive replaced by the next value.

    Equal values give the same text in every process: the entries of a map are sorted.
    `check_length` is called with the length of the inserted texts, and may raise.
    """
    rest, length = iter(values), 0

    def fill(found: re.Match[str]) -> str:
        nonlocal length
        text = _directive_text(pattern, found, rest, len(values))
        length += len(text)
        check_length(length)
        return text

    return _DIRECTIVE.sub(fill, pattern)


def _directive_text(pattern: str, found: re.Match[str], rest: Iterator[Any], count: int) -> str:
    precision, kind = found[1], found[2]
    if kind == "%":
        return "%"
    if kind is None:
        raise ValueError(
            f"format supports %s %d %f %.2f %e %b %o %x %X %%, not {pattern[found.start() :]:.3}"
        )
    try:
        value = next(rest)
    except StopIteration:
        raise ValueError(f"format needs more than the {count} given values") from None
    if kind == "s":
        return _text(value)
    return _number(kind, precision, value)


def _text(value: Any) -> str:  # noqa: PLR0911 - one return per type
    match value:
        case str():
            return value
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return _decimal(value)
        case bytes() | bytearray():
            # Invalid bytes in a row become one U+FFFD.
            return _INVALID_BYTES.sub("\ufffd", bytes(value).decode(errors="surrogateescape"))
        case list() | tuple():
            return f"[{', '.join(map(_text, value))}]"
        case dict():
            entries = sorted((_text(key), _text(item)) for key, item in value.items())
            return "{" + ", ".join(f"{key}: {item}" for key, item in entries) + "}"
        case int() | datetime() | timedelta():
            return str(plain_to_json(value))
        case _:
            raise ValueError("%s takes no such value")


def _decimal(number: float) -> str:
    """Return a number in decimal digits without insignificant zeros, such as 7 for 7.0."""
    if not math.isfinite(number):
        return _not_finite(number)
    text = f"{Decimal(repr(number)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _not_finite(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def _number(kind: str, precision: str | None, value: Any) -> str:
    if kind in "xX" and isinstance(value, str | bytes | bytearray):
        digits = (value.encode() if isinstance(value, str) else bytes(value)).hex()
        return digits.upper() if kind == "X" else digits
    if kind == "b" and isinstance(value, bool):
        return str(int(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"%{kind} needs a number")  # noqa: TRY004 - the runtime shows ValueErrors
    if kind in "fe":
        if isinstance(value, float) and not math.isfinite(value):
            return _not_finite(value)
        return f"{value:.{precision or _DEFAULT_PRECISION}{kind}}"
    if kind == "d":
        return _decimal(value) if isinstance(value, float) else str(value)
    if not isinstance(value, int):
        raise ValueError(f"%{kind} needs an int")  # noqa: TRY004 - as above
    return f"{value:{kind}}"
