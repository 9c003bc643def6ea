"""Notices in memory: written with what they tell of, gathered, and removed when they are told."""

import uuid
from collections import defaultdict
from datetime import datetime, timedelta

from activityctl.adapters.memory.state import MemoryState, spec_of
from activityctl.domain.runs.notices import (
    GatheredNotice,
    Notice,
    NoticeKind,
    failed_notice,
    is_notice,
    opened_notice,
    recovered_notice,
)
from activityctl.domain.runs.run import Run
from activityctl.domain.tasks.breaker import BreakerStatus
from activityctl.domain.values import ids
from activityctl.ports import BreakerChange

_MOST_MISSES = 100


def write_notices(state: MemoryState, *notices: Notice | None) -> None:
    """Write what has to be told; a subscription that has missed firings is in trouble, too."""
    for notice in notices:
        if notice is None:
            continue
        _write(state, notice)
        owner = notice.subscription_id
        known = sum(trouble[0] == owner for trouble in state.troubles)
        if notice.kind is NoticeKind.MISSED and known < _MOST_MISSES:
            state.troubles.append((owner, "missed", notice.count, notice.at))


def write_opened(state: MemoryState, run_id: str, change: BreakerChange) -> None:
    """Write what has to be told of a breaker that opens at an attempt of that run."""
    row = state.runs.get(run_id)
    was_open, is_open = (
        each.status is BreakerStatus.OPEN for each in (change.before, change.after)
    )
    if row is not None and is_open and not was_open:
        _write(state, opened_notice(row.run.subscription_id, run_id, change.after))


def tell_abandoned(state: MemoryState, run: Run) -> None:
    """Write what has to be told of a run that was ended as failed without reading its data."""
    if is_notice(run.trigger) or run.ended_at is None:
        return
    if not run.events:
        write_notices(state, failed_notice(run, run.status, run.reason, run.ended_at))


def count_trouble(state: MemoryState, subscription: str, at: datetime) -> None:
    """Count a failure of a subscription."""
    for index, (owner, kind, count, since) in enumerate(state.troubles):
        if (owner, kind) == (subscription, "failed"):
            state.troubles[index] = (owner, kind, count + 1, since)
            return
    state.troubles.append((subscription, "failed", 1, at))


def write_recovery(state: MemoryState, run: Run, now: datetime) -> None:
    """Write what has to be told of the run if its success ends the trouble of its subscription."""
    gone = [trouble for trouble in state.troubles if trouble[0] == run.subscription_id]
    if not gone:
        return
    state.troubles = [trouble for trouble in state.troubles if trouble not in gone]
    failed, missed = (
        sum(count for _, kind, count, _ in gone if kind == wanted)
        for wanted in ("failed", "missed")
    )
    since = min(at for *_, at in gone)
    _write(state, recovered_notice(run, now, failed=failed, missed=missed, since=since))


def _write(state: MemoryState, notice: Notice) -> None:
    state.notices_written += 1
    state.notices.append((state.notices_written, notice, None))


class MemoryNotices:
    """Implements the Notices port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def gather(
        self, quiet: timedelta, longest: timedelta, limit: int
    ) -> list[GatheredNotice]:
        """Return what may be told now, also what another worker has gathered and not told yet."""
        now, batch = self._state.clock(), uuid.uuid4().hex
        times: dict[tuple[str, str], list[datetime]] = defaultdict(list)
        for _, notice, taken in self._state.notices:
            if taken is None:
                times[notice.subscription_id, notice.kind].append(notice.at)
        ready = {
            key
            for key, found in times.items()
            if max(found) <= now - quiet or min(found) <= now - longest
        }
        self._state.notices = [
            (number, each, batch if taken is None and _key(each) in ready else taken)
            for number, each, taken in self._state.notices
        ]
        batches: dict[tuple[str, str, str], list[tuple[int, Notice]]] = defaultdict(list)
        for number, notice, taken in self._state.notices:
            if taken is not None:
                batches[taken, *_key(notice)].append((number, notice))
        return [self._gathered(key[0], rows) for key, rows in list(batches.items())[:limit]]

    async def told(self, notice: GatheredNotice) -> None:
        """Remove a notice whose firing and event are stored."""
        done = (notice.batch, notice.subscription_id, notice.kind)
        self._state.notices = [
            (number, each, batch)
            for number, each, batch in self._state.notices
            if (batch, *_key(each)) != done
        ]

    def _gathered(self, batch: str, rows: list[tuple[int, Notice]]) -> GatheredNotice:
        number, first = rows[0]
        tables = self._state.catalog
        owner = tables.subscriptions[first.subscription_id]
        definition = tables.definitions[owner.definition]
        spec = spec_of(tables.revisions[definition.revision_id])
        tasks = {
            NoticeKind.MISSED: spec.on_missed,
            NoticeKind.RECOVERED: spec.on_recovered,
        }.get(first.kind)
        return GatheredNotice(
            number,
            owner.id,
            owner.name,
            owner.definition,
            labels_of(self._state, owner.id),
            first.kind,
            min(notice.at for _, notice in rows),
            [item for _, notice in rows for item in notice.items],
            sum(notice.count for _, notice in rows),
            bool(tasks),
            batch,
        )


def labels_of(state: MemoryState, subscription: str) -> dict[str, str]:
    """Return the labels of the definition and, before them, those of the subscription."""
    owner = state.catalog.subscriptions[ids.SubscriptionId(subscription)]
    definition = state.catalog.definitions[owner.definition]
    return {**definition.labels, **owner.labels}


def _key(notice: Notice) -> tuple[str, str]:
    return notice.subscription_id, notice.kind
