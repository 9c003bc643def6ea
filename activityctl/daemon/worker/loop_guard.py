"""LoopGuard: keeps the loops of a worker going when their work fails, and remembers what fails."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar

from activityctl.domain.runs.worker import LoopTrouble
from activityctl.domain.values.failure_kind import pauses_after
from activityctl.errors import ActivityctlError

_Answer = TypeVar("_Answer")

_LOG = logging.getLogger(__name__)
_LONGEST_TEXT: Final = 500


class LoopGuard:
    """Waits longer after each failure of a loop; a success resets that."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._troubles: dict[str, LoopTrouble] = {}

    @property
    def troubles(self) -> tuple[LoopTrouble, ...]:
        """The loops whose last try failed."""
        return tuple(self._troubles.values())

    def is_failing(self, loop: str) -> bool:
        """Return whether the last try of the loop failed."""
        return loop in self._troubles

    async def attempt(
        self, loop: str, work: Callable[[], Awaitable[_Answer]], *, longest: float = 60.0
    ) -> _Answer | None:
        """Do the work; after a failure log it, wait at most `longest` seconds and return None."""
        try:
            answer = await work()
        except ActivityctlError as error:
            pause = self._failed(loop, error, longest)
            _LOG.warning("worker loop %s failed, will be retried: %s", loop, error)
        except Exception as error:  # noqa: BLE001  # a daemon's outermost loop, logged
            pause = self._failed(loop, error, longest)
            _LOG.exception("worker loop %s failed, will be retried", loop)
        else:
            self.succeeded(loop)
            return answer
        await self._sleep(pause)
        return None

    def succeeded(self, loop: str) -> None:
        """Forget the failures of a loop."""
        trouble = self._troubles.pop(loop, None)
        if trouble is not None:
            _LOG.info("worker loop %s works again after %d failures", loop, trouble.failures)

    def _failed(self, loop: str, error: Exception, longest: float) -> float:
        """Count the failure; return the seconds until the next try."""
        is_ours = isinstance(error, ActivityctlError)
        text = str(error) if is_ours else f"{type(error).__name__}: {error}"
        known = self._troubles.get(loop)
        failures = known.failures + 1 if known else 1
        new = LoopTrouble(loop, self._clock(), failures, text[:_LONGEST_TEXT])
        self._troubles[loop] = replace(new, since=known.since) if known else new
        chance = random.random()  # noqa: S311  # no secret
        return min(pauses_after(error).pause(failures, chance).total_seconds(), longest)
