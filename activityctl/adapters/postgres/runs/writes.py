"""The statements that insert runs and task instances, and their values.

`rows` converts rows back to domain values.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import dump_storable_json, to_jsonb, to_storable_text
from activityctl.domain.runs.concurrency import Arrival
from activityctl.domain.runs.run import Run, TaskInstance
from activityctl.domain.tasks.guard import guard_json

_PART: Final = 8 << 20
"""Characters after which the rows of `json_parts` go on in another value."""
_RUN_COLUMNS: Final = """id, subscription_id, definition, revision_id, trigger, firing_key,
        workflow_id, due_at, status, reason, ending, params, context, state, payload,
        created_at, started_at, ended_at, concurrency_key, throttle_key, priority, events,
        let_in_at, arrived_at, place, replay_of, key_run, first_key,
        fresh_keys"""
INSERT_RUN: Final = f"""
    INSERT INTO runs AS r ({_RUN_COLUMNS})
    VALUES (%(id)s, %(subscription_id)s, %(definition)s, %(revision_id)s, %(trigger)s,
        %(firing_key)s, %(workflow_id)s, %(due_at)s, %(status)s, %(reason)s, %(ending)s,
        %(params)s, %(context)s, %(state)s, %(payload)s, %(created_at)s, %(started_at)s,
        %(ended_at)s, %(concurrency_key)s, %(throttle_key)s, %(priority)s, %(events)s,
        %(let_in_at)s, %(arrived_at)s, %(place)s, %(replay_of)s, %(key_run)s, %(first_key)s,
        %(fresh_keys)s)"""
"""Takes `run_values`. Raises UniqueViolation when the run exists; add ON CONFLICT to avoid it."""
INSERT_RUNS: Final = f"""
    INSERT INTO runs ({_RUN_COLUMNS})
    SELECT {_RUN_COLUMNS} FROM jsonb_populate_recordset(NULL::runs, %(rows)s)"""
"""Takes a part of `json_parts` of `run_values`. Raises as INSERT_RUN does; then it inserts none."""
BEGIN_LOOKUP: Final = """
    UPDATE runs SET started_at = %(started_at)s, reason = %(reason)s
    WHERE id = %(id)s AND status = 'queued' AND let_in_at IS NOT NULL AND started_at IS NULL
        AND workflow_id = %(workflow_id)s"""
"""Takes `run_values`; changes a run that was let in and whose context is not looked up yet."""
LEAVE_GATES: Final = """
    UPDATE runs SET concurrency_key = NULL, throttle_key = NULL WHERE id = %(id)s"""
"""Takes `run_values`; the run holds no slot any more."""
_TASK_COLUMNS: Final = """id, run_id, name, index, of, phase, kind, status, attempts, input,
        output, error, code, reason, created_at, started_at, ended_at, waits_until, lane,
        guard, idempotency_key"""
INSERT_TASKS: Final = f"""
    INSERT INTO tasks ({_TASK_COLUMNS})
    SELECT {_TASK_COLUMNS} FROM jsonb_populate_recordset(NULL::tasks, %(rows)s)
    ON CONFLICT DO NOTHING"""
"""Takes a part of `json_parts` of `task_values`; leaves out tasks that exist."""
UPDATE_TASKS: Final = """
    WITH changed AS (
        UPDATE tasks t SET status = v.status, output = v.output, error = v.error, code = v.code,
            reason = v.reason, ended_at = v.ended_at, attempt_at = NULL,
            started_at = coalesce(t.started_at, v.started_at), waits_until = v.waits_until,
            completed_by = v.completed_by
        FROM unnest(%(id)s::text[], %(status)s::text[], %(output)s::jsonb[], %(error)s::text[],
            %(code)s::text[], %(reason)s::text[], %(ended_at)s::timestamptz[],
            %(started_at)s::timestamptz[], %(waits_until)s::timestamptz[],
            %(completed_by)s::text[]) AS v(id, status, output, error, code, reason, ended_at,
            started_at, waits_until, completed_by)
        WHERE t.id = v.id AND t.ended_at IS NULL
        RETURNING t.id, t.status, t.ended_at, t.error, t.code)
    UPDATE attempts a SET ended_at = c.ended_at, error = c.error, code = c.code,
        outcome = CASE WHEN c.status IN ('succeeded', 'failed') THEN c.status ELSE 'stopped' END
    FROM changed c
    WHERE a.task_id = c.id AND a.ended_at IS NULL AND c.ended_at IS NOT NULL"""
"""Takes columns of `task_values`, each task once. Ends the attempts too. Changes no task that has
ended."""


def run_values(
    run: Run,
    workflow_id: str,
    let_in_at: datetime | None = None,
    arrival: Arrival | None = None,
) -> dict[str, object]:
    """Return the values for INSERT_RUN; `workflow_id` is the workflow that runs the run."""
    arrival = arrival or Arrival(run.created_at)
    return {
        "id": run.id,
        "subscription_id": run.subscription_id,
        "definition": run.definition,
        "revision_id": run.revision_id,
        "trigger": run.trigger,
        "firing_key": run.firing_key,
        "workflow_id": workflow_id,
        "due_at": run.due_at,
        "status": run.status,
        "reason": to_storable_text(run.reason),
        "ending": run.ending,
        "params": to_jsonb(dict(run.params)),
        "context": to_jsonb(dict(run.context)),
        "state": to_jsonb(dict(run.state)),
        "payload": to_jsonb(dict(run.payload)),
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "concurrency_key": run.concurrency_key,
        "throttle_key": run.throttle_key,
        "priority": run.priority,
        "events": to_jsonb(list(run.events)) if run.events else None,
        "let_in_at": let_in_at,
        "arrived_at": arrival.at,
        "place": arrival.place,
        "replay_of": run.replay_of,
        "key_run": run.key_run,
        "first_key": run.first_key,
        "fresh_keys": to_jsonb(dict(run.fresh_keys)),
    }


def json_parts(rows: Iterable[Mapping[str, object]]) -> Iterator[Jsonb]:
    """Yield rows as values of statements, as few as they may be.

    Many values cost more time than many rows, but Postgres takes 256 MiB of jsonb at most.
    """
    texts: list[str] = []
    size = 0
    for row in rows:
        texts.append(dump_storable_json({name: _plain(value) for name, value in row.items()}))
        size += len(texts[-1])
        if size >= _PART:
            yield Jsonb(texts, dumps=_array)
            texts, size = [], 0
    if texts:
        yield Jsonb(texts, dumps=_array)


def _array(texts: Sequence[str]) -> str:
    return f"[{','.join(texts)}]"


def _plain(value: object) -> object:
    match value:
        case Jsonb():
            return value.obj
        case datetime():
            return value.isoformat()
        case _:
            return value


def task_values(task: TaskInstance) -> dict[str, object]:
    """Return the values for INSERT_TASKS and for an update of the task's outcome."""
    return {
        "id": task.id,
        "run_id": task.run_id,
        "name": task.name,
        "index": task.index,
        "of": task.of,
        "phase": task.phase,
        "kind": task.kind,
        "status": task.status,
        "attempts": task.attempts,
        "input": to_jsonb(task.input),
        "output": to_jsonb(task.output),
        "error": to_storable_text(task.error),
        "code": to_storable_text(task.code),
        "reason": to_storable_text(task.reason),
        "created_at": task.created_at,
        "started_at": task.started_at,
        "ended_at": task.ended_at,
        "guard": to_jsonb(guard_json(task.guard)),
        "lane": task.lane,
        "waits_until": task.waits_until,
        "completed_by": to_storable_text(task.completed_by),
        "idempotency_key": task.idempotency_key,
    }
