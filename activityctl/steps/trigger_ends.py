"""The log entries of triggers whose tasks ended before the executor had answered and was told."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from activityctl.domain.chain.hook_log import hook_entry, unfinished_outcome
from activityctl.domain.runs.run import TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values.log import LogEntry
from activityctl.ports import HookRow, LockedRun

ASKING_KINDS: Final = frozenset({"webhook", "python"})
"""The kinds of tasks that may ask an executor."""
_CODES: Final = {TaskStatus.FAILED: "task_failed", TaskStatus.CANCELLED: "cancelled"}
"""The type of error of a task that has no code: its end was recorded for a lost attempt."""


async def with_trigger_ends(locked: LockedRun, change: RunChange, now: datetime) -> RunChange:
    """Return the change with an entry for each trigger that its task leaves open.

    The trigger itself stays open: a retry of the run asks again, with the same request id.
    """
    ended = {
        task.idempotency_key or task.id: task
        for task in change.update
        if task.kind in ASKING_KINDS and task.status in _CODES
    }
    rows = await locked.open_triggers(list(ended)) if ended else []
    told = tuple(_entry_of(ended[row.key], row, now) for row in rows)
    return replace(change, entries=(*told, *change.entries)) if told else change


def _entry_of(task: TaskInstance, row: HookRow, now: datetime) -> LogEntry:
    reason = task.error or task.reason or task.status.value
    entry = hook_entry(
        subscription_id=row.subscription_id,
        run_id=task.run_id,
        task=task.name,
        request=row.sent,
        response=row.response,
        executed_response=None,
        outcome=unfinished_outcome(task.code or _CODES[task.status], reason, row.outcome),
        at=now,
    )
    facts = {"index": task.index, "taskId": task.id, "attempt": task.attempts}
    return replace(entry, metadata={**facts, **entry.metadata})
