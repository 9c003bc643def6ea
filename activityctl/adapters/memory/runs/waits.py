"""The waits of tasks in memory: their rows, their answers, and which runs to wake."""

from dataclasses import replace
from datetime import timedelta

from activityctl.adapters.memory.state import MemoryState, WaitRow, stored_json, stored_text
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.values.ids import RunId, TaskId
from activityctl.ports import GivenAnswer, Work


class MemoryWaits:
    """Implements the Waits port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def answer(self, task_id: TaskId, answer: Answer) -> GivenAnswer | None:
        """Record the answer if the task waits and has none; return the one on record."""
        row = self._state.waits.get(task_id)
        if row is None:
            return None
        run = self._state.runs[row.wait.run_id].run
        may_answer = row.ended_at is None and run.status is RunStatus.RUNNING
        is_new = row.answer is None and may_answer
        if is_new:
            stored = Answer(
                stored_json(answer.output), stored_text(answer.error), stored_text(answer.by)
            )
            row = replace(row, answer=stored, answered_at=self._state.clock())
            self._state.waits[task_id] = row
            self._state.wake_workers(Work.WAIT)
        if row.answer is None or row.answered_at is None:
            return None
        return GivenAnswer(row.answer, row.answered_at, is_new)

    async def to_settle(self, overdue: timedelta) -> list[tuple[RunId, str]]:
        """Return (run id, workflow id) of the runs whose waiting tasks have to be looked at."""
        late = self._state.clock() - overdue
        run_ids = {
            row.wait.run_id
            for row in open_waits(self._state)
            if row.answer is not None or (row.wait.until is not None and row.wait.until <= late)
        }
        rows = [self._state.runs[run_id] for run_id in run_ids]
        return [
            (row.run.id, row.workflow_id) for row in rows if row.run.status is RunStatus.RUNNING
        ]


def open_waits(state: MemoryState) -> list[WaitRow]:
    """Return the waits that have not ended."""
    return [row for row in state.waits.values() if row.ended_at is None]


def write_waits(state: MemoryState, change: RunChange) -> None:
    """Insert the waits that begin with this change, and close those that end with it."""
    for wait in change.waits:
        state.waits.setdefault(wait.task_id, WaitRow(wait))
    for task in change.update:
        row = state.waits.get(task.id)
        if row is not None and task.has_ended and row.ended_at is None:
            state.waits[task.id] = replace(row, ended_at=task.ended_at)


def answers_of(state: MemoryState, run_id: str) -> dict[TaskId, Answer]:
    """Return the answers to the open waits of the run, by task id."""
    return {
        row.wait.task_id: row.answer
        for row in open_waits(state)
        if row.wait.run_id == run_id and row.answer is not None
    }
