"""Converts JSON to CEL values and back, and measures the size; it does not evaluate."""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from activityctl.domain.cel.evaluator import UNLIMITED, EvaluatesElsewhere
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.untrusted import storable
from activityctl.errors import ExpressionBudgetError, ExpressionError

MAX_DEPTH: Final = 128
"""The most levels of data in and out; the runtime crashes at some thousand levels."""
MAX_NODES: Final = 500_000
"""The most values in a result, including those inside lists and maps."""
MAX_RESULT_TEXT: Final = 16 << 20
"""The most characters in a result, including keys."""

Paths = Mapping[str, "Paths | None"]
"""The wanted fields of a value, and for each its wanted fields; None means all."""


@dataclass(slots=True)
class Size:
    """The size of the data that goes into an evaluation or comes out of it."""

    text: int = 0
    """Characters of all strings and keys, plus one for each value."""
    nodes: int = 0
    longest_text: int = 0
    longest_list: int = 0
    """Items of the longest list or map."""
    most: int = UNLIMITED
    """The most characters and values that may be converted here."""


def to_cel(value: Any, wanted: Paths | None, size: Size, depth: int = 0) -> Any:
    """Return the wanted part of a value in the runtime's form, and add its size to `size`.

    Integers outside -2^63..2^64-1 become strings of their decimal digits. NUL and lone
    surrogates become U+FFFD: the runtime cuts a text at the former and fails at the latter.
    Raise EvaluatesElsewhere for more data than `size.most`.
    """
    size.text += 1
    if isinstance(value, str):
        return _text_to_cel(value, size)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else _digits(value)
    if depth >= MAX_DEPTH:
        raise ExpressionBudgetError(f"the data is nested deeper than {MAX_DEPTH}")
    if isinstance(value, Mapping):
        return _map_to_cel(value, wanted, size, depth)
    if isinstance(value, list | tuple):
        if size.text + len(value) > size.most:
            raise EvaluatesElsewhere
        size.longest_list = max(size.longest_list, len(value))
        return [to_cel(item, None, size, depth + 1) for item in value]
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    raise ExpressionError(f"a {type(value).__name__} is not JSON")


def _map_to_cel(
    value: Mapping[Any, Any], wanted: Paths | None, size: Size, depth: int
) -> dict[str, Any]:
    size.longest_list = max(size.longest_list, len(value))
    if wanted is None:
        if size.text + len(value) > size.most:
            raise EvaluatesElsewhere
        return {
            _text_to_cel(str(key), size): to_cel(item, None, size, depth + 1)
            for key, item in value.items()
        }
    return {
        key: to_cel(value[key], inner, size, depth + 1)
        for key, inner in wanted.items()
        if key in value
    }


def _text_to_cel(text: str, size: Size) -> str:
    size.text += len(text)
    size.longest_text = max(size.longest_text, len(text))
    return text if text.isascii() and "\0" not in text else storable(text)


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:
        raise ExpressionBudgetError("the data contains an integer of over 4300 digits") from None


def from_cel(value: Any) -> JsonValue:
    """Return the JSON of a Value of the runtime; the Value must not be an error.

    Times become RFC 3339 with Z, durations seconds as in `90s`, and bytes base64. Maps are
    sorted by key, since the runtime's order differs from process to process. Raise
    ExpressionError for a value that JSON does not have, ExpressionBudgetError for a result
    that is too large.
    """
    return _to_json(value, Size(), 0)


def _to_json(value: Any, size: Size, depth: int) -> JsonValue:
    plain = value.value()
    size.nodes += 1
    if isinstance(plain, list | dict):
        if depth >= MAX_DEPTH:
            raise ExpressionBudgetError(f"the result is nested deeper than {MAX_DEPTH}")
        if isinstance(plain, list):
            return [_to_json(item, size, depth + 1) for item in plain]
        entries = {_key(key, size): _to_json(item, size, depth + 1) for key, item in plain.items()}
        return {key: entries[key] for key in sorted(entries)}
    result = plain_to_json(plain)
    if isinstance(result, str):
        size.text += len(result)
    if size.nodes > MAX_NODES:
        raise ExpressionBudgetError(f"the result has more than {MAX_NODES} values")
    if size.text > MAX_RESULT_TEXT:
        raise ExpressionBudgetError(f"the result has more than {MAX_RESULT_TEXT} characters")
    return result


def _key(key: Any, size: Size) -> str:
    if not isinstance(key, str):
        raise ExpressionError(f"a map with the key {key!r} is not JSON; keys are strings")
    size.text += len(key)
    return storable(key)


def plain_to_json(plain: Any) -> JsonValue:  # noqa: PLR0911 - one return per type
    """Return the JSON of a plain value of the runtime; raise ExpressionError if there is none."""
    match plain:
        case None | bool() | int():
            return plain
        case str():
            return storable(plain)
        case float():
            if not math.isfinite(plain):
                raise ExpressionError(f"the number {plain} is not JSON")
            return plain
        case datetime():
            return plain.isoformat().replace("+00:00", "Z")
        case timedelta():
            return _seconds(plain)
        case bytes() | bytearray():
            return base64.b64encode(plain).decode()
        case list():
            return [plain_to_json(item) for item in plain]
        case dict():
            return {_key(key, Size()): plain_to_json(item) for key, item in plain.items()}
        case _:
            raise ExpressionError("a type is not JSON")


def _seconds(duration: timedelta) -> str:
    microseconds = duration // timedelta(microseconds=1)
    whole, fraction = divmod(abs(microseconds), 1_000_000)
    digits = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{'-' if microseconds < 0 else ''}{whole}{digits}s"
