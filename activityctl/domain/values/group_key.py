"""Group key: the stored text of a rendered key, by which runs or events are grouped."""

import hashlib
from decimal import Decimal
from typing import Final

from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.untrusted import storable

_FIRST_TEXT: Final = 2**64
LONGEST_KEY: Final = 200
"""The most characters of a stored key; an index entry of Postgres may have 2.7 kB."""


def group_key(value: JsonValue) -> str:
    """Return the stored text of a key, which is `key_text` with two exceptions.

    A text over LONGEST_KEY is cut to that length and ends in its SHA-256. Characters that
    Postgres refuses are replaced.
    """
    key = storable(key_text(value))
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: LONGEST_KEY - len(digest) - 1]}…{digest}"


def key_text(value: JsonValue) -> str:
    """Return the one text of a value as a key or part of a key.

    A string is its own text; 7 and 7.0 are both `7`, and so is the string "7". Other values are
    canonical JSON with sorted keys, in which numbers are written in the same way.
    """
    return value if isinstance(value, str) else canonical_json(_with_plain_numbers(value))


def _with_plain_numbers(value: JsonValue) -> JsonValue:
    """Return the value with each float that is a whole number as an integer.

    From 2^64 on, CEL sees whole numbers as text. There, the digits are those that Postgres
    returns for a number that was written with an exponent.
    """
    match value:
        case float() if value.is_integer():
            return int(value) if abs(value) < _FIRST_TEXT else int(Decimal(repr(value)))
        case dict():
            return {key: _with_plain_numbers(item) for key, item in value.items()}
        case list():
            return [_with_plain_numbers(item) for item in value]
        case _:
            return value
