"""Port for replays of runs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from activityctl.domain.runs.replay_request import ReplayOutcome, ReplayRequest


class Replays(Protocol):
    """Wishes to replay runs."""

    async def replay(
        self, run_ids: Sequence[str], request: ReplayRequest, now: datetime
    ) -> list[ReplayOutcome]:
        """Store the firing of a new run for each run that has ended, in one transaction.

        Return one outcome for each, in the order of the ids. Under one name a run is replayed once.
        """
        ...
