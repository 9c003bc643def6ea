"""Leaves the tasks of a strategy that this worker does not have to workers that have it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activityctl.domain.tasks.strategy_wait import STRATEGY_WAIT
from activityctl.domain.values.log import LogEntry
from activityctl.ports import Executor, RunStore
from activityctl.workflows.calls import TaskOrder

PAUSE: Final = timedelta(seconds=5)
"""When Temporal asks a worker again; it may be another one."""
_KIND: Final = "python"


class Strategies:
    """What this worker has of the strategies that tasks need."""

    def __init__(
        self,
        runs: RunStore,
        executors: Mapping[str, Executor],
        clock: Callable[[], datetime],
    ) -> None:
        self._runs = runs
        self._executors = executors
        self._clock = clock

    async def require(self, order: TaskOrder) -> None:
        """Return if this worker has the strategy of the task; else note why the task waits.

        Raises ApplicationError then, so that Temporal asks again. No attempt has begun.
        """
        executor: Any = self._executors.get(_KIND)
        if order.strategy is None or executor is None:
            return
        missing = await executor.missing(order.strategy)
        if missing is None:
            return
        reason = f"{STRATEGY_WAIT}{order.strategy} ({missing})"
        facts = {"taskId": order.task_id, "strategy": order.strategy}
        entry = LogEntry(
            order.subscription_id, order.run_id, f"a task {reason}", "warning", self._clock(), facts
        )
        await self._runs.hold_task(order.task_id, reason, entry)
        raise ApplicationError(
            "the task waits for a worker that has its strategy",
            type="strategy_missing",
            next_retry_delay=PAUSE,
            category=ApplicationErrorCategory.BENIGN,
        )
