"""The waits of tasks in Postgres: their rows, their answers, and which runs to wake."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from activityctl.adapters.postgres.database import (
    Connection,
    Database,
    to_jsonb,
    to_storable_text,
)
from activityctl.adapters.postgres.signals import notify_sql
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.runs.waiting import Answer, Wait
from activityctl.domain.values.ids import RunId, TaskId
from activityctl.ports import GivenAnswer, Work

_INSERT: Final = """
    INSERT INTO waits (task_id, run_id, subscription_id, kind, began_at, until_at)
    VALUES (%(task_id)s, %(run_id)s, %(subscription_id)s, %(kind)s, %(began_at)s, %(until_at)s)
    ON CONFLICT DO NOTHING"""
_END: Final = "UPDATE waits SET ended_at = %s WHERE task_id = ANY(%s) AND ended_at IS NULL"
# The rows stay locked, so that no answer comes while their tasks are ended.
_LOCK_OPEN: Final = """
    SELECT task_id, answered_at, answered_by, output, error FROM waits
    WHERE run_id = %s AND ended_at IS NULL ORDER BY task_id FOR UPDATE"""
# A run that is being stopped takes no answers: its waiting tasks are cancelled.
_ANSWER: Final = f"""
    WITH given AS (
        UPDATE waits w SET answered_at = clock_timestamp(), answered_by = %(by)s,
            output = %(output)s, error = %(error)s
        FROM tasks t JOIN runs r ON r.id = t.run_id
        WHERE w.task_id = %(id)s AND t.id = w.task_id AND w.answered_at IS NULL
          AND w.ended_at IS NULL AND t.status = 'waiting' AND r.status = 'running'
        RETURNING w.task_id)
    SELECT {notify_sql(Work.WAIT)} FROM given"""
_SELECT_ANSWER: Final = """
    SELECT answered_at, answered_by, output, error FROM waits
    WHERE task_id = %(id)s AND answered_at IS NOT NULL"""
_TO_SETTLE: Final = """
    SELECT DISTINCT r.id, r.workflow_id FROM (
        SELECT run_id FROM waits WHERE answered_at IS NOT NULL AND ended_at IS NULL
        UNION ALL
        SELECT run_id FROM waits
        WHERE until_at <= clock_timestamp() - %(overdue)s::interval AND ended_at IS NULL) w
    JOIN runs r ON r.id = w.run_id
    WHERE r.ended_at IS NULL AND r.status = 'running'"""


class PostgresWaits:
    """Implements the Waits port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def answer(self, task_id: TaskId, answer: Answer) -> GivenAnswer | None:
        """Record the answer if the task waits and has none; return the one on record."""
        values = {
            "by": to_storable_text(answer.by),
            "output": to_jsonb(answer.output),
            "error": to_storable_text(answer.error),
        }
        is_new = await self._database.fetch_one(_ANSWER, id=task_id, **values) is not None
        row = await self._database.fetch_one(_SELECT_ANSWER, id=task_id)
        if row is None:
            return None
        given = Answer(row["output"], row["error"], row["answered_by"])
        return GivenAnswer(given, row["answered_at"], is_new)

    async def to_settle(self, overdue: timedelta) -> list[tuple[RunId, str]]:
        """Return (run id, workflow id) of the runs whose waiting tasks have to be looked at."""
        rows = await self._database.fetch(_TO_SETTLE, overdue=overdue)
        return [(RunId(row["id"]), row["workflow_id"]) for row in rows]


async def write_waits(connection: Connection, change: RunChange) -> None:
    """Insert the waits that begin with this change, and close those that end with it."""
    for wait in change.waits:
        await connection.execute(_INSERT, _values(wait))
    if ended := change.ended_waits:
        ends = [task.ended_at for task in change.update if task.id in ended]
        await connection.execute(_END, (_latest(ends), list(ended)))


async def lock_answers(connection: Connection, run_id: str) -> dict[TaskId, Answer]:
    """Lock the open waits of the run, and return their answers by task id."""
    cursor = await connection.execute(_LOCK_OPEN, (run_id,))
    return {
        TaskId(row["task_id"]): Answer(row["output"], row["error"], row["answered_by"])
        for row in await cursor.fetchall()
        if row["answered_at"] is not None
    }


def _values(wait: Wait) -> dict[str, object]:
    return {
        "task_id": wait.task_id,
        "run_id": wait.run_id,
        "subscription_id": wait.subscription_id,
        "kind": wait.kind,
        "began_at": wait.began_at,
        "until_at": wait.until,
    }


def _latest(times: Sequence[datetime | None]) -> datetime:
    return max(moment for moment in times if moment is not None)
