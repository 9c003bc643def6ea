"""Makes untrusted text and JSON fit for Postgres and the terminal."""

import json
import re
import unicodedata
from typing import Any, Final, NoReturn

from activityctl.domain.values.model import JsonValue

MAX_JSON_DEPTH: Final = 64
"""Deeper JSON is refused: untrusted data must not exhaust the stack."""
REPLACEMENT: Final = "\ufffd"

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL refuses these characters in text and jsonb."""
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST_INTEGER: Final = len("-9223372036854775808") + 1


def storable(text: str) -> str:
    """Return the text with each NUL and lone surrogate replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:  # this takes far less time than the search
        return text
    return _UNSTORABLE.sub(REPLACEMENT, text)


def printable(text: str) -> str:
    """Return the text with each control character, except tab and line ends, as U+FFFD."""
    return _CONTROL.sub(REPLACEMENT, text)


def escape_controls(text: str) -> str:
    """Return the text with control, escape and bidirectional characters made visible.

    Line ends stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_harmless(char) else _shown(char) for char in text)


def escape_line(text: str) -> str:
    """Return the text on one line, with line ends and all that `escape_controls` escapes shown."""
    return escape_controls(text).replace("\n", "\\n")


def _is_harmless(char: str) -> bool:
    return char == "\n" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def _shown(char: str) -> str:
    code = ord(char)
    if char == "\t":
        return "    "
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004  # Latin-1


def parse_storable_json(text: str) -> JsonValue:
    """Return the value of a JSON text; it can be stored as jsonb.

    Raise ValueError for invalid JSON, NaN and infinities, NUL and lone surrogates in strings
    and keys, and nesting over MAX_JSON_DEPTH. Integers outside -2^63..2^64-1 become strings
    of their decimal digits. The last of equal keys wins.
    """
    try:
        value = json.loads(
            text, parse_int=_integer, parse_float=_finite, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ValueError(_too_deep()) from None
    _check_storable(value)
    return value


def _integer(text: str) -> int | str:
    if len(text) > _LONGEST_INTEGER:  # int() is quadratic, and refuses over 4300 digits
        return text
    value = int(text)
    return value if -(2**63) <= value < 2**64 else text


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _too_deep() -> str:
    return f"nested deeper than {MAX_JSON_DEPTH} levels"


def _check_storable(value: JsonValue) -> None:
    level: list[Any] = [value]
    depth = 0
    while level:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, str) and _UNSTORABLE.search(item):
                raise ValueError("a string contains NUL or half a surrogate pair")
            if isinstance(item, dict):
                inner.extend(item.keys())
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
            if depth >= MAX_JSON_DEPTH and isinstance(item, dict | list):
                raise ValueError(_too_deep())
        level = inner
        depth += 1
