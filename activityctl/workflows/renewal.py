"""Renewal: when a long run goes on in a new history, because a history has a maximum length.

A workflow can only leave its history while none of its calls is at work: a call that nobody waits
for any more would count as lost. So it starts no new ones for a while. If the calls at work take
long, the run goes on as before, and tries it again later.
"""

from datetime import datetime, timedelta

RENEW_FROM = 1_500
"""Calls from which on a history is left. A call needs about eight events, and the server ends a
workflow with 51,200. The events are not counted: a replay may count them in another way."""
STEP = 1_500
"""After so many more calls it is tried again."""
NO_MORE = 4_500
"""From so many calls on the run waits for those at work however long they take."""
PATIENCE = timedelta(minutes=1)
"""How long the run starts nothing new while it waits for its calls."""
CONTINUES = "continue-as-new"
"""The patch since which long runs go on in a new history."""


class Renewal:
    """Whether one run starts nothing new, so that it can leave its history."""

    def __init__(self) -> None:
        self.calls = 0
        """How many calls were ordered in this history."""
        self._next = RENEW_FROM
        self._until: datetime | None = None

    @property
    def is_near(self) -> bool:
        """Whether the run starts nothing new."""
        return self._until is not None

    @property
    def until(self) -> datetime | None:
        """When the run gives up for now; None if it does not."""
        return self._until if self.calls < NO_MORE else None

    @property
    def is_due(self) -> bool:
        """Whether the history is long enough to be left, and the run does not try it yet."""
        return self.calls >= self._next and not self.is_near

    def begin(self, now: datetime) -> None:
        """Start nothing new from now on."""
        self._until = now + PATIENCE

    def give_up(self) -> None:
        """Go on as before, and try it again later."""
        self._until, self._next = None, self.calls + STEP
