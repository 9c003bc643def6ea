"""Parses JSON strictly into plain values that can be stored."""

import json
import re
from collections.abc import Callable
from math import isinf
from typing import Final, NoReturn

from activityctl.domain.values.model import JsonValue
from activityctl.errors import InvalidInputError

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 4_000

# A string is matched as a whole, so that brackets in it do not count.
_NESTING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_TOKEN: Final = re.compile(
    r'"(?:[^"\\]|\\.)*+"|-?Infinity|NaN|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?'
    r"|[^\s]",
    re.DOTALL,
)
_UNWANTED_ESCAPE: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
# In valid JSON a backslash occurs only in strings. A pair of surrogates is one character.
_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<nul>u0000)|(?P<surrogate>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_NOT_JSON: Final = "not valid JSON"
_NOT_UTF8: Final = "not valid UTF-8"
_SHORT_INTEGER: Final = 19
"""An integer of fewer characters fits into 64 bits."""


class InvalidJsonError(InvalidInputError):
    """An error at one position of a JSON text. Line and column count from 1, in characters."""

    def __init__(self, line: int, column: int, reason: str) -> None:
        self.line = line
        self.column = column
        self.reason = reason
        super().__init__(f"{line}:{column}: {reason}")


class _FaultError(Exception):
    """A value is refused; the parser does not know its position."""


def parse_json(
    text: bytes | str,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    wide_integers_as_text: bool = False,
) -> JsonValue:
    """Return the value of one JSON text (RFC 8259), which Postgres can store.

    With `wide_integers_as_text`, integers outside -2^63..2^64-1 become their decimal strings.
    Raises InvalidJsonError for invalid JSON, NaN and Infinity, duplicate keys, NUL and lone
    surrogates in strings, numbers that Python cannot hold or print, and too deep nesting.
    Raises InvalidInputError if the text has more than `max_bytes`.
    """
    decoded = _decoded(text, max_bytes)
    _check_depth(decoded, max_depth)
    decoder = _DECODER_OF_64_BITS if wide_integers_as_text else _DECODER
    try:
        value = decoder.decode(decoded)
    except json.JSONDecodeError as error:
        raise _invalid(decoded, error.pos, f"{_NOT_JSON}: {error.msg}") from None
    except _FaultError:
        raise _first_fault(decoded) from None
    _check_escapes(decoded)
    return value


def parse_named(
    text: bytes | str,
    name: str,
    *,
    example: str,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    wide_integers_as_text: bool = False,
) -> JsonValue:
    """Return what `parse_json` returns.

    InvalidInputError starts with the name of the text, such as that of a file or of an option.
    Its hint shows the example if the text does not look like JSON.
    """
    try:
        return parse_json(
            text,
            max_bytes=max_bytes,
            max_depth=max_depth,
            wide_integers_as_text=wide_integers_as_text,
        )
    except InvalidJsonError as error:
        raise InvalidInputError(f"{name}:{error}", hint=_hint(error, text, example)) from None
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error.message}", hint=error.hint) from None


def _hint(error: InvalidJsonError, text: bytes | str, example: str) -> str | None:
    """Return the next step, if the kind of the fault shows it."""
    if error.reason == _NOT_UTF8:
        return "write the JSON in UTF-8"
    given = text.lstrip()
    begins_json = given[:1] in {*'{["', b"{", b"[", b'"'}
    return None if begins_json or not error.reason.startswith(_NOT_JSON) else example


def _decoded(text: bytes | str, max_bytes: int) -> str:
    encoded = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(encoded) > max_bytes:
        raise InvalidInputError(f"larger than {max_bytes:,} bytes")
    try:
        return encoded.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = encoded[: error.start].decode("utf-8")
        raise _invalid(before, len(before), _NOT_UTF8) from None


def _check_depth(text: str, max_depth: int) -> None:
    """Refuse deep nesting before parsing; the parser would raise RecursionError."""
    if text.count("{") + text.count("[") <= max_depth:
        return
    depth = 0
    for token in _NESTING.finditer(text):
        match token[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
        if depth > max_depth:
            raise _invalid(text, token.start(), f"nested deeper than {max_depth} levels")


def _check_escapes(text: str) -> None:
    if "\\u" not in text or not _UNWANTED_ESCAPE.search(text):
        return
    for escape in _ESCAPE.finditer(text):
        if escape["nul"]:
            raise _invalid(text, escape.start(), "the character NUL is not allowed")
        if escape["surrogate"]:
            raise _invalid(text, escape.start(), "a lone surrogate is not allowed")


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _FaultError
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise _FaultError(name)


def _float(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise _FaultError
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS and len(text.lstrip("-")) > MAX_DIGITS:
        raise _FaultError
    return int(text)


def _integer_or_text(text: str) -> int | str:
    if len(text) < _SHORT_INTEGER:
        return int(text)
    value = _integer(text)
    return value if -(2**63) <= value < 2**64 else text


def _first_fault(text: str) -> InvalidJsonError:
    """Return the error for the first refused value; the text must have one."""
    keys: list[set[str] | None] = []
    previous = ""
    for token in _TOKEN.finditer(text):
        word = token[0]
        reason = ""
        match word[0]:
            case "{" | "[":
                keys.append(set() if word == "{" else None)
            case "}" | "]":
                keys.pop()
            case '"' if previous in ("{", ","):
                reason = _check_key(word, keys)
            case _:
                reason = _fault_of(word)
        if reason:
            return _invalid(text, token.start(), reason)
        previous = word
    raise AssertionError("no fault in a refused text")


def _check_key(key_text: str, keys: list[set[str] | None]) -> str:
    """Note a key of the innermost object; return the reason if it is refused, else empty."""
    seen = keys[-1] if keys else None
    if seen is None:
        return ""
    key = json.loads(key_text)
    if key in seen:
        return f"duplicate key {json.dumps(key[:60])} in one object"
    seen.add(key)
    return ""


def _fault_of(word: str) -> str:
    """Return the reason if a number or a constant is refused, else an empty text."""
    if word in ("NaN", "Infinity", "-Infinity"):
        return f"{word} is not JSON; write a number, null or a string"
    digits = word.lstrip("-")
    if not digits[:1].isdecimal():
        return ""
    if digits.isdecimal():
        is_long = len(digits) > MAX_DIGITS
        return f"an integer with more than {MAX_DIGITS:,} digits" if is_long else ""
    if isinf(float(word)):
        return f"the number {word[:60]} is too large for a float; write it as a string"
    return ""


def _invalid(text: str, index: int, reason: str) -> InvalidJsonError:
    line = text.count("\n", 0, index) + 1
    column = index - text.rfind("\n", 0, index)
    return InvalidJsonError(line, column, reason)


def _decoder_with(parse_int: Callable[[str], JsonValue]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object,
        parse_constant=_refuse_constant,
        parse_float=_float,
        parse_int=parse_int,
    )


_DECODER: Final = _decoder_with(_integer)
_DECODER_OF_64_BITS: Final = _decoder_with(_integer_or_text)
