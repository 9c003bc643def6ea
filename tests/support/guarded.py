"""A run whose tasks are behind breakers and limits, and what happens to their attempts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from activityctl import wiring
from activityctl.domain.runs.run import Run, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.tasks.breaker import BreakerPolicy, BreakerStatus
from activityctl.domain.tasks.guard import Guard
from activityctl.domain.tasks.limit import Limit
from activityctl.domain.values import ids
from activityctl.ports import BegunAttempt, Hold
from support.run_store import ended, log_entry, save

EARLY = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(minutes=5)


class Bench:
    """A run with guarded tasks, and what happens to their attempts."""

    def __init__(self, ports: wiring.Ports, run: Run) -> None:
        self.ports = ports
        self.run = run
        self.tasks: list[TaskInstance] = []
        self.ahead = timedelta(0)
        """How far the clock of the worker is ahead."""

    async def add(self, count: int, guard: Guard) -> list[TaskInstance]:
        first = len(self.tasks)
        new = [
            TaskInstance(
                id=ids.task_id(self.run.id, "guarded", first + index),
                run_id=self.run.id,
                name="guarded",
                index=first + index,
                phase="main",
                kind="http",
                status=TaskStatus.PENDING,
                created_at=EARLY,
                guard=guard,
            )
            for index in range(count)
        ]
        self.tasks += new
        await save(self.ports, RunChange(self.run, create=tuple(new)))
        return new

    async def begin(self, task: TaskInstance, worker: str = "here") -> BegunAttempt | Hold | None:
        guard = task.guard
        return await self.ports.guards.begin(
            task.id,
            datetime.now(UTC) + self.ahead,
            worker,
            is_limited=guard is not None and guard.limit is not None,
            lease=LEASE,
            chance=0.0,
        )

    async def fail(self, task: TaskInstance, *, is_fault: bool = True) -> BreakerStatus | None:
        """Begin an attempt that fails; return the new status of the breaker, if it changed."""
        begun = await self.begin(task)
        assert isinstance(begun, BegunAttempt)
        entry = log_entry(self.run, "failed", datetime.now(UTC))
        await self.ports.runs.fail_attempt(task.id, "no", entry, "unreachable")
        change = await self.ports.guards.settle(begun.task, is_fault=is_fault)
        return None if change is None else change.after.status

    async def succeed(self, task: TaskInstance) -> BreakerStatus | None:
        begun = await self.begin(task)
        assert isinstance(begun, BegunAttempt)
        await save(self.ports, RunChange(self.run, update=(ended(task, datetime.now(UTC)),)))
        change = await self.ports.guards.settle(begun.task, is_fault=False)
        return None if change is None else change.after.status


def behind(name: str = "api.example:8443", **policy: Any) -> Guard:
    return Guard(name, BreakerPolicy(**policy))


def limited(**limit: Any) -> Guard:
    return Guard(limit=Limit(name="crm", **limit))
