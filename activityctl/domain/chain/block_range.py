"""How many blocks the next query asks for; it follows what nodes refuse, and why."""

import re
from typing import Final

FIRST_SIZE: Final = 2_000
LARGEST_SIZE: Final = 20_000
MOST_LOGS: Final = 2_000
"""After so many logs in one answer, the next query asks for fewer blocks."""
_FEW_LOGS: Final = 500

_HEX_RANGE: Final = re.compile(r"\[\s*(0x[0-9a-f]+)\s*,\s*(0x[0-9a-f]+)\s*\]", re.IGNORECASE)
_DECIMAL_RANGE: Final = re.compile(r"\brange (\d+)\s*-\s*(\d+)", re.IGNORECASE)
_MOST_BLOCKS: Final = re.compile(
    r"(?:up to an?|limited to(?: an?)?|max(?:imum)?(?: block)? range(?: allowed)?(?: is|:)?"
    r"|ranges over|limit(?: is|:)?)\s*(?:0\s*-\s*)?(\d[\d,]*)\s*(k)?\b",
    re.IGNORECASE,
)


def smaller_size(size: int, first: int, message: str = "") -> int:
    """Return how many blocks from `first` on to ask for, after a node refused `size`.

    The message may name a range or a number that the node would take. The result is always
    smaller than `size`, and at least one.
    """
    suggested = _suggested(first, message)
    halved = max(1, size // 2)
    return suggested if suggested is not None and 1 <= suggested < size else halved


def next_size(size: int, logs: int) -> int:
    """Return how many blocks to ask for, after an answer with this many logs."""
    if logs > MOST_LOGS:
        return max(1, size // 2)
    return min(LARGEST_SIZE, size * 2) if logs < _FEW_LOGS else size


def _suggested(first: int, message: str) -> int | None:
    if found := _HEX_RANGE.search(message):
        low, high = int(found[1], 16), int(found[2], 16)
        return high - low + 1 if low == first else None
    if found := _DECIMAL_RANGE.search(message):
        low, high = int(found[1]), int(found[2])
        return high - low + 1 if low == first else None
    if found := _MOST_BLOCKS.search(message):
        return int(found[1].replace(",", "")) * (1_000 if found[2] else 1)
    return None
