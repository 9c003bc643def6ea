"""Strings with `${ … }` in them: where the expressions stand; evaluating them is not done here."""

import functools
import re
from dataclasses import dataclass
from typing import Final

OPEN: Final = "${"
ESCAPED: Final = "$${"
"""Stands for a literal `${`."""

_MARK: Final = re.compile(r"\$?\$\{")
_WINDOW: Final = 4096
"""Characters within which an expression has to end; well over the longest source."""
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
"""A piece of CEL within which braces mean nothing, or a single brace."""


@dataclass(frozen=True, slots=True)
class TemplateExpression:
    """An expression within a string; the offset is that of its source, in characters from 0."""

    source: str
    offset: int


@dataclass(frozen=True, slots=True)
class UnclosedExpression:
    """A `${` without its brace; the last part of its string."""

    offset: int


@functools.lru_cache(maxsize=1024)
def template_parts(text: str) -> tuple[str | TemplateExpression | UnclosedExpression, ...]:
    """Return the texts and expressions of a string in order, escapes resolved."""
    parts: list[str | TemplateExpression | UnclosedExpression] = []
    literal, at = "", 0
    while (mark := _MARK.search(text, at)) is not None:
        literal += text[at : mark.start()]
        at = mark.end()
        if mark[0] == ESCAPED:
            literal += OPEN
            continue
        end = _closing(text, at)
        if end is None:
            return (*parts, UnclosedExpression(mark.start()))
        parts += [literal] if literal else []
        parts.append(TemplateExpression(text[at:end], at))
        literal, at = "", end + 1
    literal += text[at:]
    return (*parts, literal) if literal else tuple(parts)


def _closing(text: str, at: int) -> int | None:
    """Return where the brace stands that closes the expression starting at `at`."""
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
    """Return whether a `${` stands in the text that is not escaped."""
    return any(mark[0] == OPEN for mark in _MARK.finditer(text))
