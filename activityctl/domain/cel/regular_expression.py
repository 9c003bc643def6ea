"""Estimates how large a regular expression of the CEL runtime (RE2) becomes when it is compiled."""

import re
from typing import Final

MOST_INSTRUCTIONS: Final = 200_000
"""The runtime refuses larger patterns."""
_REPEAT: Final = re.compile(r"\{(\d*),?(\d*)\}")
_CLASS: Final = 50
"""The instructions of a class of characters such as `\\pL`."""


def pattern_instructions(pattern: str) -> int:
    """Return how many instructions a pattern has at most."""
    classes = pattern.count("\\p") + pattern.count("\\P") + pattern.count("(?")
    count = len(pattern) + _CLASS * (classes + 1)
    for found in _REPEAT.finditer(pattern):
        count *= max(1, *(int(digits[:6] or 0) for digits in found.groups()))
        if count > MOST_INSTRUCTIONS:
            return MOST_INSTRUCTIONS
    return min(count, MOST_INSTRUCTIONS)
