"""Splits a CEL source into clauses, as written: operands of `&&`, `||`, `!` and comparisons.

It reads the text, because the compiled tree does not keep it. It does not evaluate the clauses.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from activityctl.frozen_dataclass import frozen_dataclass

_TOKEN: Final = re.compile(
    r"""(?P<comment>//)
      | (?P<text>(?:[rR][bB]?|[bB][rR])(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"]*"|'[^']*')
          | [bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}
          | "(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
          | `[^`]*`)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<open>[(\[{])
      | (?P<close>[)\]}])
      | (?P<sign>&&|\|\||==|!=|<=|>=|<|>|\?|!)""",
    re.VERBOSE | re.DOTALL,
)
RELATIONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})


@frozen_dataclass
class Clause:
    """An expression split at its outermost operator; operands are texts in source order."""

    operator: str = ""
    """`&&`, `||`, `!`, one of RELATIONS, or empty for anything else."""
    operands: tuple[str, ...] = ()


@frozen_dataclass
class _Sign:
    start: int
    end: int
    text: str


def conjuncts(source: str) -> tuple[str, ...]:
    """Return the operands of `&&`, also of nested ones in brackets; else the whole source.

    The source must compile. It is true if all operands are true. It is false if one operand is
    false, even if others fail. Else it fails (CEL specification, logical operators).
    """
    clause = clause_of(source)
    if clause.operator != "&&":
        return (source.strip(),)
    return tuple(part for operand in clause.operands for part in conjuncts(operand))


def clause_of(source: str) -> Clause:
    """Return the clause of a source that compiles; a source with comments is not split."""
    text = _without_brackets(source)
    signs = _outer_signs(text)
    if signs is None or any(sign.text == "?" for sign in signs):
        return Clause()
    for operator in ("||", "&&"):
        if chosen := [sign for sign in signs if sign.text == operator]:
            return Clause(operator, _cut(text, chosen))
    if chosen := [sign for sign in signs if sign.text in RELATIONS]:
        return Clause(chosen[-1].text, _cut(text, chosen[-1:]))
    return Clause("!", (text[1:].strip(),)) if text.startswith("!") else Clause()


def _cut(text: str, signs: Sequence[_Sign]) -> tuple[str, ...]:
    starts = [0, *(sign.end for sign in signs)]
    ends = [*(sign.start for sign in signs), len(text)]
    return tuple(text[start:end].strip() for start, end in zip(starts, ends, strict=True))


def _without_brackets(source: str) -> str:
    """Return the text without the brackets around all of it."""
    text = source.strip()
    while text.startswith("(") and _closing_bracket(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closing_bracket(text: str) -> int:
    """Return where the bracket at the start of the text closes; -1 if there is a comment."""
    depth = 0
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "comment":
            return -1
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        if depth == 0:
            return token.start()
    return -1


def _outer_signs(text: str) -> list[_Sign] | None:
    """Return the operators outside all brackets; None if there is a comment."""
    signs: list[_Sign] = []
    depth = 0
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "comment":
            return None
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        if depth == 0:
            signs += _signs(token)
    return signs


def _signs(token: re.Match[str]) -> Iterator[_Sign]:
    is_word = token.lastgroup == "word" and token[0] == "in"
    if is_word or token.lastgroup == "sign":
        yield _Sign(token.start(), token.end(), token[0])
