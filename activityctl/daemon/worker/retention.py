"""Retention: removes old events, started firings, runs and logs, in small batches."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from activityctl.domain.sources.traffic import REFUSALS_KEPT_FOR
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.retention import Policy, RetainedKind
from activityctl.operations.runs.retention import sweep
from activityctl.ports import EventArchive, Outbox, RetentionStore, SourceLedger

_LOG = logging.getLogger(__name__)
_BATCH: Final = 500
_PAUSE: Final = 0.05
"""Seconds between two batches, so that other queries are not delayed."""


class Retention:
    """Removes old rows; several can work at once and do not wait for one another."""

    def __init__(
        self,
        archive: EventArchive,
        outbox: Outbox,
        keep: timedelta,
        *,
        batch: int = _BATCH,
        sources: SourceLedger | None = None,
    ) -> None:
        """`keep` is how long events and firings are kept; zero keeps them for ever.

        Of `sources`, refused requests are removed, whatever `keep` is.
        """
        self._sources = sources
        self._archive = archive
        self._outbox = outbox
        self._keep = keep
        self._batch = batch

    async def sweep(self) -> int:
        """Remove rows that are too old and no longer needed; return how many.

        Events are removed first, because a firing is kept while one of its events is. If one
        kind fails, the error is raised after the others had their turn.
        """
        try:
            removed = await self._sweep_events() if self._keep else 0
        except Exception:  # the other kind is swept all the same
            await self._sweep_refused()
            raise
        return removed + await self._sweep_refused()

    async def _sweep_refused(self) -> int:
        if self._sources is None:
            return 0
        return await self._sweep("refused requests", self._sources.remove, REFUSALS_KEPT_FOR)

    async def _sweep_events(self) -> int:
        try:
            events = await self._sweep("events", self._archive.remove)
        except Exception:  # the other kind is swept all the same
            await self._sweep("firings", self._outbox.remove)
            raise
        return events + await self._sweep("firings", self._outbox.remove)

    async def _sweep(
        self,
        what: str,
        remove: Callable[[timedelta, int], Awaitable[int]],
        keep: timedelta | None = None,
    ) -> int:
        total = 0
        age = self._keep if keep is None else keep
        try:
            while removed := await remove(age, self._batch):
                total += removed
                if removed < self._batch:
                    break
                await asyncio.sleep(_PAUSE)
        finally:
            if total:
                _LOG.info("removed %d %s older than %s", total, what, format_duration(age))
        return total


class HistoryRetention:
    """Removes what is old of runs, tasks, attempts, logs and dead letters, as a policy says."""

    def __init__(self, store: RetentionStore, policy: Policy) -> None:
        self._store = store
        self._policy = policy

    async def sweep(self) -> None:
        """Remove what is old and not needed any more, and log how much of each kind."""
        counts: Counter[str] = Counter()

        def count(kind: RetainedKind, removed: int) -> None:
            counts[kind] += removed

        try:
            await sweep(self._store, self._policy, count)
        finally:
            for kind, keep in self._policy.items():
                if counts[kind]:
                    what = f"{kind} of runs" if kind in {"tasks", "attempts"} else kind
                    _LOG.info("retention %s=%s: removed %d %s", kind, keep, counts[kind], what)
