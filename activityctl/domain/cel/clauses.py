"""The clauses of a CEL source as its author wrote them: operands of `&&`, `||`, `!`, comparisons.

Read off the text, since the compiled tree has lost it; what they are worth is not known here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Clause:
    """An expression by its outermost operator; the operands' texts, in the order written."""

    operator: str = ""
    """`&&`, `||`, `!`, one of RELATIONS, or empty for anything else."""
    operands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sign:
    start: int
    end: int
    text: str


def conjuncts(source: str) -> tuple[str, ...]:
    """Return the texts that `&&` joins, through brackets too; a source without one is alone.

    The source compiles. It is true if all are; false if any is, whatever the others give; else
    it fails: `&&` forgives an error beside a false (CEL specification, logical operators).
    """
    clause = clause_of(source)
    if clause.operator != "&&":
        return (source.strip(),)
    return tuple(part for operand in clause.operands for part in conjuncts(operand))


def clause_of(source: str) -> Clause:
    """Return a source that compiles by its outermost operator; one with comments stays whole."""
    text = _bare(source)
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


def _bare(source: str) -> str:
    """Return the text without the brackets around all of it."""
    text = source.strip()
    while text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closing(text: str) -> int:
    """Return where the bracket closes that the text begins with; -1 when a comment stands there."""
    depth = 0
    for found in _TOKEN.finditer(text):
        if found.lastgroup == "comment":
            return -1
        depth += (found.lastgroup == "open") - (found.lastgroup == "close")
        if depth == 0:
            return found.start()
    return -1


def _outer_signs(text: str) -> list[_Sign] | None:
    """Return the operators outside all brackets; None when there is a comment."""
    signs: list[_Sign] = []
    depth = 0
    for found in _TOKEN.finditer(text):
        if found.lastgroup == "comment":
            return None
        depth += (found.lastgroup == "open") - (found.lastgroup == "close")
        if depth == 0:
            signs += _signs(found)
    return signs


def _signs(found: re.Match[str]) -> Iterator[_Sign]:
    is_word = found.lastgroup == "word" and found[0] == "in"
    if is_word or found.lastgroup == "sign":
        yield _Sign(found.start(), found.end(), found[0])
