"""Keeps numbers as they are in jsonb, which has one kind of number, without exponents.

Postgres returns 1e16 as 10000000000000000, which would be an integer. With a fraction, as in
10000000000000000.0, it stays a float.
"""

import re
from decimal import Decimal
from math import isfinite
from typing import Final

_STRING_OR_FLOAT: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|-?[0-9]++(?:\.[0-9]++)?e\+[0-9]++')
_LONGEST_INTEGER: Final = len(str(-(2**63)))


def with_fractions(text: str) -> str:
    """Return a JSON text of ours with its large floats in digits that end in `.0`."""
    return _STRING_OR_FLOAT.sub(_in_digits, text) if "e+" in text else text


def _in_digits(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith('"') else f"{Decimal(found[0]):f}.0"


def parse_integer(digits: str) -> int | float:
    """Return an integer that Postgres returned.

    Earlier versions wrote large floats without a fraction. So an integer of more than 64 bits
    that has the digits of a float is one.
    """
    value = int(digits) if len(digits) <= _LONGEST_INTEGER else None
    if value is not None and -(2**63) <= value < 2**64:
        return value
    number = float(digits)
    is_float = isfinite(number) and Decimal(repr(number)) == Decimal(digits)
    return number if is_float else int(digits)
