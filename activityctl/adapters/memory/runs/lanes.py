"""The lanes of a large forEach, in memory."""

from collections.abc import Sequence
from dataclasses import replace

from activityctl.adapters.memory.runs.attempts import begin_attempt, end_attempt, outcome_of
from activityctl.adapters.memory.state import MemoryState, TaskRow, stored_json, stored_text
from activityctl.domain.runs import lanes
from activityctl.domain.runs.run import RunStatus, TaskInstance, TaskStatus
from activityctl.domain.values.credentials import mask_credentials
from activityctl.ports import LaneEnd, LaneTurn


class MemoryLanes:
    """Implements the Lanes port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def end(self, end: LaneEnd) -> LaneTurn:
        """End the instance and take the next one, if that needs no decision about the run."""
        async with self._state.run_locks[end.task.run_id]:
            if self._state.runs[end.task.run_id].run.status is not RunStatus.RUNNING:
                return LaneTurn(has_ended=False)
            stored = self._state.tasks[end.task.id].task
            if stored.attempts != end.task.attempts:
                return LaneTurn(has_ended=False)
            others = self._open(end.task.run_id, end.task.name, but=end.task.id)
            if not stored.has_ended and not others:
                return LaneTurn(has_ended=False)
            if not stored.has_ended:
                self._put(_ended(stored, end))
                outcome, task = outcome_of(end.task.status), end.task
                end_attempt(self._state, task.id, outcome, task.ended_at, task.error, task.code)
                self._state.write_log_entries([end.entry])
            taken = self._take(end, others)
            left = [] if taken else self._open(end.task.run_id, end.task.name)
            return LaneTurn(True, taken, tuple(t.id for t in left if lanes.may_be_ordered(t)))

    def _open(self, run_id: str, name: str, but: str = "") -> list[TaskInstance]:
        tasks = (row.task for row in self._state.tasks.values())
        found = (t for t in tasks if (t.run_id, t.name) == (run_id, name) and not t.has_ended)
        return sorted((task for task in found if task.id != but), key=lambda task: task.index)

    def _take(self, end: LaneEnd, others: Sequence[TaskInstance]) -> TaskInstance | None:
        mine = [t for t in others if (t.lane, t.worker) == (end.lane, stored_text(end.worker))]
        free = [t for t in others if t.lane is None and t.status is TaskStatus.PENDING]
        chosen = next(iter([*mine, *free]), None)
        if chosen is None:
            return None
        if not end.takes_over:
            self._put(replace(chosen, lane=chosen.id))
            return None
        begun = replace(
            chosen,
            lane=end.lane,
            status=TaskStatus.RUNNING,
            attempts=chosen.attempts + 1,
            worker=stored_text(end.worker),
            started_at=chosen.started_at or end.task.ended_at,
            attempt_at=end.task.ended_at,
        )
        begin_attempt(self._state, begun, begun.attempt_at or self._state.clock())
        self._put(begun)
        return begun

    def _put(self, task: TaskInstance) -> None:
        row = self._state.tasks[task.id]
        self._state.tasks[task.id] = TaskRow(task, row.failures)


def _ended(stored: TaskInstance, end: LaneEnd) -> TaskInstance:
    return replace(
        stored,
        status=end.task.status,
        output=stored_json(end.task.output),
        error=stored_text(end.task.error),
        code=stored_text(end.task.code),
        input=mask_credentials(stored.input),
        ended_at=end.task.ended_at,
        attempt_at=None,
    )
