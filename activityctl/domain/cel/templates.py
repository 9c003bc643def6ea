"""Splits strings with `${ … }` into text and expressions; it does not evaluate them."""

import functools
import re
from typing import Final

from activityctl.frozen_dataclass import frozen_dataclass

OPEN: Final = "${"
ESCAPED: Final = "$${"
"""The escape of a literal `${`."""

_MARK: Final = re.compile(r"\$?\$\{")
_WINDOW: Final = 4096
"""The most characters until an expression ends; much more than the longest source."""
_TOKEN: Final = re.compile(
    r"""
      //[^\n]*
    | [rR](?:\"{3}.*?\"{3} | '{3}.*?'{3} | "[^"\r\n]*" | '[^'\r\n]*')
    | \"{3}(?:\\.|[^\\])*?\"{3} | '{3}(?:\\.|[^\\])*?'{3}
    | "(?:\\.|[^"\\\r\n])*" | '(?:\\.|[^'\\\r\n])*'
    | `[^`\r\n]*`
    | \w+ | [^\w{}"'`/]+ | .
    """,
    re.DOTALL | re.VERBOSE,
)
"""A piece of CEL in which braces have no meaning, or a single brace."""
_FIELD: Final = re.compile(r"(?:event|item|params|trigger)(?:\.\w+)+")
"""A text that was probably meant as an expression."""


@frozen_dataclass
class TemplateExpression:
    """An expression in a string; `offset` is the start of its source, in characters from 0."""

    source: str
    offset: int


@frozen_dataclass
class UnclosedExpression:
    """A `${` without a closing brace; the last part of its string."""

    offset: int


@functools.lru_cache(maxsize=1024)
def template_parts(text: str) -> tuple[str | TemplateExpression | UnclosedExpression, ...]:
    """Return the texts and expressions of a string in order, with escapes resolved."""
    parts: list[str | TemplateExpression | UnclosedExpression] = []
    literal, at = "", 0
    while (mark := _MARK.search(text, at)) is not None:
        literal += text[at : mark.start()]
        at = mark.end()
        if mark[0] == ESCAPED:
            literal += OPEN
            continue
        end = _closing_brace(text, at)
        if end is None:
            return (*parts, UnclosedExpression(mark.start()))
        parts += [literal] if literal else []
        parts.append(TemplateExpression(text[at:end], at))
        literal, at = "", end + 1
    literal += text[at:]
    return (*parts, literal) if literal else tuple(parts)


def _closing_brace(text: str, at: int) -> int | None:
    """Return the position of the brace that closes the expression at `at`; None without one."""
    depth, limit = 0, at + _WINDOW
    while (token := _TOKEN.match(text, at, limit)) is not None:
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            if depth == 0:
                return at
            depth -= 1
        at = token.end()
    return None


def has_expression(text: str) -> bool:
    """Return whether the text contains a `${` that is not escaped."""
    return any(mark[0] == OPEN for mark in _MARK.finditer(text))


def constant_key(text: str, per: str) -> str:
    """Return the reason to refuse a key without an expression; it has one value for each `per`."""
    way_out = "use ${ … }"
    if _FIELD.fullmatch(text):
        way_out = f"write ${{ {text} }} for its value,"
    return f"is the same for every {per}; {way_out} or leave the key out"
