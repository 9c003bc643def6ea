"""Writes the change of a run: its outcome, its tasks, log, state, dead letter and streak."""

from typing import Final

from activityctl.adapters.postgres.database import Connection, to_storable_text
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.notices import write_notices
from activityctl.adapters.postgres.runs.run_ends import write_end
from activityctl.adapters.postgres.runs.streaks import write_streak
from activityctl.adapters.postgres.runs.waits import write_waits
from activityctl.adapters.postgres.runs.writes import INSERT_TASK, UPDATE_TASK, task_values
from activityctl.adapters.postgres.schedules.late_starts import uncount_firing
from activityctl.adapters.postgres.schedules.outbox import wake_next_in_order
from activityctl.adapters.postgres.signals import wake_workers
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.ports import Work

_INSERT_TASK: Final = f"{INSERT_TASK} ON CONFLICT DO NOTHING"
_HIDE_INPUT: Final = "UPDATE tasks SET input = %(input)s WHERE id = %(id)s"
_UPDATE_RUN: Final = """
    UPDATE runs SET status = %(status)s, reason = %(reason)s, ending = %(ending)s,
        ended_at = %(ended_at)s
    WHERE id = %(id)s"""


async def write_opened(connection: Connection, change: RunChange) -> None:
    """Write what comes with a run that has just been opened."""
    run = change.run
    if run.status is RunStatus.MISSED:
        await uncount_firing(connection, run.subscription_id, run.trigger, run.due_at)
    await write_change(connection, change)
    await wake_next_in_order(connection, run)


async def write_outcome(connection: Connection, change: RunChange) -> None:
    """Write the outcome of a run that exists, and the rest of the change."""
    await connection.execute(_UPDATE_RUN, _outcome_values(change.run))
    await write_change(connection, change)


async def write_change(connection: Connection, change: RunChange) -> None:
    """Write the change without the run's own row."""
    if change.frees_slot:
        await wake_workers(connection, Work.QUEUE)
    for task in change.create:
        await connection.execute(_INSERT_TASK, task_values(task))
    for task in change.update:
        await connection.execute(UPDATE_TASK, task_values(task))
    for task in change.hidden_inputs:
        await connection.execute(_HIDE_INPUT, task_values(task))
    await write_waits(connection, change)
    await insert_log_entries(connection, change.entries)
    await write_end(connection, change)
    await write_streak(connection, change)
    await write_notices(connection, change.notices)


def _outcome_values(run: Run) -> dict[str, object]:
    return {
        "id": run.id,
        "status": run.status,
        "reason": to_storable_text(run.reason),
        "ending": run.ending,
        "ended_at": run.ended_at,
    }
