"""Told: the errors and reasons that a page has told, so that it tells each of them once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from activityctl.domain.values.json_form import View

_BEFORE: Final = ": "
_LEAST: Final = 8
"""A shorter text is told again: it costs no line, and a hint in its place would not be shorter."""


class Told:
    """Remembers the texts that were told, and cuts them off where they come once more."""

    def __init__(self, texts: Iterable[object] = ()) -> None:
        self._texts: set[str] = set()
        for text in texts:
            self.add(text)

    def add(self, text: object) -> None:
        """Remember a text; nothing for None."""
        if isinstance(text, str) and len(text) >= _LEAST:
            self._texts.add(text)

    def has(self, text: object) -> bool:
        """Return whether the text was told, alone or as the end of a told text."""
        return isinstance(text, str) and (
            text in self._texts
            or any(told.endswith(_BEFORE + text) for told in self._texts if len(text) >= _LEAST)
        )

    def without(self, message: str) -> str:
        """Return the message without a told text at its end: `task save failed`."""
        place = message.find(_BEFORE)
        while place >= 0:
            if self.has(message[place + len(_BEFORE) :]):
                return message[:place]
            place = message.find(_BEFORE, place + 1)
        return message


def told_of_tasks(tasks: Sequence[View]) -> Iterable[object]:
    """Yield the errors and reasons that the lines of these tasks tell."""
    for task in tasks:
        yield from (task["error"], task["reason"])
        history: Sequence[Mapping[str, Any]] = task.get("history") or ()
        if len(history) > 1:
            yield from (attempt["error"] for attempt in history)
