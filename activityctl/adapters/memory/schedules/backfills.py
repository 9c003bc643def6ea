"""Backfills in memory: their firings are held, and released a few at a time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import BackfillRow, FiringRow, MemoryState
from activityctl.domain.runs.backfill import Backfill, BackfillProgress, PastTimes
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values import ids
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Work


@frozen_dataclass
class _Scope:
    """A trigger and a range of time, both ends included."""

    subscription_id: str
    trigger: str
    first: datetime
    last: datetime

    def has(self, subscription_id: str, trigger: str, due_at: datetime) -> bool:
        is_same_trigger = (subscription_id, trigger) == (self.subscription_id, self.trigger)
        return is_same_trigger and self.first <= due_at <= self.last


class MemoryLockedPastTimes:
    """The past due times of a trigger; nothing else changes them until the block ends."""

    def __init__(self, state: MemoryState, past: PastTimes) -> None:
        self._state = state
        self.past = past

    async def hold(self, backfill: Backfill, nominals: Sequence[datetime]) -> int:
        """Record the backfill and its held firings; return how many of the firings are new.

        Firings that another backfill holds go over to this one. A cancelled one is open again.
        """
        firings, before = self._state.firings, len(self._state.firings)
        self._state.backfills[backfill.id] = BackfillRow(backfill)
        for nominal in nominals:
            firing = backfill.firing(nominal)
            key = ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)
            row = firings.get(key, FiringRow(firing, self._state.clock()))
            if row.fires_at is None and row.dispatched_at is None:
                firings[key] = self._state.frozen(replace(row, backfill_id=backfill.id))
        self._state.wake_workers(Work.QUEUE)
        return len(firings) - before


class MemoryBackfills:
    """Implements the Backfills port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._turn = asyncio.Lock()

    async def past(
        self, subscription_id: str, trigger: str, first: datetime, last: datetime
    ) -> PastTimes:
        """Return what is recorded about the trigger's due times from `first` to `last`."""
        scope = _Scope(subscription_id, trigger, first, last)
        runs: dict[datetime, frozenset[RunStatus]] = {}
        for run in (row.run for row in self._state.runs.values()):
            if scope.has(run.subscription_id, run.trigger, run.due_at):
                runs[run.due_at] = runs.get(run.due_at, frozenset()) | {run.status}
        rows = list(self._firings(scope))
        return PastTimes(
            self._decided_until(subscription_id, trigger),
            runs,
            frozenset(row.firing.due_at for row in rows if not _is_held(row)),
            frozenset(row.firing.due_at for row in rows if _is_held(row)),
        )

    @asynccontextmanager
    async def locked(
        self, subscription_id: str, trigger: str, first: datetime, last: datetime
    ) -> AsyncIterator[MemoryLockedPastTimes]:
        """Lock the trigger's schedule while a backfill is chosen and recorded."""
        async with self._turn:
            past = await self.past(subscription_id, trigger, first, last)
            yield MemoryLockedPastTimes(self._state, past)

    async def progress(self, wanted: Backfill, also: Collection[datetime]) -> BackfillProgress:
        """Return the progress of the backfill's firings.

        Firings of the trigger's other backfills count when they are due at a time in `also`.
        """
        held = cancelled = starting = 0
        runs: Counter[RunStatus] = Counter()
        for row in self._state.firings.values():
            if row.backfill_id is None or not _counts(row, wanted, also):
                continue
            if _is_held(row):
                is_cancelled = self._state.backfills[row.backfill_id].is_cancelled
                held, cancelled = held + (not is_cancelled), cancelled + is_cancelled
            elif (run := self._state.runs.get(row.firing.ref.run_id)) is None:
                starting += 1
            else:
                runs[run.run.status] += 1
        return BackfillProgress(held, cancelled, starting, dict(runs))

    async def cancel(self, subscription_id: str, trigger: str | None) -> int:
        """Cancel the backfills that hold firings, of one trigger or of all; count those firings."""
        count = 0
        for key, row in self._state.backfills.items():
            is_selected = row.backfill.subscription_id == subscription_id
            is_selected = is_selected and trigger in (None, row.backfill.trigger)
            held = self._held(key)
            if is_selected and held and not row.is_cancelled:
                self._state.backfills[key] = replace(row, is_cancelled=True)
                count += len(held)
        return count

    async def release(self, limit: int) -> int:
        """Release held firings, in the order of their times; return how many.

        Fewer than `max_parallel` firings of a backfill may be released without an ended run.
        """
        due = [
            key
            for backfill, row in self._state.backfills.items()
            if not row.is_cancelled
            for key in self._next(backfill, row.backfill)
        ]
        firings, now = self._state.firings, self._state.clock()
        due.sort(key=lambda key: firings[key].firing.due_at)
        for key in due[:limit]:
            firings[key] = replace(firings[key], fires_at=now)
        if due[:limit]:
            self._state.wake_workers(Work.FIRING)
        return len(due[:limit])

    def _decided_until(self, subscription_id: str, trigger: str) -> datetime:
        now, tables = self._state.clock(), self._state.catalog
        schedule = tables.schedules.get(ids.schedule_id(subscription_id, trigger))
        if schedule is None or not schedule.is_active:
            return now
        return min(now, schedule.cursor)

    def _firings(self, scope: _Scope) -> Iterator[FiringRow]:
        for row in self._state.firings.values():
            firing = row.firing
            if scope.has(firing.subscription_id, firing.trigger, firing.due_at):
                yield row

    def _held(self, backfill: str) -> list[str]:
        """Return the ids of the firings that the backfill holds, by due time."""
        firings = self._state.firings
        found = [
            key for key, row in firings.items() if row.backfill_id == backfill and _is_held(row)
        ]
        return sorted(found, key=lambda key: firings[key].firing.due_at)

    def _next(self, key: str, backfill: Backfill) -> list[str]:
        """Return the ids of the held firings that the backfill may release now.

        None is due later than a firing that an overlapping backfill still holds.
        """
        firings = self._state.firings
        waiting = [
            firings[held[0]].firing.due_at
            for other, row in self._state.backfills.items()
            if other != key and not row.is_cancelled and _overlap(row.backfill, backfill)
            if (held := self._held(other))
        ]
        until = min(waiting, default=backfill.last)
        own_ids = [
            firing_id for firing_id in self._held(key) if firings[firing_id].firing.due_at <= until
        ]
        return own_ids[: max(0, self._free_slots(key, backfill))]

    def _free_slots(self, key: str, backfill: Backfill) -> int:
        open_count = sum(
            row.backfill_id == key and not _is_held(row) and not self._has_ended(row)
            for row in self._state.firings.values()
        )
        return backfill.max_parallel - open_count

    def _has_ended(self, row: FiringRow) -> bool:
        run = self._state.runs.get(row.firing.ref.run_id)
        return run is not None and run.run.has_ended


def _is_held(row: FiringRow) -> bool:
    return row.backfill_id is not None and row.fires_at is None and row.dispatched_at is None


def _overlap(first: Backfill, second: Backfill) -> bool:
    is_same_trigger = (first.subscription_id, first.trigger) == (
        second.subscription_id,
        second.trigger,
    )
    return is_same_trigger and first.first <= second.last and second.first <= first.last


def _counts(row: FiringRow, wanted: Backfill, also: Collection[datetime]) -> bool:
    if row.backfill_id == wanted.id:
        return True
    firing = row.firing
    is_same_trigger = (firing.subscription_id, firing.trigger) == (
        wanted.subscription_id,
        wanted.trigger,
    )
    return is_same_trigger and firing.due_at in also
