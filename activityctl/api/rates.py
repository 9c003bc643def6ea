"""How many requests a client may send: one point in time for each client (GCRA), in memory."""

from collections.abc import Callable
from typing import Final

MOST_CLIENTS: Final = 10_000
"""How many clients are remembered; those that were silent longest are forgotten first."""


class Rates:
    """Admits `per_second` requests of each client, and `burst` at once after a pause."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        self._interval = 1 / per_second
        self._slack = self._interval * burst
        self._clock = clock
        self._used_up_to: dict[str, float] = {}

    def seconds_to_wait(self, client: str) -> float:
        """Admit one request and return 0, or return after how many seconds to try again."""
        now = self._clock()
        used = max(now, self._used_up_to.pop(client, now))
        early = used + self._interval - now - self._slack
        self._used_up_to[client] = used if early > 0 else used + self._interval
        if len(self._used_up_to) > MOST_CLIENTS:
            del self._used_up_to[next(iter(self._used_up_to))]
        return max(0.0, early)
