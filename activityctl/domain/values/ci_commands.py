"""Keeps texts of strangers from being taken for commands by the CI that shows our output."""

import re
from typing import Final

CI_MARK: Final = re.compile(r"#(?=#(?:\[|vso\[|teamcity\[))")
"""The first character of `##[`, which some CIs obey anywhere in a line."""
_COMMAND: Final = re.compile(r"::|##(?:\[|vso\[|teamcity\[)")
_AT_START: Final = re.compile(r"^([ \t]*)(?=::)", re.MULTILINE)


def has_ci_command(text: str) -> bool:
    """Return whether the text has something that a CI may take for a command."""
    return _COMMAND.search(text) is not None


def defused(text: str, *, at_line_start: bool = False) -> str:
    """Return the text with a backslash in each command of a CI, so that it is only shown.

    GitHub obeys `::` at the start of a line, and `##[` anywhere. `at_line_start` says whether
    the text begins a line.
    """
    text = CI_MARK.sub(r"#\\", text)
    head, newline, rest = text.partition("\n")
    if at_line_start:
        head = _AT_START.sub(r"\1\\", head)
    return head + newline + _AT_START.sub(r"\1\\", rest)
