"""Runs, task instances and dead letters in Postgres, as the steps of a run write them.

`lists.py` reads the lists that the commands show.
"""

from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from psycopg.errors import UniqueViolation

from activityctl.adapters.postgres.database import Connection, Database, to_jsonb, to_storable_text
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.rows import (
    RUN_COLUMNS,
    SUBSCRIPTION_COLUMNS,
    TASK_COLUMNS,
    run_of,
    spec_of,
    subscription_of,
    task_of,
)
from activityctl.adapters.postgres.runs.abandoning import abandon_run
from activityctl.adapters.postgres.runs.attempts import (
    fail_attempt,
    hold_task,
    release_attempt,
)
from activityctl.adapters.postgres.runs.changes import write_change, write_opened, write_outcomes
from activityctl.adapters.postgres.runs.grouped import Begin, GroupedWrites, Opening
from activityctl.adapters.postgres.runs.hooks import read_open
from activityctl.adapters.postgres.runs.recent import recent_runs
from activityctl.adapters.postgres.runs.replays import read_replayed
from activityctl.adapters.postgres.runs.waits import lock_answers
from activityctl.adapters.postgres.runs.writes import (
    BEGIN_LOOKUP,
    INSERT_RUN,
    LEAVE_GATES,
    run_values,
)
from activityctl.adapters.postgres.schedules.outbox import wake_next_in_order
from activityctl.adapters.postgres.signals import notify_sql, wake_workers
from activityctl.domain.manifests.definition import DefinitionSpec, Revision
from activityctl.domain.runs.admission import AdmissionInput, FiringRecord
from activityctl.domain.runs.run import Run, RunState, RunStatus, TaskInstance
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids
from activityctl.domain.values.ids import TaskId
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.errors import UnstorableError
from activityctl.ports import BegunAttempt, HookRow, KnownRun, OpenResult, Work

_MAX_CACHED_SPECS: Final = 1_000

_SELECT_RUN: Final = f"""
    SELECT {RUN_COLUMNS}, v.spec FROM runs r
    JOIN subscriptions s ON s.id = r.subscription_id
    JOIN revisions v ON v.id = r.revision_id
    WHERE r.id = %(id)s"""
# Several lists of parts can give one id, so the parts are compared too.
_SELECT_ADMISSION_INPUT: Final = f"""
    SELECT {SUBSCRIPTION_COLUMNS}, f.payload, f.priority, (
            SELECT jsonb_agg(e.document ORDER BY x.place)
            FROM unnest(f.event_ids) WITH ORDINALITY AS x(id, place) JOIN events e ON e.id = x.id
        ) AS events,
        v.id AS revision_id, v.number, v.spec, v.created_at AS revised_at,
        coalesce(r.due_at, f.due_at) AS due_at, r.status AS run_status,
        r.let_in_at IS NOT NULL AS is_let_in,
        coalesce(r.ending = 'skipped', false) AS is_skipping,
        coalesce(f.dispatched_at IS NOT NULL OR f.fires_at <= clock_timestamp(), false)
            AS may_start,
        v.definition AS firing_definition, f.params AS firing_params
    FROM subscriptions s JOIN definitions d ON d.name = s.definition
    LEFT JOIN firings f ON f.id = %(firing)s AND f.subscription_id = s.id
        AND f.trigger = %(trigger)s AND f.firing_key = %(key)s
    JOIN revisions v ON v.id = coalesce(f.revision_id, d.revision_id)
    LEFT JOIN runs r ON r.subscription_id = s.id AND r.trigger = %(trigger)s
        AND r.firing_key = %(key)s
    WHERE s.id = %(subscription)s"""
_SELECT_TASKS: Final = f"""
    SELECT {TASK_COLUMNS} FROM tasks t WHERE t.run_id = %(id)s ORDER BY t.created_at, t.name,
    t.index"""
# No conflict key is named: when two calls insert a run, any of its unique keys may clash first.
_INSERT_RUN_ONCE: Final = f"{INSERT_RUN} ON CONFLICT DO NOTHING"
_MARK_STARTED: Final = """
    UPDATE firings SET dispatched_at = coalesce(dispatched_at, %s) WHERE id = %s"""
