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
from activityctl.adapters.postgres.rows import TASK_COLUMNS, task_of
from activityctl.adapters.postgres.signals import notify_sql, wake_workers
from activityctl.domain.runs.announcements import Announcement
from activityctl.domain.runs.children import ChildRequest
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.runs.waiting import Answer, Wait
from activityctl.domain.values.ids import RunId, TaskId
from activityctl.ports import GivenAnswer, Work

_INSERT: Final = """
    INSERT INTO waits (task_id, run_id, subscription_id, kind, began_at, until_at, event, since,
        own_events, looks_after, announce_at)
    VALUES (%(task_id)s, %(run_id)s, %(subscription_id)s, %(kind)s, %(began_at)s, %(until_at)s,
        %(event)s, %(since)s, %(own_events)s, %(looks_after)s, %(announce_at)s)
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


_TO_START: Final = """
    SELECT w.task_id, r.firing_key, t.input FROM waits w
    JOIN tasks t ON t.id = w.task_id JOIN runs r ON r.id = w.run_id
    WHERE w.kind = 'activity' AND w.child_run_id IS NULL AND w.answered_at IS NULL
      AND w.ended_at IS NULL ORDER BY w.place LIMIT %(limit)s"""
_ENDED_CHILDREN: Final = """
    SELECT w.task_id, w.child_run_id FROM waits w JOIN runs r ON r.id = w.child_run_id
    WHERE w.kind = 'activity' AND w.answered_at IS NULL AND w.ended_at IS NULL
      AND r.ended_at IS NOT NULL ORDER BY w.place LIMIT %(limit)s"""
_UNWANTED_CHILDREN: Final = """
    SELECT r.id FROM runs r JOIN waits w ON w.child_run_id = r.id
    WHERE r.ended_at IS NULL AND r.cancel_requested_at IS NULL AND r.firing_key LIKE 'child/%%'
      AND w.ended_at IS NOT NULL AND w.answered_at IS NULL LIMIT %(limit)s"""


_ANNOUNCEMENTS: Final = f"""
    SELECT {TASK_COLUMNS}, s.name AS subscription, w.announce_at,
        w.answered_at IS NOT NULL AS is_answered
    FROM waits w JOIN tasks t ON t.id = w.task_id JOIN subscriptions s ON s.id = w.subscription_id
    WHERE w.announce_at <= clock_timestamp() ORDER BY w.announce_at LIMIT %(limit)s"""
_SECONDS_TO_ANNOUNCEMENT: Final = """
    SELECT extract(epoch FROM min(announce_at) - clock_timestamp())::float8 AS seconds
    FROM waits WHERE announce_at IS NOT NULL"""


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

    async def children_to_start(self, limit: int) -> list[ChildRequest]:
        """Return waiting tasks that want to start a run and have not."""
        rows = await self._database.fetch(_TO_START, limit=limit)
        return [
            ChildRequest(TaskId(row["task_id"]), row["firing_key"], row["input"]) for row in rows
        ]

    async def child_started(self, task_id: TaskId, run_id: RunId) -> None:
        """Record the run that the task has started."""
        await self._database.fetch(
            "UPDATE waits SET child_run_id = %(run)s WHERE task_id = %(id)s",
            id=task_id,
            run=run_id,
        )

    async def ended_children(self, limit: int) -> list[tuple[TaskId, RunId]]:
        """Return waiting tasks without an answer whose run has ended, with that run."""
        rows = await self._database.fetch(_ENDED_CHILDREN, limit=limit)
        return [(TaskId(row["task_id"]), RunId(row["child_run_id"])) for row in rows]

    async def unwanted_children(self, limit: int) -> list[RunId]:
        """Return open runs whose task waited for them and has ended without their answer."""
        rows = await self._database.fetch(_UNWANTED_CHILDREN, limit=limit)
        return [RunId(row["id"]) for row in rows]

    async def announcements(self, limit: int) -> list[Announcement]:
        """Return what is to be announced by now, the earliest first."""
        rows = await self._database.fetch(_ANNOUNCEMENTS, limit=limit)
        return [
            Announcement(task_of(row), row["subscription"], row["announce_at"], row["is_answered"])
            for row in rows
        ]

    async def announced(self, task_id: TaskId, following: datetime | None) -> None:
        """Record when something is to be announced of the task next; None for never."""
        await self._database.fetch(
            "UPDATE waits SET announce_at = %(at)s WHERE task_id = %(id)s",
            id=task_id,
            at=following,
        )

    async def seconds_to_announcement(self) -> float | None:
        """Return the seconds until the next announcement; None if there is none."""
        (row,) = await self._database.fetch(_SECONDS_TO_ANNOUNCEMENT)
        seconds: float | None = row["seconds"]
        return None if seconds is None else max(seconds, 0.0)


async def write_waits(connection: Connection, change: RunChange) -> None:
    """Insert the waits that begin with this change, and close those that end with it."""
    for wait in change.waits:
        await connection.execute(_INSERT, _values(wait))
    if any(wait.event is not None for wait in change.waits):
        await wake_workers(connection, Work.EVENT)  # such an event may be stored already
    if any(wait.announce_at is not None for wait in change.waits):
        await wake_workers(connection, Work.REMIND)
    if change.concerns_children:
        await wake_workers(connection, Work.WAIT)
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
        "event": None if wait.event is None else to_jsonb(dict(wait.event)),
        "since": wait.since,
        "own_events": list(wait.own_events),
        "announce_at": wait.announce_at,
        "looks_after": None if wait.event is None else 0,
    }


def _latest(times: Sequence[datetime | None]) -> datetime:
    return max(moment for moment in times if moment is not None)
