"""Keeps one of several equal values, so that many objects which say the same take less memory.

Nobody changes such a value: it belongs to all of them.
"""

from collections.abc import Hashable
from datetime import datetime
from typing import Any, TypeVar

_Value = TypeVar("_Value", str, datetime, str | None)


class Shared:
    """Remembers the first of equal values."""

    def __init__(self) -> None:
        self._first: dict[Hashable, Any] = {}

    def value(self, value: _Value) -> _Value:
        """Return the first value that equals this one."""
        first: _Value = self._first.setdefault(value, value)
        return first

    def texts(self, texts: dict[str, str]) -> dict[str, str]:
        """Return the first dict with these texts in this order."""
        first: dict[str, str] = self._first.setdefault(tuple(texts.items()), texts)
        return first
