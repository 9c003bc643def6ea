"""The gates in Postgres: slots and starts are counted in the runs' rows, under locks.

A run enters under the shared lock of its subscription and the exclusive locks of its keys. Queued
runs are let in under the exclusive lock of the subscription. So runs with different keys enter at
the same time, and no run enters while the queue is processed.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.errors import UniqueViolation

from activityctl.adapters.postgres.database import Connection, Database
from activityctl.adapters.postgres.rows import spec_of
from activityctl.adapters.postgres.runs import gate_rows, skip_turns
from activityctl.adapters.postgres.signals import wake_workers
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.concurrency import (
    DELETED,
    GateResult,
    QueuedRun,
    decide_gate,
    decide_queue,
    gate_change,
    gate_keys,
    has_no_free_slot,
    is_strict,
    throttle_opens_at,
    without_held,
)
from activityctl.domain.runs.run import Run, RunEnd, RunStatus
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids
from activityctl.errors import ExpressionError, InternalError
from activityctl.ports import ADMITTED_WITHIN, BEGINS_WITHIN, HELD_PAUSE, Work

_MAX_CACHED_SPECS: Final = 1_000
_ENTER_ATTEMPTS: Final = 3

# The first run of each queue, found by the index: a queue may be long.
_FIRST_OF_QUEUE: Final = f"""
    SELECT r.subscription_id, r.arrived_at FROM runs r WHERE {gate_rows.IS_QUEUED} %s
    ORDER BY r.subscription_id, r.arrived_at, r.place LIMIT 1"""
SELECT_QUEUES: Final = f"""
    WITH RECURSIVE queues AS (
        ({_FIRST_OF_QUEUE % ""}) UNION ALL
        SELECT other.* FROM queues q CROSS JOIN LATERAL (
            {_FIRST_OF_QUEUE % "AND r.subscription_id > q.subscription_id"}) other)
    SELECT s.id FROM queues q JOIN subscriptions s ON s.id = q.subscription_id
    WHERE s.status <> 'paused' ORDER BY q.arrived_at, s.id"""
_SELECT_THROTTLED: Final = f"""
    SELECT DISTINCT r.subscription_id, r.throttle_key, r.revision_id
    FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
    WHERE {gate_rows.IS_QUEUED} AND r.throttle_key IS NOT NULL AND s.status = 'active'"""


class PostgresGates:
    """Implements the Gates port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._specs: dict[str, DefinitionSpec] = {}
        self._holds = False
        """Whether the last call of `let_in` held a run back for an earlier firing."""

    async def enter(self, run: Run, spec: DefinitionSpec, workflow_id: str) -> GateResult:
        """Insert the run as its gates decide, and end or cancel the runs that it replaces.

        For a run that exists the result comes from its row.
        """
        try:
            # In a thread, because the expressions of the keys may be much work.
            keys = await asyncio.to_thread(gate_keys, run, spec, run.created_at)
        except ExpressionError:
            # A run that has entered before has its keys, even if this revision cannot render them.
            async with self._database.connection() as connection:
                result = await gate_rows.read_repeated_result(connection, run.id, workflow_id)
            if result is None:
                raise
            return result
        arriving = replace(run, concurrency_key=keys[0], throttle_key=keys[1])
        for _ in range(_ENTER_ATTEMPTS):
            try:
                async with self._database.transaction() as connection:
                    return await _enter(connection, arriving, spec, workflow_id)
            except UniqueViolation:
                continue  # another call has inserted the run; the next attempt reads its row
        raise InternalError(
            f"could not insert or find run {run.id} after {_ENTER_ATTEMPTS} attempts"
        )

    async def let_in(
        self, limit: int = 100, *, again_after: timedelta = BEGINS_WITHIN
    ) -> list[FiringRef]:
        """Let in the queued runs whose turn has come; return the firings of workflows to start.

        Runs that were let in `again_after` ago and have not begun come last. The queue of a
        paused subscription stays; the queued runs of a deleted one end.
        """
        found: dict[str, FiringRef] = {}
        self._holds = False
        queues, not_begun = await asyncio.gather(
            self._database.fetch(SELECT_QUEUES),
            gate_rows.read_not_begun(self._database, again_after, limit),
        )
        for row in queues:
            if len(found) < limit:
                found |= await self._process_queue(row["id"], limit - len(found))
        return list((found | not_begun).values())[:limit]

    async def take_skip_turn(self, subscription_id: ids.SubscriptionId) -> bool:
        """Return whether a skipped run may run its onSkip tasks now; then the turn is used up."""
        async with self._database.connection() as connection:
            return await skip_turns.take_turn(connection, subscription_id)

    async def seconds_to_release(self) -> float | None:
        """Return the seconds until a queued run may be let in without a call; None if none waits.

        That is when its throttle opens, or when the firing before it may be admitted.
        """
        async with self._database.transaction() as connection:
            cursor = await connection.execute(_SELECT_THROTTLED.encode())
            rows = await cursor.fetchall()
            specs = await self._read_specs(connection, {row["revision_id"] for row in rows})
            queues = [
                ((row["subscription_id"], row["throttle_key"]), throttle)
                for row in rows
                if (throttle := specs[row["revision_id"]].throttle) is not None
            ]
            wanted = [(*key, throttle.limit) for key, throttle in queues]
            starts = await gate_rows.read_starts(connection, wanted)
            now = await gate_rows.read_clock(connection)
        opens = [throttle_opens_at(throttle, starts[key], now) for key, throttle in queues]
        waits = [(moment - now).total_seconds() for moment in opens if moment is not None]
        return min([*waits, *([HELD_PAUSE] if self._holds else [])], default=None)

    async def _process_queue(self, subscription: str, limit: int) -> dict[str, FiringRef]:
        """Process the queue of one subscription; return the runs that were let in, by id."""
        async with self._database.transaction() as connection:
            lock = _lock_number("gates", subscription)
            orphan_ids, heads = await gate_rows.lock_queue(connection, subscription, lock, limit)
            if orphan_ids:
                end = RunEnd(RunStatus.CANCELLED, DELETED)
                now = await gate_rows.read_clock(connection)
                await gate_rows.end_queued(connection, dict.fromkeys(orphan_ids, end), now)
                return {}
            queue = await self._queue_of(connection, heads)
            created = {ids.RunId(row["id"]): row["created_at"] for row in heads}
            let_in, holds = await _let_in_from_queue(
                connection, subscription, queue, created, limit
            )
            self._holds = self._holds or holds
            return let_in

    async def _queue_of(
        self, connection: Connection, rows: Sequence[Mapping[str, Any]]
    ) -> list[QueuedRun]:
        specs = await self._read_specs(connection, {row["revision_id"] for row in rows})
        return [
            QueuedRun(
                ids.RunId(row["id"]),
                row["concurrency_key"],
                row["throttle_key"],
                specs[row["revision_id"]],
                row["is_retry"],
            )
            for row in rows
        ]

    async def _read_specs(
        self, connection: Connection, revisions: set[str]
    ) -> Mapping[str, DefinitionSpec]:
        """Return typed specs by revision. Revisions never change, so the specs are cached."""
        if len(self._specs) >= _MAX_CACHED_SPECS:
            self._specs = {}
        if missing := sorted(revisions - self._specs.keys()):
            cursor = await connection.execute(
                "SELECT id, spec FROM revisions WHERE id = ANY(%s)", (missing,)
            )
            self._specs |= {row["id"]: spec_of(row["spec"]) for row in await cursor.fetchall()}
        return self._specs


