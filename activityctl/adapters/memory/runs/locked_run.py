"""A run that a block holds, in memory."""

from collections.abc import Mapping, Sequence

from activityctl.domain.runs.run import RunState
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.values.ids import TaskId
from activityctl.ports import HookRow


class MemoryLockedRun:
    """A run that is locked until the block ends."""

    def __init__(
        self,
        state: RunState | None,
        answers: dict[TaskId, Answer],
        hooks: Mapping[str, HookRow],
    ) -> None:
        self._hooks = hooks
        self.state = state
        self.saved: list[RunChange] = []
        self._answers = answers

    async def answers(self) -> dict[TaskId, Answer]:
        """Return the answers to waiting tasks that are not settled; no other can come now."""
        return self._answers

    async def open_triggers(self, keys: Sequence[str]) -> list[HookRow]:
        """Return the triggers with these idempotency keys that have not ended."""
        found = [self._hooks[key] for key in sorted(keys) if key in self._hooks]
        return [row for row in found if row.closed_at is None]

    async def save(self, change: RunChange) -> None:
        """Write the change; it takes effect when the block ends without an exception."""
        self.saved.append(change)
