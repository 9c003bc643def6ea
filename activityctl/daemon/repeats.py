"""RepeatFilter: writes equal warnings of a log at a falling rate, with a count."""

import logging
from dataclasses import dataclass
from typing import Final

_MOST: Final = 1_000
"""How many different warnings are remembered."""
_FORGOTTEN_AFTER: Final = 600.0
"""A warning that did not come for this many seconds is new again."""


@dataclass(slots=True)
class _Seen:
    count: int
    last: float


class RepeatFilter(logging.Filter):
    """Lets the 1st, 2nd, 4th, 8th ... of equal warnings and errors through.

    From the second on, the line says how often it came. Two are equal if their text and fields are.
    """

    def __init__(self, fields: frozenset[str]) -> None:
        super().__init__()
        self._fields = fields
        self._seen: dict[tuple[object, ...], _Seen] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written; add the count to its text."""
        if record.levelno < logging.WARNING:
            return True
        fields = tuple(str(record.__dict__.get(name)) for name in sorted(self._fields))
        text = record.getMessage()
        key = (record.name, record.levelno, text, *fields)
        seen = self._seen.pop(key, None)
        if seen is None or record.created - seen.last > _FORGOTTEN_AFTER:
            seen = _Seen(0, record.created)
        seen.count += 1
        seen.last = record.created
        self._seen[key] = seen  # now the youngest
        while len(self._seen) > _MOST:
            del self._seen[next(iter(self._seen))]
        if seen.count & (seen.count - 1):
            return False
        if seen.count > 1:
            record.msg, record.args = f"{text} ({seen.count} times so far)", None
        return True
