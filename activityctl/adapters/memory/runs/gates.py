"""The gates in memory; no await stands between a look and what follows from it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from activityctl.adapters.memory.schedules.outbox import wake_next_in_order
from activityctl.adapters.memory.state import MemoryState, RunRow, kept_json, kept_text, spec_of
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.run_limits import Excess, OverlapPolicy
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.runs.concurrency import (
    DELETED,
    GateResult,
    Occupancy,
    QueuedRun,
    decide_gate,
    decide_queue,
    gate_change,
    gate_keys,
    has_no_free_slot,
    let_in_log_entry,
    repeated_gate_result,
    replaced_end,
    throttle_opens_at,
)
from activityctl.domain.runs.run import Decision, Run, RunEnd, RunStatus
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.timing.firing import FiringCause, FiringRef
from activityctl.domain.values import ids
from activityctl.ports import BEGINS_WITHIN, Work


class MemoryGates:
    """The Gates port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def enter(self, run: Run, spec: DefinitionSpec, workflow_id: str) -> GateResult:
        """Insert the run as the gate decides, or answer from its row; carry out `replaces`."""
        now = self._state.clock()
        if (row := self._state.runs.get(run.id)) is not None:
            is_ours = row.workflow_id == workflow_id
            return repeated_gate_result(
                row.run, is_let_in=row.let_in_at is not None, is_ours=is_ours
            )
        place, throttle = gate_keys(run, spec, run.created_at)
        keyed = replace(run, concurrency_key=place, throttle_key=throttle, created_at=now)
        occupancy = self._occupancy(keyed, spec)
        arriving = replace(keyed, priority=occupancy.priority)
        decided = decide_gate(spec, occupancy, arriving, now)
        self._insert(arriving, decided, workflow_id, now)
        self._replace(arriving, decided.replaces, now)
        has_room = not has_no_free_slot(spec.concurrency, occupancy.slots_taken)
        if decided.outcome == "queued" and has_room:
            self._state.wake_workers(Work.QUEUE)
        return decided

    async def let_in(
        self, limit: int = 100, *, again_after: timedelta = BEGINS_WITHIN
    ) -> list[FiringRef]:
        """Let in those whose turn has come; return whose workflows are to be started."""
        now = self._state.clock()
        found: list[str] = []
        end = RunEnd(RunStatus.CANCELLED, DELETED)
        for rows in self._queues(SubscriptionStatus.DELETED).values():
            self._end({row.run.id: end for row in rows}, now)
        for subscription, rows in self._queues(SubscriptionStatus.ACTIVE).items():
            found += self._take_turns(subscription, rows, limit - len(found), now)
        late = [
            key
            for key, row in sorted(self._state.runs.items())
            if row.run.status is RunStatus.QUEUED
            and row.let_in_at is not None
            and row.let_in_at <= now - again_after
            and key not in found
        ]
        late.sort(key=lambda key: self._state.runs[key].let_in_at or now)
        return [_ref(self._state.runs[key]) for key in (found + late)[:limit]]

    async def seconds_to_release(self) -> float | None:
        """Return how long until a throttle lets the next queued run in; None when none waits."""
        now = self._state.clock()
        waits = []
        for subscription, rows in self._queues(SubscriptionStatus.ACTIVE).items():
            for row in rows:
                throttle = self._spec(row.run).throttle
                if throttle is None or throttle.excess is not Excess.QUEUE:
                    continue
                started = self._started(subscription, row.run.throttle_key)
                if (opens_at := throttle_opens_at(throttle, started, now)) is not None:
                    waits.append((opens_at - now).total_seconds())
        return min(waits, default=None)

    def _occupancy(self, run: Run, spec: DefinitionSpec) -> Occupancy:
        place, throttle, subscription = run.concurrency_key, run.throttle_key, run.subscription_id
        counts_all = spec.concurrency.policy is OverlapPolicy.REPLACE
        queue = [row.run for row in self._rows(subscription) if _queues(row)]
        keyed = [one for one in queue if one.concurrency_key == place]
        # None overtakes those of its own trigger, though its priority may have been raised.
        same = [one.priority for one in keyed if one.trigger == run.trigger]
        own = min((0 if counts_all else run.priority, *same))
        before = [one.id for one in keyed if counts_all or one.priority >= own]
        return Occupancy(
            self._slots(subscription, place),
            () if place is None else tuple(before),
            self._started(subscription, throttle),
            any(throttle is not None and one.throttle_key == throttle for one in queue),
            own,
        )

    def _rows(self, subscription: str) -> list[RunRow]:
        rows = [row for row in self._state.runs.values() if row.run.subscription_id == subscription]
        return sorted(rows, key=lambda row: (row.run.created_at, row.run.id))

    def _queues(self, status: SubscriptionStatus) -> Mapping[str, list[RunRow]]:
        """Return what queues of subscriptions with that status, in the order of their turns."""
        found = {
            key: sorted(filter(_queues, self._rows(key)), key=lambda row: -row.run.priority)
            for key, subscription in self._state.catalog.subscriptions.items()
            if subscription.status is status
        }
        return {key: rows for key, rows in found.items() if rows}

    def _slots(self, subscription: str, key: str | None) -> tuple[ids.RunId, ...]:
        rows = [
            row
            for row in self._rows(subscription)
            if key is not None and row.run.concurrency_key == key and _is_at_work(row)
        ]
        rows.sort(key=lambda row: (row.let_in_at or row.run.created_at, row.run.id))
        return tuple(row.run.id for row in rows)

    def _started(self, subscription: str, key: str | None) -> tuple[datetime, ...]:
        # A run that was let in, but ended before it began, has not started.
        return tuple(
            sorted(
                row.let_in_at
                for row in self._rows(subscription)
                if key is not None and row.run.throttle_key == key and row.let_in_at is not None
                if row.run.ended_at is None or row.run.started_at is not None
            )
        )

    def _spec(self, run: Run) -> DefinitionSpec:
        return spec_of(self._state.catalog.revisions[run.revision_id])

    def _insert(self, run: Run, decided: GateResult, workflow_id: str, now: datetime) -> None:
        change = gate_change(run, decided, now)
        if decided.outcome == "queued":
            workflow_id = ids.let_in_workflow_id(run.subscription_id, run.trigger, run.firing_key)
        kept = replace(
            change.run,
            reason=kept_text(change.run.reason),
            params=kept_json(dict(run.params)),
            context=kept_json(dict(run.context)),
            state=kept_json(dict(run.state)),
            payload=kept_json(dict(run.payload)),
        )
        let_in_at = now if decided.outcome == "let_in" else None
        self._state.runs[run.id] = RunRow(kept, workflow_id, None, let_in_at)
        self._state.write_log_entries(change.entries)
        wake_next_in_order(self._state, run)

    def _replace(self, run: Run, replaces: Iterable[ids.RunId], now: datetime) -> None:
        end, runs = replaced_end(run), self._state.runs
        rows = {key: runs[key] for key in replaces}
        self._end({key: end for key, row in rows.items() if _queues(row)}, now)
        for key, row in rows.items():
            if _is_at_work(row) and row.cancel_requested_at is None:
                asked = replace(row.run, cancel_reason=end.reason)
                runs[key] = replace(row, run=asked, cancel_requested_at=now)
                self._state.wake_workers(Work.CANCEL)

    def _end(self, ends: Mapping[ids.RunId, RunEnd], now: datetime) -> None:
        for key, end in ends.items():
            row = self._state.runs[key]
            change = run_change(row.run, Decision(end=end), now)
            kept = replace(change.run, reason=kept_text(change.run.reason))
            self._state.runs[key] = replace(row, run=kept)
            self._state.write_log_entries(change.entries)

    def _take_turns(
        self, subscription: str, rows: list[RunRow], limit: int, now: datetime
    ) -> list[str]:
        queue = [
            QueuedRun(run.id, run.concurrency_key, run.throttle_key, self._spec(run))
            for run in (row.run for row in rows)
        ]
        places = {
            key: self._slots(subscription, key)
            for one in queue
            if (key := one.concurrency_key) is not None
        }
        started = {
            key: self._started(subscription, key)
            for one in queue
            if (key := one.throttle_key) is not None
        }
        decided = decide_queue(queue, places, started, now, limit)
        skipped = {
            key: RunEnd(RunStatus.SKIPPED, entry.reason)
            for key, entry in decided
            if entry.outcome == "skipped"
        }
        self._end(skipped, now)
        chosen = [key for key, entry in decided if entry.outcome == "let_in"]
        for key in chosen:
            row = self._state.runs[key]
            self._state.runs[key] = replace(row, run=replace(row.run, reason=None), let_in_at=now)
            self._state.write_log_entries(
                [let_in_log_entry(subscription, key, row.run.created_at, now)]
            )
        return [*chosen]


def _queues(row: RunRow) -> bool:
    is_waiting = row.let_in_at is None and row.cancel_requested_at is None
    return row.run.status is RunStatus.QUEUED and is_waiting


def _is_at_work(row: RunRow) -> bool:
    is_in = row.let_in_at is not None or row.run.status is RunStatus.RUNNING
    return row.run.ended_at is None and is_in


def _ref(row: RunRow) -> FiringRef:
    run = row.run
    return FiringRef(
        run.subscription_id,
        run.trigger,
        run.firing_key,
        run.due_at.isoformat(),
        row.workflow_id,
        FiringCause.LET_IN,
    )
