"""Writes the change of a run: its outcome, its tasks, log, state, dead letter and streak."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from activityctl.adapters.postgres.database import Connection, to_storable_text
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.notices import write_notices
from activityctl.adapters.postgres.runs.run_ends import write_end
from activityctl.adapters.postgres.runs.streaks import write_streak
from activityctl.adapters.postgres.runs.waits import write_waits
from activityctl.adapters.postgres.runs.writes import (
    INSERT_TASKS,
    UPDATE_TASKS,
    json_parts,
    task_values,
)
from activityctl.adapters.postgres.schedules.late_starts import uncount_firing
from activityctl.adapters.postgres.schedules.outbox import wake_next_in_order
from activityctl.adapters.postgres.signals import wake_workers
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance
from activityctl.domain.runs.run_change import RunChange
from activityctl.ports import Work

_HIDE_INPUT: Final = "UPDATE tasks SET input = %(input)s WHERE id = %(id)s"
_UPDATE_RUNS: Final = """
    UPDATE runs r SET status = v.status, reason = v.reason, ending = v.ending,
        ended_at = v.ended_at
    FROM unnest(%(id)s::text[], %(status)s::text[], %(reason)s::text[], %(ending)s::text[],
        %(ended_at)s::timestamptz[]) AS v(id, status, reason, ending, ended_at)
    WHERE r.id = v.id"""


async def write_opened(connection: Connection, change: RunChange) -> None:
    """Write what comes with a run that has just been opened."""
    await write_all_opened(connection, [change])


async def write_all_opened(connection: Connection, changes: Sequence[RunChange]) -> None:
    """Write what comes with runs that have just been opened."""
    for run in (change.run for change in changes):
        if run.status is RunStatus.MISSED:
            await uncount_firing(connection, run.subscription_id, run.trigger, run.due_at)
    await write_changes(connection, changes)
    for change in changes:
        await wake_next_in_order(connection, change.run)


async def write_outcomes(connection: Connection, changes: Sequence[RunChange]) -> None:
    """Write the outcomes of runs that exist, and the rest of their changes."""
    await connection.execute(_UPDATE_RUNS, _columns(_outcome_values(each.run) for each in changes))
    await write_changes(connection, changes)


async def write_change(connection: Connection, change: RunChange) -> None:
    """Write the change without the run's own row."""
    await write_changes(connection, [change])


async def write_changes(connection: Connection, changes: Sequence[RunChange]) -> None:
    """Write changes of different runs without the rows of the runs."""
    if any(change.frees_slot for change in changes):
        await wake_workers(connection, Work.QUEUE)
    for rows in json_parts(task_values(task) for change in changes for task in change.create):
        await connection.execute(INSERT_TASKS, {"rows": rows})
    await _update_tasks(connection, [task for change in changes for task in change.update])
    for task in (task for change in changes for task in change.hidden_inputs):
        await connection.execute(_HIDE_INPUT, task_values(task))
    for change in changes:
        await write_waits(connection, change)
    await insert_log_entries(connection, [entry for each in changes for entry in each.entries])
    for change in changes:
        await write_end(connection, change)
    for change in _without_repeats(changes):
        await write_streak(connection, change)
    await write_notices(connection, [notice for change in changes for notice in change.notices])


def _without_repeats(changes: Sequence[RunChange]) -> Iterator[RunChange]:
    """Yield the changes without successes that follow one of the same subscription."""
    last: dict[str, bool] = {}
    for change in changes:
        if change.streak is not None:
            owner, has_failed = change.run.subscription_id, change.streak.has_failed
            if has_failed or last.get(owner) is not False:
                yield change
            last[owner] = has_failed


async def _update_tasks(connection: Connection, tasks: Sequence[TaskInstance]) -> None:
    """Update each task; one that is there twice is updated twice, in this order."""
    rest = list(tasks)
    while rest:
        firsts = {task.id: task for task in reversed(rest)}
        values = _columns(task_values(firsts[task_id]) for task_id in sorted(firsts))
        await connection.execute(UPDATE_TASKS, values)
        rest = [task for task in rest if firsts[task.id] is not task]


def _columns(rows: Iterable[Mapping[str, object]]) -> dict[str, list[object]]:
    """Return the values of each column, which a statement takes as arrays."""
    listed = list(rows)
    return {name: [row[name] for row in listed] for name in listed[0]}


def _outcome_values(run: Run) -> dict[str, object]:
    return {
        "id": run.id,
        "status": run.status,
        "reason": to_storable_text(run.reason),
        "ending": run.ending,
        "ended_at": run.ended_at,
    }