_BEGIN_LET_IN: Final = """
    UPDATE runs SET status = %(status)s, reason = %(reason)s, ending = %(ending)s,
        context = %(context)s, state = %(state)s, started_at = %(started_at)s,
        ended_at = %(ended_at)s
    WHERE id = %(id)s AND status = 'queued' AND let_in_at IS NOT NULL
        AND workflow_id = %(workflow_id)s"""


class PostgresRunStore:
    """Implements the RunStore port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._specs: dict[str, DefinitionSpec] = {}
        self._grouped = GroupedWrites(database, lambda: self._specs)

    async def admission_input(self, firing: FiringRef) -> AdmissionInput | None:
        """Return what admission needs; None when the subscription is unknown."""
        row = await self._database.fetch_one(
            _SELECT_ADMISSION_INPUT,
            subscription=firing.subscription_id,
            trigger=to_storable_text(firing.trigger),
            key=to_storable_text(firing.firing_key),
            firing=ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key),
        )
        if row is None:
            return None
        revision = Revision(
            ids.RevisionId(row["revision_id"]),
            row["firing_definition"],
            row["number"],
            row["spec"],
            row["revised_at"],
        )
        return AdmissionInput(
            subscription_of(row),
            revision,
            self._typed_spec(revision.id, revision.spec).for_trigger(firing.trigger),
            row["params"] if row["firing_params"] is None else row["firing_params"],
            payload=row["payload"] or {},
            events=tuple(row["events"] or ()),
            priority=row["priority"] or 0,
            record=_firing_record(row),
            replayed=await read_replayed(self._database, firing, self.load),
        )

    async def specs_of(self, revision_ids: Collection[str]) -> dict[str, DefinitionSpec]:
        """Return the specs of these revisions, by revision id."""
        found = {key: self._specs[key] for key in revision_ids if key in self._specs}
        if missing := sorted(set(revision_ids) - found.keys()):
            rows = await self._database.fetch(
                "SELECT id, spec FROM revisions WHERE id = ANY(%(ids)s)", ids=missing
            )
            found |= {row["id"]: self._typed_spec(row["id"], row["spec"]) for row in rows}
        return found

    async def spec_of_run(self, run_id: str) -> DefinitionSpec | None:
        """Return the spec of the run's revision; None if the run does not exist."""
        row = await self._database.fetch_one(
            "SELECT revision_id, trigger FROM runs WHERE id = %(id)s", id=run_id
        )
        if row is None:
            return None
        found = await self.specs_of([row["revision_id"]])
        return next((spec.for_trigger(row["trigger"]) for spec in found.values()), None)

    async def open(
        self,
        workflow_id: str,
        change: RunChange,
        version: str | None = None,
        *,
        after: Awaitable[None] | None = None,
    ) -> OpenResult:
        """Insert the run with its first task instances, or begin a run that was let in."""
        values = run_values(change.run, workflow_id)
        if change.run.has_entered_gates:
            return await self._begin_let_in(values, change, after)
        try:
            await self._grouped.open(Opening(values, change, version), after)
        except UniqueViolation:  # the run exists
            return await self._begin_let_in(values, change, after)
        except UnstorableError:
            if version is None:
                raise
            return OpenResult.CHANGED  # or the data cannot be stored, which the next try tells
        return OpenResult.OPENED

    async def _begin_let_in(
        self, values: Mapping[str, Any], change: RunChange, after: Awaitable[None] | None = None
    ) -> OpenResult:
        async with self._database.held_transaction() as connection:
            cursor = await connection.execute(_BEGIN_LET_IN, values)
            if not cursor.rowcount:
                return await self._opened_before(connection, change.run.id, values["workflow_id"])
            if change.leaves_gates:
                await connection.execute(LEAVE_GATES, values)
                await wake_workers(connection, Work.QUEUE)
            if after is not None:
                await after
            async with connection.committing():
                await write_opened(connection, change)
        return OpenResult.OPENED

    async def begin_lookup(self, workflow_id: str, run: Run, entry: LogEntry) -> OpenResult:
        """Record that the context of a queued run that was let in is looked up from now on."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(BEGIN_LOOKUP, run_values(run, workflow_id))
            if not cursor.rowcount:
                return await self._opened_before(connection, run.id, workflow_id)
            await insert_log_entries(connection, [entry])
        return OpenResult.OPENED

    async def _opened_before(
        self, connection: Connection, run_id: str, workflow_id: str
    ) -> OpenResult:
        cursor = await connection.execute(
            "SELECT workflow_id = %s AND ended_at IS NULL AS is_ours FROM runs WHERE id = %s",
            (workflow_id, run_id),
        )
        row = await cursor.fetchone()
        return OpenResult.OURS if row and row["is_ours"] else OpenResult.TAKEN

    async def load(self, run_id: str) -> RunState | None:
        """Return the run with its tasks; None when there is no such run."""
        async with self._database.connection() as connection:
            return await self._read(connection, run_id, _SELECT_RUN)

    @asynccontextmanager
    async def locked(
        self, run_id: str, *, holds_tasks: bool = False
    ) -> AsyncIterator["PostgresLockedRun"]:
        """Lock the run, and its tasks if asked, while a decision about it is made and saved."""
        tasks = f"{_SELECT_TASKS} FOR UPDATE OF t" if holds_tasks else _SELECT_TASKS
        async with self._database.held_transaction() as connection:
            state = await self._read(connection, run_id, f"{_SELECT_RUN} FOR UPDATE OF r", tasks)
            locked = PostgresLockedRun(connection, state)
            yield locked
            async with connection.committing():
                for change in locked.saved:
                    await write_outcomes(connection, [change])

    async def abandon(self, run_id: str, status: RunStatus, reason: str, now: datetime) -> bool:
        """End the run and its open tasks without reading their data; return whether it has ended.

        A run is cancelled only if that was requested. True if there is no such run.
        """
        async with self._database.transaction() as connection:
            return await abandon_run(connection, run_id, status, reason, now)

    async def begin_attempt(
        self,
        task_id: str,
        now: datetime,
        worker: str,
        *,
        reads_run: bool = False,
        lane: str | None = None,
    ) -> BegunAttempt | None:
        """Mark the task as running and count the attempt; None when it may not begin."""
        return await self._grouped.begin(Begin(task_id, now, worker, reads_run, lane))

    async def save_unchanged(self, known: KnownRun, change: RunChange) -> bool:
        """Write the change if nothing was decided about the run since; return whether it is."""
        return await self._grouped.save_unchanged(known, change)

    async def fail_attempt(
        self, task_id: str, error: str, entry: LogEntry, code: str | None = None
    ) -> int:
        """Count, record and log a failed attempt; return how many have failed so far."""
        async with self._database.one_trip() as connection:
            return await fail_attempt(connection, task_id, error, entry, code)

    async def release_attempt(self, task_id: str, entry: LogEntry) -> None:
        """Write the entry, and record that the attempt was interrupted."""
        async with self._database.one_trip() as connection:
            await release_attempt(connection, task_id, entry)

    async def hold_task(self, task_id: str, reason: str, entry: LogEntry) -> None:
        """Note why no attempt of an open task begins; write the entry if that is new."""
        async with self._database.transaction() as connection:
            await hold_task(connection, task_id, reason, entry)

    async def keep_output(self, task_id: str, output: JsonValue, entry: LogEntry) -> None:
        """Write the entry, and the output of a stopped attempt; a task that has ended keeps its."""
        async with self._database.one_trip() as connection:
            await connection.execute(
                """UPDATE tasks SET output = CASE WHEN ended_at IS NULL THEN %(output)s
                       ELSE coalesce(output, %(output)s) END WHERE id = %(id)s""",
                {"id": task_id, "output": to_jsonb(output)},
            )
            await insert_log_entries(connection, [entry], again=True)

    async def recent(
        self, subscription_id: str, *, limit: int, status: RunStatus | None, excluding: str
    ) -> list[tuple[Run, list[TaskInstance]]]:
        """Return the subscription's latest ended runs with their tasks, newest first."""
        return await recent_runs(
            self._database, subscription_id, limit=limit, status=status, excluding=excluding
        )

    async def request_cancel(self, run_id: str, now: datetime, reason: str | None = None) -> bool:
        """Record the request to cancel and wake the dispatcher; False when the run has ended."""
        # Who asks as a person has no right to the column of the reason.
        because = ", cancel_reason = coalesce(cancel_reason, %(reason)s)" if reason else ""
        row = await self._database.fetch_one(
            f"""WITH wish AS (
                    UPDATE runs
                    SET cancel_requested_at = coalesce(cancel_requested_at, %(now)s){because}
                    WHERE id = %(id)s AND ended_at IS NULL RETURNING id)
                SELECT id, {notify_sql(Work.CANCEL)} FROM wish""",
            id=run_id,
            now=now,
            reason=reason,
        )
        return row is not None

    async def cancel_accepted(self, workflow_id: str, change: RunChange) -> bool:
        """Write the cancelled run of a firing that has none; False if it has one or is unknown."""
        run = change.run
        firing = ids.firing_id(run.subscription_id, run.trigger, run.firing_key)
        async with self._database.transaction() as connection:
            # The lock comes first: a dispatcher may wait for the run while it holds the firing.
            cursor = await connection.execute(
                "SELECT FROM firings WHERE id = %s FOR UPDATE", (firing,)
            )
            if not cursor.rowcount:
                return False
            cursor = await connection.execute(
                _INSERT_RUN_ONCE.encode(), run_values(run, workflow_id)
            )
            if not cursor.rowcount:
                return False
            await connection.execute(_MARK_STARTED, (run.ended_at, firing))
            await write_change(connection, change)
            await wake_next_in_order(connection, run)
        return True

    async def cancel_requests(self) -> list[tuple[str, str]]:
        """Return (run id, workflow id) of the open runs with a request to cancel."""
        rows = await self._database.fetch(
            """SELECT id, workflow_id FROM runs
               WHERE ended_at IS NULL AND cancel_requested_at IS NOT NULL"""
        )
        return [(row["id"], row["workflow_id"]) for row in rows]

    async def _read(
        self, connection: Connection, run_id: str, run: str, tasks: str = _SELECT_TASKS
    ) -> RunState | None:
        """Read the run and its tasks with these statements."""
        async with connection.pipeline():
            runs_cursor = await connection.execute(run.encode(), {"id": run_id})
            tasks_cursor = await connection.execute(tasks.encode(), {"id": run_id})
        row = await runs_cursor.fetchone()
        if row is None:
            return None
        found = tuple(task_of(task) for task in await tasks_cursor.fetchall())
        spec = self._typed_spec(row["revision_id"], row["spec"]).for_trigger(row["trigger"])
        return RunState(run_of(row), spec, found)

    def _typed_spec(self, revision_id: str, stored: dict[str, object]) -> DefinitionSpec:
        """Return the typed spec. Revisions never change, so the specs are cached."""
        spec = self._specs.get(revision_id)
        if spec is None:
            if len(self._specs) >= _MAX_CACHED_SPECS:
                self._specs.clear()
            spec = self._specs[revision_id] = spec_of(stored)
        return spec


class PostgresLockedRun:
    """A run that is locked until the block ends."""

    def __init__(self, connection: Connection, state: RunState | None) -> None:
        self._connection = connection
        self.state = state
        self.saved: list[RunChange] = []

    async def answers(self) -> dict[TaskId, Answer]:
        """Return the answers to waiting tasks that are not settled; no other can come now."""
        if self.state is None:
            return {}
        return await lock_answers(self._connection, self.state.run.id)

    async def open_triggers(self, keys: Sequence[str]) -> list[HookRow]:
        """Return the triggers with these idempotency keys that have not ended."""
        return await read_open(self._connection, keys)

    async def save(self, change: RunChange) -> None:
        """Write the change; it takes effect when the block ends without an exception."""
        self.saved.append(change)


def _firing_record(row: Mapping[str, Any]) -> FiringRecord | None:
    if row["due_at"] is None:
        return None
    status = RunStatus(row["run_status"]) if row["run_status"] else None
    return FiringRecord(
        row["due_at"], row["may_start"], status, row["is_let_in"], row["is_skipping"]
    )
