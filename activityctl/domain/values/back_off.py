"""BackOff: how long to wait before the next try, after several failures in a row."""

from datetime import timedelta
from typing import Final

from activityctl.frozen_dataclass import frozen_dataclass

_MOST_DOUBLINGS: Final = 30


@frozen_dataclass
class BackOff:
    """Pauses that double with each failure, up to the longest."""

    first: timedelta
    longest: timedelta

    def pause(self, failures: int, chance: float) -> timedelta:
        """Return the pause after this many failures in a row, at least one.

        `chance` is a random number from 0 to 1: it shortens the pause by up to a half, so that
        what failed together is not tried again together.
        """
        doubled: timedelta = self.first * 2 ** min(failures - 1, _MOST_DOUBLINGS)
        return min(doubled, self.longest) * (1 - chance / 2)
