"""JSON text into plain values, strictly, before anything is stored; YAML is read elsewhere."""

import json
import re
from math import isinf
from typing import Final, NoReturn

from activityctl.errors import InvalidInputError
from activityctl.ports import JsonValue

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 4_000

# A string is skipped whole, so that the brackets inside do not count.
_NESTING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
# In valid JSON a backslash stands only inside a string; a pair of surrogates is one character.
_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<nul>u0000)|(?P<surrogate>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def parse_json(
    text: bytes | str, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH
) -> JsonValue:
    """Return the value of one JSON text (RFC 8259) that Postgres and everybody can keep.

    Raises InvalidInputError for what is no JSON, for NaN and Infinity, duplicate keys, NUL and
    lone surrogates in strings, numbers that Python cannot hold or print, and the limits.
    """
    decoded = _decoded(text, max_bytes)
    _check_depth(decoded, max_depth)
    try:
        value = json.loads(
            decoded,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        raise _invalid(decoded, error.pos, f"not valid JSON: {error.msg}") from None
    _check_escapes(decoded)
    return value


def _decoded(text: bytes | str, max_bytes: int) -> str:
    encoded = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(encoded) > max_bytes:
        raise InvalidInputError(f"larger than {max_bytes:,} bytes")
    try:
        return encoded.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = encoded[: error.start].decode("utf-8")
        raise _invalid(before, len(before), "not UTF-8") from None


def _check_depth(text: str, max_depth: int) -> None:
    """Refuse deep nesting before the parser sees it; it would end in a RecursionError."""
    depth = 0
    for found in _NESTING.finditer(text):
        match found[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
        if depth > max_depth:
            raise _invalid(text, found.start(), f"nested deeper than {max_depth} levels")


def _check_escapes(text: str) -> None:
    if "\\u" not in text:
        return
    for found in _ESCAPE.finditer(text):
        if found["nul"]:
            raise _invalid(text, found.start(), "the character NUL is not allowed")
        if found["surrogate"]:
            raise _invalid(text, found.start(), "a lone surrogate is not allowed")


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            shown = json.dumps(key[:60])
            raise InvalidInputError(f"the key {shown} stands twice in one object")
        seen.add(key)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInputError(f"{name} is not JSON; write a number, null or a string")


def _float(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise InvalidInputError(f"the number {text[:60]} is too large for a float")
    return value


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise InvalidInputError(f"an integer of more than {MAX_DIGITS:,} digits")
    return int(text)


def _invalid(text: str, index: int, reason: str) -> InvalidInputError:
    line = text.count("\n", 0, index) + 1
    column = index - text.rfind("\n", 0, index)
    return InvalidInputError(f"{line}:{column}: {reason}")
