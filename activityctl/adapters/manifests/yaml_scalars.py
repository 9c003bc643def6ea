"""Reads plain YAML scalars as JSON reads them, and refuses those that YAML reads differently."""

import json
import re
import unicodedata
from math import isinf
from typing import Final

from activityctl.ports import JsonValue

MAX_DIGITS: Final = 4_000
SHOWN_LENGTH: Final = 60
"""How many characters of a text a message shows."""

_CONSTANTS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}
# `y` and `n` are strings: PyYAML never read them as booleans, and they are names of coordinates.
_BOOLEANS: Final = frozenset({"yes", "no", "on", "off", "true", "false"})
_NUMBER_STARTS: Final = frozenset("+-.0123456789")
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)")
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")
# What YAML 1.1 or 1.2 reads as a number and JSON does not, each with its name for messages.
# The repeats are possessive, so that a long text causes no backtracking.
_NON_JSON_NUMBERS: Final = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"[-+]?0[xX][0-9a-fA-F_]++", "a hexadecimal number"),
        (r"[-+]?0[bB][01_]++", "a binary number"),
        (r"[-+]?0(?:[oO][0-7_]++|[0-9]++)", "an octal number"),
        (r"[-+]?[0-9][0-9_]*+(?::[0-5]?[0-9])++(?:\.[0-9_]*+)?", "a base-60 number"),
        (r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "infinity or not-a-number"),
        (r"[-+]?[0-9]++_[0-9_]*+(?:\.[0-9_]*+)?", "a number with underscores"),
        (
            r"[-+]?(?:[0-9][0-9_]*+(?:\.[0-9_]*+)?|\.[0-9][0-9_]*+)(?:[eE][-+]?[0-9]++)?",
            "a number that is not valid in JSON",
        ),
    )
)


def plain_value(text: str) -> tuple[JsonValue, str]:
    """Return the value of a plain scalar, and the reason if it is refused, else an empty text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text], ""
    if text[0] in _NUMBER_STARTS:
        return _number(text)
    if hidden := next(filter(_is_invisible, (text[0], text[-1])), ""):
        code = f"the invisible character U+{ord(hidden):04X}"
        return None, f"the text begins or ends with {code}; remove it, or quote the text"
    word = text.lower() if len(text) <= len("false") else text
    if word in _BOOLEANS:
        return None, f"{text} is ambiguous; write true or false, or quote it"
    if word == "null":
        return None, f"{text} is ambiguous; write null, or quote it"
    return text, ""


def _is_invisible(character: str) -> bool:
    """Whether a character looks like the space or like nothing; copied text may contain it."""
    if character.isascii():
        return False
    return character.isspace() or unicodedata.category(character) == "Cf"


def _number(text: str) -> tuple[JsonValue, str]:
    if _INTEGER.fullmatch(text):
        if len(text.lstrip("-")) > MAX_DIGITS:
            return None, f"a number with more than {MAX_DIGITS:,} digits; quote it"
        return int(text), ""
    if _FLOAT.fullmatch(text):
        value = float(text)
        return (None, "a number too large for a float; quote it") if isinf(value) else (value, "")
    for pattern, name in _NON_JSON_NUMBERS:
        if pattern.fullmatch(text):
            shown = quoted(text)[1:-1]
            return None, f"{shown} can be read as {name}; write a decimal number, or quote it"
    return text, ""


def quoted(text: str) -> str:
    """Return a text in quotes, shortened for a message."""
    if len(text) > SHOWN_LENGTH:
        text = text[:SHOWN_LENGTH] + "…"
    return json.dumps(text, ensure_ascii=False)