def _locks(run: Run) -> list[tuple[int, bool]]:
    """Return the subscription's shared lock, then the locks of the keys by number.

    All callers take them in this order, which prevents deadlocks.
    """
    # Do not change these words: workers of two versions would take different locks.
    keys = {"place": run.concurrency_key, "throttle": run.throttle_key}
    numbers = sorted(
        _lock_number("gate", run.subscription_id, kind, key)
        for kind, key in keys.items()
        if key is not None
    )
    shared = (_lock_number("gates", run.subscription_id), True)
    return [shared, *((number, False) for number in numbers)]


def _lock_number(*parts: str) -> int:
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


async def _enter(
    connection: Connection, run: Run, spec: DefinitionSpec, workflow_id: str
) -> GateResult:
    """Decide on the run and write it; raise UniqueViolation when another call inserts it."""
    found = await gate_rows.read_occupancy(connection, run, spec, workflow_id, _locks(run))
    if isinstance(found, GateResult):
        return found
    now, arrival, occupancy = found
    # One clock sets the order of the queue.
    arriving = replace(run, created_at=now, priority=occupancy.priority)
    decided = decide_gate(spec, occupancy, arriving, now)
    decided = await skip_turns.with_turn(connection, run.subscription_id, spec, decided)
    if decided.outcome == "queued":
        workflow_id = ids.let_in_workflow_id(run.subscription_id, run.trigger, run.firing_key)
    let_in_at = now if decided.outcome == "let_in" or decided.runs_tasks else None
    change = gate_change(arriving, decided, now)
    has_room = not has_no_free_slot(spec.concurrency, occupancy.slots_taken)
    if decided.replaces:
        await gate_rows.replace_runs(connection, arriving, decided.replaces)
    async with connection.committing():
        await gate_rows.insert_run(connection, change, workflow_id, let_in_at, arrival)
        if decided.outcome == "queued" and has_room:
            await wake_workers(connection, Work.QUEUE)
    return decided


async def _let_in_from_queue(
    connection: Connection,
    subscription: str,
    queue: list[QueuedRun],
    created: Mapping[ids.RunId, datetime],
    limit: int,
) -> tuple[dict[str, FiringRef], bool]:
    """Let in the runs whose turn has come; return them, and whether one was held back."""
    slots, started, now = await gate_rows.read_places(connection, subscription, queue)
    decided = decide_queue(queue, slots, started, now, limit)
    skipping = await _skip_queued(connection, subscription, queue, decided, now)
    chosen = [run for run, entry in decided if entry.outcome == "let_in"]
    strict = {queued.id for queued in queue if is_strict(queued.spec)}.intersection(chosen)
    young = {run for run in strict if created[run] > now - ADMITTED_WITHIN}
    held = await gate_rows.read_held(connection, subscription, young) if young else set()
    chosen = without_held(chosen, held, strict)
    let_in = await gate_rows.let_in_runs(connection, chosen, now) if chosen else {}
    return let_in | skipping, bool(held)


async def _skip_queued(
    connection: Connection,
    subscription: str,
    queue: Iterable[QueuedRun],
    decided: Iterable[tuple[ids.RunId, GateResult]],
    now: datetime,
) -> dict[str, FiringRef]:
    """Skip the runs whose policy says so; return those that run their onSkip tasks first."""
    specs = {queued.id: queued.spec for queued in queue}
    owner = ids.SubscriptionId(subscription)
    results = {
        run: await skip_turns.with_turn(connection, owner, specs[run], entry)
        for run, entry in decided
        if entry.outcome == "skipped"
    }
    ends = {
        run: RunEnd(RunStatus.SKIPPED, entry.reason)
        for run, entry in results.items()
        if not entry.runs_tasks
    }
    if ends:
        await gate_rows.end_queued(connection, ends, now)
    reasons = {run: entry.reason for run, entry in results.items() if entry.runs_tasks}
    return await skip_turns.let_in_skipped(connection, reasons, now) if reasons else {}
