"""Finds the characters and directives of a file that must not reach the YAML parser."""

import re
from itertools import chain
from typing import Final

from activityctl.errors import Problem

MAX_PROBLEMS: Final = 1_000
"""Reading stops at more problems in one file; nobody fixes a thousand by hand."""
TAGS_REFUSED: Final = "tags are not allowed; remove the tag"

# Characters that YAML's reader refuses (YAML 1.1, section 5.1), and three characters that are line
# breaks only in YAML 1.1: U+0085, U+2028, U+2029.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]"
)
# libyaml compares each %TAG directive with all others: 80,000 of them take 12 s.
_TAG_DIRECTIVE: Final = re.compile("^%TAG", re.MULTILINE)


def position_at(text: str, index: int) -> tuple[int, int]:
    """Return the line and the column of a character, which count from 1."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def unreadable_problems(text: str, file: str) -> list[Problem]:
    """Return problems for the characters and directives that must not reach the parser."""
    problems: list[Problem] = []
    for found in chain(_UNPRINTABLE.finditer(text), _TAG_DIRECTIVE.finditer(text)):
        position = position_at(text, found.start())
        if len(problems) == MAX_PROBLEMS:
            return [*problems, too_many(file, position)]
        is_directive = len(found[0]) > 1
        reason = TAGS_REFUSED if is_directive else _unprintable_reason(ord(found[0]))
        problems.append(Problem(file, *position, "", reason))
    return problems


def _unprintable_reason(code: int) -> str:
    reason = f"the character U+{code:04X} is not allowed"
    return f"{reason}; remove it, or write \\u{code:04x} in double quotes" if code else reason


def too_many(file: str, position: tuple[int, int]) -> Problem:
    """Return the problem that ends the reading of a file with too many problems."""
    return Problem(file, *position, "", f"more than {MAX_PROBLEMS} problems; the rest was not read")
