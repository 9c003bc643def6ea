"""The gates in memory. There is no await between a read and the write that depends on it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from activityctl.adapters.memory.schedules.outbox import wake_next_in_order
from activityctl.adapters.memory.state import MemoryState, RunRow, spec_of, stored_json, stored_text
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.run_limits import OverlapPolicy
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.runs.concurrency import (
    DELETED,
    Arrival,
    GateResult,
    Occupancy,
    QueuedRun,
    decide_gate,
    decide_queue,
    gate_change,
    gate_keys,
    has_no_free_slot,
    is_strict,
    let_in_log_entry,
    repeated_gate_result,
    replaced_end,
    throttle_opens_at,
    with_skip_turn,
    without_held,
)
from activityctl.domain.runs.run import Decision, Run, RunEnd, RunStatus
from activityctl.domain.runs.run_change import RunChange, run_change
from activityctl.domain.runs.skipping import SKIP_TASKS, limit_name, to_be_skipped
from activityctl.domain.tasks.limit import LimitState, permit
from activityctl.domain.timing.firing import FiringCause, FiringRef
from activityctl.domain.values import ids
from activityctl.ports import ADMITTED_WITHIN, BEGINS_WITHIN, HELD_PAUSE, Work


class MemoryGates:
    """Implements the Gates port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._holds = False

    async def enter(self, run: Run, spec: DefinitionSpec, workflow_id: str) -> GateResult:
        """Insert the run as its gates decide, and end or cancel the runs that it replaces.

        For a run that exists the result comes from its row.
        """
        now = self._state.clock()
        if (row := self._state.runs.get(run.id)) is not None:
            is_ours = row.workflow_id == workflow_id
            return repeated_gate_result(
                row.run, is_let_in=row.let_in_at is not None, is_ours=is_ours
            )
        concurrency_key, throttle_key = gate_keys(run, spec, run.created_at)
        keyed = replace(
            run, concurrency_key=concurrency_key, throttle_key=throttle_key, created_at=now
        )
        arrival = self._arrival(keyed, now)
        occupancy = self._occupancy(keyed, spec, arrival, now)
        arriving = replace(keyed, priority=occupancy.priority)
        decided = decide_gate(spec, occupancy, arriving, now)
        if decided.outcome == "skipped" and spec.on_skip:
            has_turn = await self.take_skip_turn(run.subscription_id)
            decided = with_skip_turn(decided, has_turn=has_turn)
        self._insert(arriving, decided, workflow_id, now, arrival)
        self._replace(arriving, decided.replaces, now)
        has_room = not has_no_free_slot(spec.concurrency, occupancy.slots_taken)
        if decided.outcome == "queued" and has_room:
            self._state.wake_workers(Work.QUEUE)
        return decided

    async def let_in(
        self, limit: int = 100, *, again_after: timedelta = BEGINS_WITHIN
    ) -> list[FiringRef]:
        """Let in the queued runs whose turn has come; return the firings of workflows to start.

        Runs that were let in `again_after` ago and have not begun come last. The queue of a
        paused subscription stays; the queued runs of a deleted one end.
        """
        now = self._state.clock()
        let_in_ids: list[str] = []
        self._holds = False
        end = RunEnd(RunStatus.CANCELLED, DELETED)
        for rows in self._queued_runs(SubscriptionStatus.DELETED).values():
            self._end({row.run.id: end for row in rows}, now)
        for subscription, rows in self._queued_runs(SubscriptionStatus.ACTIVE).items():
            let_in_ids += await self._process_queue(
                subscription, rows, limit - len(let_in_ids), now
            )
        late_ids = [
            key
            for key, row in sorted(self._state.runs.items())
            if row.run.status is RunStatus.QUEUED
            and row.let_in_at is not None
            and row.run.started_at is None
            and row.let_in_at <= now - again_after
            and key not in let_in_ids
        ]
        late_ids.sort(key=lambda key: self._state.runs[key].let_in_at or now)
        return [_firing_ref(self._state.runs[key]) for key in (let_in_ids + late_ids)[:limit]]

    async def take_skip_turn(self, subscription_id: ids.SubscriptionId) -> bool:
        """Return whether a skipped run may run its onSkip tasks now; then the turn is used up."""
        name = limit_name(subscription_id)
        state = LimitState(self._state.limits.get(name), at_work=0, ahead=0)
        found = permit(SKIP_TASKS, state, self._state.clock())
        if found.look_again_at is not None:
            return False
        self._state.limits[name] = found.used_until
        return True

    async def seconds_to_release(self) -> float | None:
        """Return the seconds until a queued run may be let in without a call; None if none waits.

        That is when its throttle opens, or when the firing before it may be admitted.
        """
        now = self._state.clock()
        waits = [HELD_PAUSE] if self._holds else []
        for subscription, rows in self._queued_runs(SubscriptionStatus.ACTIVE).items():
            for row in rows:
                throttle = self._spec(row.run).throttle
                if throttle is None:
                    continue
                started = self._started(subscription, row.run.throttle_key)
                if (opens_at := throttle_opens_at(throttle, started, now)) is not None:
                    waits.append((opens_at - now).total_seconds())
        return min(waits, default=None)

    def _arrival(self, run: Run, now: datetime) -> Arrival:
        key = ids.firing_id(run.subscription_id, run.trigger, run.firing_key)
        firing = self._state.firings.get(key)
        if firing is None:
            return Arrival(now)
        return Arrival(firing.fires_at or now, 1 + list(self._state.firings).index(key))

    def _is_earlier_on_its_way(
        self, subscription: str, arrival: Arrival, priority: int, now: datetime
    ) -> bool:
        """Return whether an earlier firing may be admitted at this moment."""
        return any(
            row.firing.subscription_id == subscription
            and place < arrival.place
            and row.fires_at is not None
            and row.fires_at <= arrival.at
            and row.priority >= priority
            and row.firing.ref.run_id not in self._state.runs
            and (
                row.attempts == 0
                if row.dispatched_at is None
                else row.dispatched_at > now - ADMITTED_WITHIN
            )
            for place, row in enumerate(self._state.firings.values(), 1)
        )

    def _occupancy(
        self, run: Run, spec: DefinitionSpec, arrival: Arrival, now: datetime
    ) -> Occupancy:
        concurrency_key, throttle_key = run.concurrency_key, run.throttle_key
        subscription = run.subscription_id
        counts_all = spec.concurrency.policy is OverlapPolicy.REPLACE
        rows = self._rows(subscription)
        queue = [row for row in rows if _is_queued(row)]
        same_key = [row for row in queue if row.run.concurrency_key == concurrency_key]
        # A run does not overtake runs of its own trigger, even if the priority was raised since.
        priorities = [row.run.priority for row in same_key if row.run.trigger == run.trigger]
        priority = min((0 if counts_all else run.priority, *priorities))

        def comes_before(row: RunRow) -> bool:
            has_priority = not counts_all and row.run.priority > priority
            return has_priority or _arrival_of(row) < arrival

        before_ids = [
            row.run.id
            for row in same_key
            if comes_before(row) and (counts_all or row.run.priority >= priority)
        ]
        newer_ids = [
            row.run.id
            for row in rows
            if counts_all
            and row.run.concurrency_key == concurrency_key
            and row.run.ended_at is None
            and row.cancel_requested_at is None
            and _arrival_of(row) >= arrival
        ]
        return Occupancy(
            self._slots(subscription, concurrency_key),
            () if concurrency_key is None else tuple(before_ids),
            self._started(subscription, throttle_key),
            any(
                throttle_key is not None
                and row.run.throttle_key == throttle_key
                and comes_before(row)
                for row in queue
            ),
            priority,
            tuple(newer_ids),
            is_strict(spec) and self._is_earlier_on_its_way(subscription, arrival, priority, now),
        )

    def _rows(self, subscription: str) -> list[RunRow]:
        rows = [row for row in self._state.runs.values() if row.run.subscription_id == subscription]
        return sorted(rows, key=lambda row: (_arrival_of(row), row.run.id))

    def _queued_runs(self, status: SubscriptionStatus) -> Mapping[str, list[RunRow]]:
        """Return the queued runs of the subscriptions with that status, in queue order."""
        found = {
            key: sorted(filter(_is_queued, self._rows(key)), key=lambda row: -row.run.priority)
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
        # A run that was let in but ended before it began has not started.
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

    def _insert(
        self, run: Run, decided: GateResult, workflow_id: str, now: datetime, arrival: Arrival
    ) -> None:
        change = gate_change(run, decided, now)
        if decided.outcome == "queued":
            workflow_id = ids.let_in_workflow_id(run.subscription_id, run.trigger, run.firing_key)
        stored_run = replace(
            change.run,
            reason=stored_text(change.run.reason),
            params=stored_json(dict(run.params)),
            context=stored_json(dict(run.context)),
            state=stored_json(dict(run.state)),
            payload=stored_json(dict(run.payload)),
        )
        is_let_in = decided.outcome == "let_in" or decided.runs_tasks
        let_in_at = now if is_let_in else None
        self._state.runs[run.id] = RunRow(stored_run, workflow_id, None, let_in_at, arrival)
        self._state.write_log_entries(change.entries)
        wake_next_in_order(self._state, run)

    def _replace(self, run: Run, replaces: Iterable[ids.RunId], now: datetime) -> None:
        end, runs = replaced_end(run), self._state.runs
        rows = {key: runs[key] for key in replaces}
        self._end({key: end for key, row in rows.items() if _is_queued(row)}, now)
        for key, row in rows.items():
            if _is_at_work(row) and row.cancel_requested_at is None:
                run_to_cancel = replace(row.run, cancel_reason=end.reason)
                runs[key] = replace(row, run=run_to_cancel, cancel_requested_at=now)
                self._state.wake_workers(Work.CANCEL)

    def _end(self, ends: Mapping[ids.RunId, RunEnd], now: datetime) -> None:
        for key, end in ends.items():
            row = self._state.runs[key]
            change = run_change(row.run, Decision(end=end), now)
            stored_run = replace(change.run, reason=stored_text(change.run.reason))
            self._state.runs[key] = replace(row, run=stored_run, workflow_id=ids.NO_WORKFLOW)
            self._state.write_log_entries(change.entries)

    async def _process_queue(
        self, subscription: str, rows: list[RunRow], limit: int, now: datetime
    ) -> list[str]:
        queue = [
            QueuedRun(
                run.id,
                run.concurrency_key,
                run.throttle_key,
                self._spec(run),
                run.replay_of is not None,
            )
            for run in (row.run for row in rows)
        ]
        slots = {
            key: self._slots(subscription, key)
            for queued in queue
            if (key := queued.concurrency_key) is not None
        }
        started = {
            key: self._started(subscription, key)
            for queued in queue
            if (key := queued.throttle_key) is not None
        }
        decided = decide_queue(queue, slots, started, now, limit)
        skipping = await self._skip_queued(decided, now)
        chosen = [key for key, entry in decided if entry.outcome == "let_in"]
        strict = {queued.id for queued in queue if is_strict(queued.spec)}.intersection(chosen)
        held = {key for key in strict if self._is_held(subscription, key, now)}
        self._holds = self._holds or bool(held)
        chosen = without_held(chosen, held, strict)
        for key in chosen:
            row = self._state.runs[key]
            self._state.runs[key] = replace(row, run=replace(row.run, reason=None), let_in_at=now)
            self._state.write_log_entries(
                [let_in_log_entry(subscription, key, row.run.created_at, now)]
            )
        return [*chosen, *skipping]

    async def _skip_queued(
        self, decided: Iterable[tuple[ids.RunId, GateResult]], now: datetime
    ) -> list[str]:
        """Skip the runs whose policy says so; return those that run their onSkip tasks first."""
        skipping: list[str] = []
        for key, entry in decided:
            if entry.outcome != "skipped":
                continue
            row, result = self._state.runs[key], entry
            if self._spec(row.run).on_skip:
                has_turn = await self.take_skip_turn(row.run.subscription_id)
                result = with_skip_turn(entry, has_turn=has_turn)
            if result.runs_tasks:
                run = to_be_skipped(row.run, stored_text(result.reason))
                self._state.runs[key] = replace(row, run=run, let_in_at=now)
                skipping.append(key)
            else:
                self._end({key: RunEnd(RunStatus.SKIPPED, result.reason)}, now)
        return skipping

    def _is_held(self, subscription: str, key: ids.RunId, now: datetime) -> bool:
        row = self._state.runs[key]
        is_new = row.run.created_at > now - ADMITTED_WITHIN
        return is_new and self._is_earlier_on_its_way(
            subscription, _arrival_of(row), row.run.priority, now
        )


def may_begin(row: RunRow, workflow_id: str) -> bool:
    """Return whether the run was let in and waits for that workflow to begin it."""
    is_let_in = row.run.status is RunStatus.QUEUED and row.let_in_at is not None
    return is_let_in and row.workflow_id == workflow_id


def begun_run(state: MemoryState, change: RunChange, run: Run, before: Run) -> Run:
    """Return the run that begins; without its keys if it holds no slot any more.

    Then wake the queue.
    """
    run = replace(run, created_at=before.created_at, params=before.params)
    if not change.leaves_gates:
        return run
    state.wake_workers(Work.QUEUE)
    return replace(run, concurrency_key=None, throttle_key=None)


def _arrival_of(row: RunRow) -> Arrival:
    return row.arrival or Arrival(row.run.created_at)


def _is_queued(row: RunRow) -> bool:
    is_waiting = row.let_in_at is None and row.cancel_requested_at is None
    return row.run.status is RunStatus.QUEUED and is_waiting


def _is_at_work(row: RunRow) -> bool:
    is_in = row.let_in_at is not None or row.run.status is not RunStatus.QUEUED
    return row.run.ended_at is None and is_in


def _firing_ref(row: RunRow) -> FiringRef:
    run = row.run
    return FiringRef(
        run.subscription_id,
        run.trigger,
        run.firing_key,
        run.due_at.isoformat(),
        row.workflow_id,
        FiringCause.LET_IN,
    )
