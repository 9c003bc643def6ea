"""Guarding: begins the attempts that a breaker or a limit may hold up, and tells the breaker."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from temporalio import activity

from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.tasks.breaker import LEASE, is_fault
from activityctl.domain.tasks.failure import failure_of
from activityctl.domain.tasks.next_attempt import TimeBudget
from activityctl.domain.tasks.retry import chance_of
from activityctl.domain.values.log import Level, LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.errors import TaskError
from activityctl.ports import BegunAttempt, Guards, Hold
from activityctl.steps.asking import Asker, Asking, held_by
from activityctl.steps.log_writer import LogWriter
from activityctl.workflows.calls import TaskOrder


class Guarding(Asking):
    """Asks breakers and limits before each attempt of a task."""

    def __init__(
        self,
        guards: Guards,
        log: LogWriter,
        worker: str,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(guards, log, worker, clock, sleep)
        self._probes: set[str] = set()

    async def begin(
        self, order: TaskOrder, budget: Callable[[], TimeBudget]
    ) -> BegunAttempt | None:
        """Begin an attempt; None if it may not begin at all.

        Raise TaskError if the task is not to wait, or would wait too long. If it has to wait for
        more than a second, raise the error after which Temporal calls again at the right time.
        """
        asker = self._asker(order)

        async def check(hold: Hold) -> None:
            if (refusal := budget().refusal(timedelta(seconds=hold.seconds))) is not None:
                await self._guards.forget(order.task_id)
                message = f"would wait too long for {held_by(hold)}: {refusal}"
                raise TaskError(message, code="held", retryable=False)

        begun = await self._wait_until_begun(
            asker,
            lambda: self._guards.begin(
                order.task_id,
                self._clock(),
                self._worker,
                is_limited=order.is_limited,
                lease=timedelta(seconds=order.start_to_close_seconds) + LEASE,
                chance=chance_of(order.task_id, activity.info().attempt),
            ),
            lambda hold: f"task {hold.task}",
            check,
        )
        if begun is not None and begun.is_probe:
            self._probes.add(begun.task.id)
            text = f"task {begun.task.name} probes whether the destination works again"
            await asker.log("info", text, {})
        return begun

    async def settle(
        self,
        task: TaskInstance,
        order: TaskOrder,
        failure: TaskError | asyncio.CancelledError | None,
    ) -> None:
        """Tell the breaker how the attempt has ended, which is recorded already.

        An attempt that succeeded or was stopped is told only if it probed. If Postgres does not
        answer, the breaker is not told.
        """
        is_probe = task.id in self._probes
        self._probes.discard(task.id)
        is_failure = isinstance(failure, TaskError)
        if task.guard is None or task.guard.breaker is None or not (is_failure or is_probe):
            return
        fault: bool | None = None if failure else False
        if isinstance(failure, TaskError):
            fault = is_fault(failure_of(failure, task.attempts))
        await self._tell(self._asker(order), self._guards.settle(task, is_fault=fault))

    def _asker(self, order: TaskOrder) -> Asker:
        async def log(level: Level, message: str, metadata: dict[str, JsonValue]) -> None:
            facts = {"taskId": order.task_id, **metadata}
            now = self._clock()
            entry = LogEntry(order.subscription_id, order.run_id, message, level, now, facts)
            await self._log.write(entry)

        return Asker("task", {"task": order.task_id, "run": order.run_id}, log)
