"""The port of runs that are late."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from activityctl.domain.manifests.run_limits import Slo
from activityctl.domain.runs.lateness import LateRun, NotedLateness, RunTimes
from activityctl.domain.values.log import LogEntry


class Lateness(Protocol):
    """Finds runs that may be late, and keeps which deadlines were missed."""

    async def slos(self) -> Mapping[str, Slo]:
        """Return the slo of each revision that has one, by revision id."""
        ...

    async def now(self) -> datetime:
        """Return the time of Postgres."""
        ...

    async def candidates(
        self, revisions: Mapping[str, timedelta], recent: timedelta, limit: int
    ) -> list[tuple[str, RunTimes]]:
        """Return runs and firings of these revisions that are due for longer than that.

        Each comes with its revision. A run that has ended is among them if it was created
        recently. Backfills and retries are left out: their due time is long past.
        """
        ...

    async def note(self, late: LateRun, entry: LogEntry) -> bool:
        """Keep the missed deadline and write the entry; False if it was noted before."""
        ...

    async def of_runs(self, run_ids: Sequence[str]) -> list[NotedLateness]:
        """Return the missed deadlines of these runs, the start first."""
        ...
