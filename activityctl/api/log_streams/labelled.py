"""Whose log a stream with labels follows: asked once a second for all streams with the same."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from weakref import WeakValueDictionary

from activityctl.errors import NotFoundError, RefusedError
from activityctl.operations.runs.log_selection import LogSelection

_SECONDS: Final = 1.0


class Labelled:
    """The subscriptions that have some labels; all subscriptions without labels."""

    def __init__(self, selection: LogSelection, labels: Mapping[str, str]) -> None:
        self._selection = selection
        self._labels = labels
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self.names: dict[str, str] = {}
        """The names of those that had the labels at some time, by id."""
        self.ids: tuple[str, ...] = ()
        """Those that have the labels; the last ones that had, if none has."""

    async def ask(self) -> None:
        """Ask for the subscriptions. NotFoundError or RefusedError if there is none."""
        found = (await self._selection.labelled(self._labels)).names
        self._asked_at = time.monotonic()
        self.names.update(found)
        if set(found) != set(self.ids):
            self.ids = tuple(found)

    async def latest(self) -> tuple[str, ...]:
        """Return the ids as they are, or were within the last second."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= _SECONDS:
                with suppress(NotFoundError, RefusedError):
                    await self.ask()
        return self.ids


class LabelledLogs:
    """Keeps one Labelled for the streams that follow the same labels."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[frozenset[tuple[str, str]], Labelled] = (
            WeakValueDictionary()
        )

    async def find(self, selection: LogSelection, labels: Mapping[str, str]) -> Labelled:
        """Return the subscriptions with these labels, as they were within the last second.

        NotFoundError if none has them, RefusedError if there is none at all.
        """
        key = frozenset(labels.items())
        labelled = self._known.get(key)
        if labelled is None:
            labelled = self._known[key] = Labelled(selection, labels)
        if not await labelled.latest():
            await labelled.ask()
        return labelled
