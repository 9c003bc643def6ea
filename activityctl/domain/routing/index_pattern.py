"""Finds the text that each match of a regular expression (RE2) contains."""

import re
from typing import Any, Final

from activityctl.domain.cel.source import literal
from activityctl.domain.routing.index_operand import constant_value

_REPEATS: Final = frozenset("*?{")
_CLASS: Final = re.compile(r"\^?\]?(?:\\.|[^]\\[])*\]", re.DOTALL)
"""A class such as `[^a-z]` behind its first bracket, if there is none such as `[:alpha:]` in it."""
_BRACES: Final = re.compile(r"[^}]*\}")
_CLASSES: Final = frozenset("dDwWsSbB")
"""Letters that, behind a backslash, stand for a class of characters or a place between them."""


def required_text(pattern: Any) -> str | None:
    """Return the longest text that must occur where the pattern matches; None if none is known.

    Only plain characters outside of brackets count. A pattern that the runtime refuses has none.
    """
    if not isinstance(pattern, str) or "|" in pattern or "(?" in pattern:
        return None
    pieces = _plain_pieces(pattern)
    longest = max(pieces or [], key=len, default="")
    return longest if longest and _is_accepted(pattern) else None


def _plain_pieces(pattern: str) -> list[str] | None:
    """Return the pieces of plain text outside of brackets; None for a form that is not read."""
    pieces = [""]
    depth = at = 0
    while at < len(pattern):
        sign = pattern[at]
        at += 1
        if sign == "\\" and at == len(pattern):
            return None
        is_plain = sign not in ".^$+*?{}()["
        if sign == "\\":
            sign = pattern[at]
            at += 1
            is_plain = not sign.isalnum()
            if not is_plain and sign not in _CLASSES:
                return None
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign in "{[":
            found = (_CLASS if sign == "[" else _BRACES).match(pattern, at)
            if found is None:
                return None
            at = found.end()
        if is_plain and depth == 0 and pattern[at : at + 1] not in {*_REPEATS}:
            pieces[-1] += sign
        else:
            pieces.append("")
    return pieces


def _is_accepted(pattern: str) -> bool:
    return isinstance(constant_value(f'"".matches({literal(pattern)})', {}), bool)
