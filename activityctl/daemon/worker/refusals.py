"""Refusals: the objects that fail by themselves, each with a back-off of its own."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.values.back_off import BackOff
from activityctl.domain.values.failure_kind import failure_text
from activityctl.errors import RefusedError
from activityctl.frozen_dataclass import frozen_dataclass

_PAUSES: Final = BackOff(timedelta(seconds=2), timedelta(minutes=5))


@frozen_dataclass
class _Refusal:
    failures: int
    until: datetime
    reason: str
    version: str | None


class Refusals:
    """Remembers which objects failed, so that they are tried later and later and others go on.

    Kept in memory only: a new worker tries all of them once. An object in another version is new.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._refusals: dict[str, _Refusal] = {}

    def may_try(self, key: str, version: str | None = None) -> bool:
        """Return whether the object may be tried now."""
        known = self._refusals.get(key)
        return known is None or known.version != version or known.until <= self._clock()

    def due(self) -> list[str]:
        """Return the objects whose pause is over."""
        now = self._clock()
        return [key for key, known in self._refusals.items() if known.until <= now]

    def add(self, key: str, error: Exception, version: str | None = None) -> None:
        """Remember that the object failed again."""
        known = self._refusals.pop(key, None)
        failures = known.failures + 1 if known and known.version == version else 1
        pause = _PAUSES.pause(failures, random.random())  # noqa: S311  # no secret
        until = self._clock() + pause
        self._refusals[key] = _Refusal(failures, until, failure_text(error), version)

    def remove(self, key: str) -> None:
        """Forget the failures of an object that works, or that is gone."""
        self._refusals.pop(key, None)

    def raise_if_any(self, what: str) -> None:
        """Raise RefusedError that tells how many failed, if any did: `2 alarms <what>`."""
        if not self._refusals:
            return
        key, last = next(reversed(self._refusals.items()))
        count = len(self._refusals)
        alarms = "1 alarm" if count == 1 else f"{count} alarms"
        raise RefusedError(f"{alarms} {what}, the last one {key}: {last.reason}")
