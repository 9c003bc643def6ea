"""The outbox in memory: keeps firings until the dispatcher has started them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from activityctl.adapters.memory.state import FiringRow, MemoryState, stored_json
from activityctl.domain.runs.admission import ClaimedFacts
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.firing import FiringRef, FiringRequest
from activityctl.domain.values import ids
from activityctl.ports import ORDER_WAITS, FailingFirings, PostponedFiring, WaitingFiring, Work


class MemoryClaim:
    """Firings that nobody else may dispatch until the block ends."""

    def __init__(self, state: MemoryState, firings: list[FiringRef]) -> None:
        self._state = state
        self.firings = firings
        rows = {firing.run_id: state.firings[_firing_id(firing)] for firing in firings}
        self.attempts: Mapping[ids.RunId, int] = {
            run_id: row.attempts for run_id, row in rows.items() if row.attempts
        }
        self.revisions: Mapping[ids.RunId, ids.RevisionId] = {
            run_id: ids.RevisionId(_revision_of(state, row)) for run_id, row in rows.items()
        }
        self.facts: Mapping[ids.RunId, ClaimedFacts] = {}
        self.started: dict[str, datetime] = {}
        self.changed: dict[str, FiringRow] = {}

    async def dispatched(self, firings: list[FiringRef], now: datetime) -> None:
        """Mark the firings as started, when the block ends without an exception."""
        self.started |= {_firing_id(firing): now for firing in firings}

    async def settled(self, firing: FiringRef, now: datetime) -> None:
        """Mark a firing that will never start; its key is shortened as its run's key is."""
        key = _firing_id(firing)
        row = self._state.firings[key]
        bounded = replace(row.firing, firing_key=ids.bounded_key(firing.firing_key))
        self.changed[key] = replace(row, firing=bounded, dispatched_at=now)

    async def postponed(self, firings: Sequence[PostponedFiring], now: datetime) -> None:
        """Count a failed try of each; none is claimed again before its time."""
        for postponed in firings:
            key = _firing_id(postponed.firing)
            row = self._state.firings[key]
            self.changed[key] = replace(
                row,
                attempts=row.attempts + 1,
                not_before=self._state.clock() + postponed.pause,
                failing_since=row.failing_since or now,
                error=postponed.error,
            )


