"""The latest ended runs of a subscription with their tasks, for the context source `runs`."""

from activityctl.adapters.postgres.database import Database
from activityctl.adapters.postgres.rows import RUN_COLUMNS, TASK_COLUMNS, run_of, task_of
from activityctl.domain.manifests.definition import NOTICE_TRIGGERS
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance


async def recent_runs(
    database: Database,
    subscription_id: str,
    *,
    limit: int,
    status: RunStatus | None,
    excluding: str,
) -> list[tuple[Run, list[TaskInstance]]]:
    """Return the subscription's latest ended runs with their tasks, newest first."""
    rows = await database.fetch(
        f"""SELECT {RUN_COLUMNS} FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
            WHERE r.subscription_id = %(subscription)s AND r.ended_at IS NOT NULL
              AND r.id <> %(excluding)s AND r.trigger <> ALL(%(notices)s)
              AND (%(status)s::text IS NULL OR r.status = %(status)s)
            ORDER BY r.created_at DESC LIMIT %(limit)s""",
        subscription=subscription_id,
        excluding=excluding,
        notices=sorted(NOTICE_TRIGGERS),
        status=status,
        limit=limit,
    )
    tasks = await database.fetch(
        f"""SELECT {TASK_COLUMNS} FROM tasks t WHERE t.run_id = ANY(%(runs)s)
            ORDER BY t.created_at, t.name, t.index""",
        runs=[row["id"] for row in rows],
    )
    return [
        (run_of(row), [task_of(task) for task in tasks if task["run_id"] == row["id"]])
        for row in rows
    ]
