"""The gates in Postgres: places and starts are counted in the runs' rows, under advisory locks.

A run enters under its subscription's lock, shared, and under those of its keys; queued runs are
let in under the subscription's lock alone, held exclusively. So entries with other keys go on
side by side, and nobody enters while the queue moves.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from psycopg.errors import UniqueViolation

from activityctl.adapters.postgres.database import Connection, Database
from activityctl.adapters.postgres.rows import spec_of
from activityctl.adapters.postgres.runs import gate_rows
from activityctl.adapters.postgres.signals import wake_workers
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.run_limits import Excess
from activityctl.domain.runs.concurrency import (
    DELETED,
    GateResult,
    QueuedRun,
    decide_gate,
    decide_queue,
    gate_change,
    gate_keys,
    has_no_free_slot,
    throttle_opens_at,
)
from activityctl.domain.runs.run import Run, RunEnd, RunStatus
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids
from activityctl.errors import ExpressionError, InternalError
from activityctl.ports import BEGINS_WITHIN, Work

_SPECS_KEPT: Final = 1_000
_RACES: Final = 3

_MOVABLE: Final = f"""
    SELECT r.subscription_id AS id FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
    WHERE {gate_rows.QUEUED} AND s.status <> 'paused'
    GROUP BY r.subscription_id ORDER BY min(r.created_at), r.subscription_id"""
_THROTTLED: Final = f"""
    SELECT DISTINCT r.subscription_id, r.throttle_key, r.revision_id
    FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
    WHERE {gate_rows.QUEUED} AND r.throttle_key IS NOT NULL AND s.status = 'active'"""


class PostgresGates:
    """The Gates port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._specs: dict[str, DefinitionSpec] = {}

    async def enter(self, run: Run, spec: DefinitionSpec, workflow_id: str) -> GateResult:
        """Insert the run as the gate decides, or answer from its row; carry out `replaces`."""
        try:
            place, throttle = gate_keys(run, spec, run.created_at)
        except ExpressionError:
            # One that entered before has its keys, though a later revision has no more.
            async with self._database.connection() as connection:
                answer = await gate_rows.read_answer(connection, run.id, workflow_id)
            if answer is None:
                raise
            return answer
        arriving = replace(run, concurrency_key=place, throttle_key=throttle)
        for _ in range(_RACES):
            try:
                async with self._database.transaction() as connection:
                    return await _enter(connection, arriving, spec, workflow_id)
            except UniqueViolation:
                continue  # another call with other keys was faster; the row answers
        raise InternalError(f"run {run.id} exists and does not")

    async def let_in(
        self, limit: int = 100, *, again_after: timedelta = BEGINS_WITHIN
    ) -> list[FiringRef]:
        """Let in those whose turn has come; return whose workflows are to be started."""
        found: dict[str, FiringRef] = {}
        for row in await self._database.fetch(_MOVABLE):
            if len(found) < limit:
                found |= await self._take_turns(row["id"], limit - len(found))
        async with self._database.connection() as connection:
            late = await gate_rows.read_unbegun(connection, again_after, found, limit - len(found))
        return [*found.values(), *late]

    async def seconds_to_release(self) -> float | None:
        """Return how long until a throttle lets the next queued run in; None when none waits."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(_THROTTLED.encode())
            rows = await cursor.fetchall()
            specs = await self._read_specs(connection, {row["revision_id"] for row in rows})
            queues = [
                ((row["subscription_id"], row["throttle_key"]), throttle)
                for row in rows
                if (throttle := specs[row["revision_id"]].throttle) is not None
                and throttle.excess is Excess.QUEUE
            ]
            wanted = [(*key, throttle.limit) for key, throttle in queues]
            starts = await gate_rows.read_starts(connection, wanted)
            now = await gate_rows.read_clock(connection)
        opens = [throttle_opens_at(throttle, starts[key], now) for key, throttle in queues]
        waits = [(moment - now).total_seconds() for moment in opens if moment is not None]
        return min(waits, default=None)

    async def _take_turns(self, subscription: str, limit: int) -> dict[str, FiringRef]:
        """Move the queues of one subscription; return the runs that were let in, by id."""
        async with self._database.transaction() as connection:
            lock = _lock_number("gates", subscription)
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock,))
            orphans = await gate_rows.read_orphans(connection, subscription)
            if orphans:
                end = RunEnd(RunStatus.CANCELLED, DELETED)
                now = await gate_rows.read_clock(connection)
                await gate_rows.end_queued(connection, dict.fromkeys(orphans, end), now)
                return {}
            queue = await self._read_queue(connection, subscription, limit)
            return await _move(connection, subscription, queue, limit)

    async def _read_queue(
        self, connection: Connection, subscription: str, limit: int
    ) -> list[QueuedRun]:
        rows = await gate_rows.read_heads(connection, subscription, limit)
        specs = await self._read_specs(connection, {row["revision_id"] for row in rows})
        return [
            QueuedRun(
                ids.RunId(row["id"]),
                row["concurrency_key"],
                row["throttle_key"],
                specs[row["revision_id"]],
            )
            for row in rows
        ]

    async def _read_specs(
        self, connection: Connection, revisions: set[str]
    ) -> Mapping[str, DefinitionSpec]:
        """Return typed specs by revision; revisions never change, so the latest are kept."""
        if len(self._specs) >= _SPECS_KEPT:
            self._specs = {}
        if missing := sorted(revisions - self._specs.keys()):
            cursor = await connection.execute(
                "SELECT id, spec FROM revisions WHERE id = ANY(%s)", (missing,)
            )
            self._specs |= {row["id"]: spec_of(row["spec"]) for row in await cursor.fetchall()}
        return self._specs


def _locks(run: Run) -> list[tuple[int, bool]]:
    """Return the subscription's lock, shared, then those of the keys, in one order for all."""
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
    """Decide on the run and write it; UniqueViolation when it exists since a moment ago."""
    before = await gate_rows.read_before(connection, run, spec, workflow_id, _locks(run))
    if isinstance(before, GateResult):
        return before
    now, occupancy = before
    # The queue's order is that of one clock.
    arriving = replace(run, created_at=now, priority=occupancy.priority)
    decided = decide_gate(spec, occupancy, arriving, now)
    if decided.outcome == "queued":
        workflow_id = ids.let_in_workflow_id(run.subscription_id, run.trigger, run.firing_key)
    let_in_at = now if decided.outcome == "let_in" else None
    change = gate_change(arriving, decided, now)
    has_room = not has_no_free_slot(spec.concurrency, occupancy.slots_taken)
    async with connection.pipeline():
        await gate_rows.insert_run(connection, change, workflow_id, let_in_at)
        if decided.outcome == "queued" and has_room:
            await wake_workers(connection, Work.QUEUE)
    await gate_rows.replace_runs(connection, arriving, decided.replaces)
    return decided


async def _move(
    connection: Connection, subscription: str, queue: list[QueuedRun], limit: int
) -> dict[str, FiringRef]:
    places = await gate_rows.read_slots(connection, subscription, queue)
    wanted = [
        (subscription, one.throttle_key, one.spec.throttle.limit)
        for one in queue
        if one.throttle_key is not None and one.spec.throttle is not None
    ]
    starts = await gate_rows.read_starts(connection, wanted)
    now = await gate_rows.read_clock(connection)
    started = {key: moments for (_, key), moments in starts.items()}
    decided = decide_queue(queue, places, started, now, limit)
    ends = {
        run: RunEnd(RunStatus.SKIPPED, entry.reason)
        for run, entry in decided
        if entry.outcome == "skipped"
    }
    if ends:
        await gate_rows.end_queued(connection, ends, now)
    chosen = [run for run, entry in decided if entry.outcome == "let_in"]
    return await gate_rows.let_in_runs(connection, chosen, now) if chosen else {}