class MemoryOutbox:
    """Implements the Outbox port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def add(self, firings: list[FiringRequest], now: datetime) -> int:
        """Store the firings and wake the dispatcher; return how many were new."""
        before = len(self._state.firings)
        for firing in firings:
            stored = replace(firing, payload=stored_json(dict(firing.payload)))
            row = FiringRow(stored, now, fires_at=self._state.clock())
            self._state.firings.setdefault(_firing_id(firing), self._state.frozen(row))
        self._state.wake_workers(Work.FIRING)
        return len(self._state.firings) - before

    async def has_other_payload(self, firing: FiringRequest) -> bool:
        """Return whether the firing of this id, or its run, is stored with another payload."""
        stored = self._state.firings.get(_firing_id(firing))
        begun = self._state.runs.get(firing.ref.run_id)
        known = [stored.firing.payload] if stored else []
        known += [begun.run.payload] if begun else []
        return any(payload != stored_json(dict(firing.payload)) for payload in known)

    @asynccontextmanager
    async def claimed(self, limit: int) -> AsyncIterator[MemoryClaim]:
        """Claim firings that may start now: higher priority first, then the earliest.

        Of each order key only the next firing is claimed.
        """
        oldest = self._claimable()[:limit]
        rows = self._state.firings
        claim = MemoryClaim(self._state, [rows[key].firing.ref for key in oldest])
        self._state.claimed.update(oldest)
        try:
            yield claim
        finally:
            self._state.claimed.difference_update(oldest)
        self._state.firings |= claim.changed
        for key, now in claim.started.items():
            self._state.firings[key] = replace(self._state.firings[key], dispatched_at=now)

    async def seconds_to_next(self) -> float | None:
        """Return the seconds until the next waiting firing may start; None when none waits."""
        now = self._state.clock()
        times = [row.may_start_at for row in self._waiting().values() if row.may_start_at]
        return max((min(times) - now).total_seconds(), 0.0) if times else None

    async def failing(self) -> FailingFirings | None:
        """Return the firings that failed and wait for their next try; None if there are none."""
        rows = [row for row in self._waiting().values() if row.failing_since is not None]
        if not rows:
            return None
        last = max(rows, key=lambda row: row.not_before or row.created_at)
        since = min(row.failing_since for row in rows if row.failing_since)
        return FailingFirings(len(rows), since, last.error or "")

    async def waiting(self) -> int:
        """Return how many firings wait to be dispatched; held firings do not count."""
        return sum(row.fires_at is not None for row in self._waiting().values())

    async def waiting_of(self, subscription_id: str, limit: int) -> list[WaitingFiring]:
        """Return the firings of cron and interval triggers that start later, by nominal time."""
        now = self._state.clock()
        found = [
            WaitingFiring(row.firing.trigger, row.firing.due_at, row.fires_at)
            for row in self._waiting().values()
            if row.firing.subscription_id == subscription_id
            and row.firing.ref.is_by_clock
            and row.fires_at is not None
            and row.fires_at > now
        ]
        return sorted(found, key=lambda firing: (firing.due_at, firing.trigger))[:limit]

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove firings that started before that age, oldest first; return how many.

        A firing stays while one of its events is stored, and while its run does not exist,
        has not ended or ended within that age.
        """
        before = self._state.clock() - age
        old = [
            (row.dispatched_at, key)
            for key, row in self._state.firings.items()
            if row.dispatched_at is not None
            and row.dispatched_at < before
            and self._has_ended(row, before)
            and self._state.events.keys().isdisjoint(row.event_ids)
        ]
        for _, key in sorted(old)[:limit]:
            del self._state.firings[key]
        return min(len(old), limit)

    def _has_ended(self, row: FiringRow, before: datetime) -> bool:
        run = self._state.runs.get(row.firing.ref.run_id)
        return run is not None and run.run.ended_at is not None and run.run.ended_at < before

    def _claimable(self) -> list[str]:
        """Return the ids of the firings that may start now, in the order of their start."""
        now, rows = self._state.clock(), self._state.firings
        due = [
            (-row.priority, row.fires_at, row.firing.due_at, position, key)
            for position, (key, row) in enumerate(rows.items())
            if row.dispatched_at is None
            and key not in self._state.claimed
            and row.may_start_at is not None
            and row.may_start_at <= now
            and self._is_in_turn(key, row, now)
        ]
        return [key for *_, key in sorted(due)]

    def _is_in_turn(self, key: str, row: FiringRow, now: datetime) -> bool:
        """Return whether the firing is the next one of its order key.

        The one before it must be started and have a run, or be started ORDER_WAITS ago.
        """
        if row.order_key is None:
            return True
        rows = self._state.firings
        same_key = [
            other for other, row_of_key in rows.items() if row_of_key.order_key == row.order_key
        ]
        position = same_key.index(key)
        if any(rows[other].dispatched_at is None for other in same_key[:position]):
            return False
        previous = rows[same_key[position - 1]] if position else None
        if previous is None or previous.dispatched_at is None:
            return True
        has_run = previous.firing.ref.run_id in self._state.runs
        return has_run or previous.dispatched_at <= now - ORDER_WAITS

    def _waiting(self) -> dict[str, FiringRow]:
        return {key: row for key, row in self._state.firings.items() if row.dispatched_at is None}


def wake_next_in_order(state: MemoryState, run: Run) -> None:
    """Wake the dispatcher if a firing with the same order key may wait for this run."""
    row = state.firings.get(ids.firing_id(run.subscription_id, run.trigger, run.firing_key))
    if row is not None and row.order_key is not None:
        state.wake_workers(Work.FIRING)


def _revision_of(state: MemoryState, row: FiringRow) -> str:
    subscription = state.catalog.subscriptions[row.firing.subscription_id]
    return state.frozen_of(subscription, row)[0]


def _firing_id(firing: FiringRef | FiringRequest) -> str:
    return ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key)
