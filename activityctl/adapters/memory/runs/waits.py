"""The waits of tasks in memory: their rows, their answers, and which runs to wake."""

from dataclasses import replace
from datetime import datetime, timedelta

from activityctl.adapters.memory.state import MemoryState, WaitRow, stored_json, stored_text
from activityctl.domain.runs.announcements import Announcement
from activityctl.domain.runs.children import ChildRequest, is_child
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.tasks.activity import ACTIVITY
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

    async def children_to_start(self, limit: int) -> list[ChildRequest]:
        """Return waiting tasks that want to start a run and have not."""
        return [
            ChildRequest(
                row.wait.task_id,
                self._state.runs[row.wait.run_id].run.firing_key,
                self._state.tasks[row.wait.task_id].task.input,
            )
            for row in self._unanswered()
            if row.child_run_id is None
        ][:limit]

    async def child_started(self, task_id: TaskId, run_id: RunId) -> None:
        """Record the run that the task has started."""
        self._state.waits[task_id] = replace(self._state.waits[task_id], child_run_id=run_id)

    async def ended_children(self, limit: int) -> list[tuple[TaskId, RunId]]:
        """Return waiting tasks without an answer whose run has ended, with that run."""
        return [
            (row.wait.task_id, RunId(row.child_run_id))
            for row in self._unanswered()
            if row.child_run_id in self._state.runs
            and self._state.runs[row.child_run_id].run.has_ended
        ][:limit]

    async def unwanted_children(self, limit: int) -> list[RunId]:
        """Return open runs whose task waited for them and has ended without their answer."""
        rows = [row for row in self._state.waits.values() if row.ended_at and not row.answer]
        runs = [self._state.runs.get(row.child_run_id or "") for row in rows]
        return [
            row.run.id
            for row in runs
            if row is not None
            and is_child(row.run)
            and not row.run.has_ended
            and row.cancel_requested_at is None
        ][:limit]

    async def announcements(self, limit: int) -> list[Announcement]:
        """Return what is to be announced by now, the earliest first."""
        now = self._state.clock()
        found = [
            Announcement(
                self._state.tasks[task_id].task,
                self._state.catalog.subscriptions[row.wait.subscription_id].name,
                row.announce_at,
                row.answer is not None,
            )
            for task_id, row in self._state.waits.items()
            if row.announce_at is not None and row.announce_at <= now
        ]
        return sorted(found, key=lambda each: each.at)[:limit]

    async def announced(self, task_id: TaskId, following: datetime | None) -> None:
        """Record when something is to be announced of the task next; None for never."""
        self._state.waits[task_id] = replace(self._state.waits[task_id], announce_at=following)

    async def seconds_to_announcement(self) -> float | None:
        """Return the seconds until the next announcement; None if there is none."""
        times = [row.announce_at for row in self._state.waits.values() if row.announce_at]
        if not times:
            return None
        return max((min(times) - self._state.clock()).total_seconds(), 0.0)

    def _unanswered(self) -> list[WaitRow]:
        waiting = open_waits(self._state)
        return [row for row in waiting if row.wait.kind == ACTIVITY and row.answer is None]


def open_waits(state: MemoryState) -> list[WaitRow]:
    """Return the waits that have not ended."""
    return [row for row in state.waits.values() if row.ended_at is None]


def write_waits(state: MemoryState, change: RunChange) -> None:
    """Insert the waits that begin with this change, and close those that end with it."""
    for wait in change.waits:
        state.waits.setdefault(wait.task_id, WaitRow(wait, announce_at=wait.announce_at))
        if wait.event is not None:
            state.wake_workers(Work.EVENT)
        if wait.announce_at is not None:
            state.wake_workers(Work.REMIND)
    if change.concerns_children:
        state.wake_workers(Work.WAIT)
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
