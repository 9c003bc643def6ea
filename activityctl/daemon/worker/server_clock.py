"""ServerClock: the time of Postgres, which dates everything that a worker stores.

Between two questions to Postgres it counts with the monotonic clock of this machine. So a wrong
or a changed clock of the machine dates nothing wrongly, and no duration is negative.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from activityctl.domain.runs.worker import LoopTrouble
from activityctl.domain.values.duration import format_duration
from activityctl.frozen_dataclass import frozen_dataclass

_SAMPLES: Final = 30
_TOLERATED: Final = timedelta(milliseconds=100)
"""More than the answers' own uncertainty: then the clock of Postgres was changed."""
_TOLD_FROM: Final = timedelta(seconds=5)
_SECOND: Final = timedelta(seconds=1)


@frozen_dataclass
class _Sample:
    """Postgres' time when the monotonic clock was zero, give or take half the round trip."""

    origin: datetime
    uncertainty: timedelta


class ServerClock:
    """Call it for the time. It never goes back; `synchronise` must have been called once."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[datetime]],
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`ask` returns Postgres' time, `wall` the time of this machine's own clock."""
        self._ask = ask
        self._monotonic = monotonic
        self._wall = wall
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)
        self._best: _Sample | None = None
        """The most certain sample; None if that is not known."""
        self._last: datetime | None = None
        self._wrong_since: datetime | None = None

    def __call__(self) -> datetime:
        """Return the time by Postgres' clock, UTC."""
        if self._best is None:
            self._best = min(self._samples, key=lambda sample: sample.uncertainty)
        now = self._best.origin + timedelta(seconds=self._monotonic())
        self._last = now if self._last is None else max(self._last, now)
        return self._last

    async def synchronise(self) -> None:
        """Ask Postgres for the time; the answers that came fastest count."""
        before = self._monotonic()
        answer = await self._ask()
        after = self._monotonic()
        origin = answer - timedelta(seconds=(before + after) / 2)
        new = _Sample(origin, timedelta(seconds=(after - before) / 2))
        if any(_differ(new, known) for known in self._samples):
            self._samples.clear()
        self._samples.append(new)
        self._best = None

    @property
    def trouble(self) -> LoopTrouble | None:
        """How wrong the clock of this machine is; None if it is about right."""
        now = self()
        ahead = self._wall() - now
        if abs(ahead) < _TOLD_FROM:
            self._wrong_since = None
            return None
        self._wrong_since = self._wrong_since or now
        shown = format_duration(abs(ahead) // _SECOND * _SECOND)
        side = "ahead of" if ahead > timedelta() else "behind"
        text = f"the clock of this machine is {shown} {side} Postgres' clock; set it right"
        return LoopTrouble("clock", self._wrong_since, 1, text)


def _differ(one: _Sample, other: _Sample) -> bool:
    return abs(one.origin - other.origin) > one.uncertainty + other.uncertainty + _TOLERATED
