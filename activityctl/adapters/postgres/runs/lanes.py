"""The lanes of a large forEach in Postgres."""

from typing import Final

from activityctl.adapters.postgres.database import Database, to_jsonb, to_storable_text
from activityctl.adapters.postgres.rows import TASK_COLUMNS, task_of
from activityctl.adapters.postgres.runs.attempts import RECORD_BEGUN
from activityctl.domain.values.credentials import mask_credentials
from activityctl.domain.values.ids import TaskId
from activityctl.ports import LOG_CHANNEL, LaneEnd, LaneTurn

# Two lanes may end their last instances at the same time. Under the lock, one of them sees that no
# other instance is open.
_LOCK_RUN: Final = "SELECT FROM runs WHERE id = %(run)s AND status = 'running' FOR NO KEY UPDATE"
# The last ones are open for longest, so the search begins with them.
_OTHER: Final = """(
    SELECT o.id FROM tasks o WHERE o.run_id = %(run)s AND o.name = %(name)s
        AND o.ended_at IS NULL AND o.id <> %(id)s
    ORDER BY o.index DESC LIMIT 1)"""
_GOES_ON: Final = "EXISTS (SELECT FROM runs r WHERE r.id = %(run)s AND r.status = 'running')"
_END: Final = f"""
    WITH ended AS (
        UPDATE tasks t SET status = %(status)s, output = %(output)s, error = %(error)s,
            code = %(code)s, input = %(input)s, ended_at = %(now)s, attempt_at = NULL
        WHERE t.id = %(id)s AND t.ended_at IS NULL AND t.attempts = %(attempts)s AND {_GOES_ON}
            AND {_OTHER} IS NOT NULL
        RETURNING t.id),
    recorded AS (
        UPDATE attempts a SET outcome = %(status)s, ended_at = %(now)s, error = %(error)s,
            code = %(code)s
        FROM ended e WHERE a.task_id = e.id AND a.ended_at IS NULL)
    INSERT INTO log_entries (subscription_id, run_id, level, message, metadata, created_at)
    SELECT %(subscription)s, %(run)s, %(level)s, %(message)s, %(metadata)s, %(now)s FROM ended"""
_HAS_ENDED: Final = f"""
    SELECT FROM tasks t
    WHERE t.id = %(id)s AND t.ended_at IS NOT NULL AND t.attempts = %(attempts)s AND {_GOES_ON}"""
# The one that an earlier call took whose answer was lost comes first. Lanes take instances in the
# order of their indexes, so none is free before the present one.
_NEXT: Final = """
    SELECT coalesce(
        (SELECT m.id FROM tasks m WHERE m.lane = %(lane)s AND m.ended_at IS NULL
            AND m.worker = %(worker)s AND m.id <> %(id)s LIMIT 1),
        (SELECT n.id FROM tasks n WHERE n.run_id = %(run)s AND n.name = %(name)s
            AND n.ended_at IS NULL AND n.lane IS NULL AND n.status = 'pending'
            AND n.index > %(index)s ORDER BY n.index LIMIT 1))"""
_TAKE: Final = f"""
    WITH begun AS (
        UPDATE tasks t SET lane = %(lane)s, status = 'running', attempts = t.attempts + 1,
            worker = %(worker)s, started_at = coalesce(t.started_at, %(now)s),
            attempt_at = %(now)s
        WHERE t.id = ({_NEXT}) AND EXISTS ({_HAS_ENDED})
        RETURNING {TASK_COLUMNS}),
    {RECORD_BEGUN}
    SELECT * FROM begun"""
_LEAVE: Final = f"UPDATE tasks t SET lane = t.id WHERE t.id = ({_NEXT}) AND EXISTS ({_HAS_ENDED})"


# Only if the lane has taken none: the query looks at all open instances.
_WAITING: Final = """
    SELECT n.id FROM tasks n
    WHERE NOT EXISTS (SELECT FROM tasks m WHERE m.lane = %(lane)s AND m.ended_at IS NULL)
        AND n.run_id = %(run)s AND n.name = %(name)s AND n.ended_at IS NULL
        AND n.status = 'pending' AND n.lane = n.id
    ORDER BY n.index"""


class PostgresLanes:
    """Implements the Lanes port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def end(self, end: LaneEnd) -> LaneTurn:
        """End the instance and take the next one, if that needs no decision about the run."""
        values = _values(end)
        async with self._database.one_trip() as connection:
            await connection.execute(_LOCK_RUN, values)
            await connection.execute(_END.encode(), values)
            await connection.execute(
                "SELECT pg_notify(%s, %s)", (LOG_CHANNEL, end.entry.subscription_id)
            )
            ended = await connection.execute(_HAS_ENDED.encode(), values)
            take = _TAKE if end.takes_over else _LEAVE
            taken = await connection.execute(take.encode(), values)
            waiting = await connection.execute(_WAITING.encode(), values)
        has_ended = await ended.fetchone() is not None
        row = await taken.fetchone() if end.takes_over else None
        if row is not None:
            return LaneTurn(has_ended, task_of(row))
        return LaneTurn(
            has_ended, waiting=tuple(TaskId(row["id"]) for row in await waiting.fetchall())
        )


def _values(end: LaneEnd) -> dict[str, object]:
    task, entry = end.task, end.entry
    return {
        "id": task.id,
        "run": task.run_id,
        "name": task.name,
        "index": task.index,
        "attempts": task.attempts,
        "status": task.status,
        "output": to_jsonb(task.output),
        "error": to_storable_text(task.error),
        "code": to_storable_text(task.code),
        "input": to_jsonb(mask_credentials(task.input)),
        "now": task.ended_at,
        "lane": end.lane,
        "worker": to_storable_text(end.worker),
        "subscription": entry.subscription_id,
        "level": entry.level,
        "message": to_storable_text(entry.message),
        "metadata": to_jsonb(dict(entry.metadata)),
    }
