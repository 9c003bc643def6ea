"""Guarding: begins the attempts that a breaker or a limit may hold up, and tells the breaker."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.tasks.breaker import LEASE, BreakerStatus, is_fault
from activityctl.domain.tasks.failure import failure_of
from activityctl.domain.tasks.next_attempt import TimeBudget
from activityctl.domain.tasks.retry import chance_of
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.log import Level, LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ActivityctlError, TaskError
from activityctl.ports import BegunAttempt, BreakerChange, Guards, Hold, Logbook
from activityctl.steps.attempts import write_safely
from activityctl.workflows.calls import TaskOrder

_LOG = logging.getLogger(__name__)
_WAITED_HERE: Final = 1.0
"""Seconds. A shorter wait keeps the call; during a longer one no worker is busy with the task."""


class Guarding:
    """Asks breakers and limits for one worker."""

    def __init__(
        self,
        guards: Guards,
        logbook: Logbook,
        worker: str,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._guards = guards
        self._logbook = logbook
        self._worker = worker
        self._clock = clock
        self._sleep = sleep
        self._probes: set[str] = set()

    async def begin(
        self, order: TaskOrder, budget: Callable[[], TimeBudget]
    ) -> BegunAttempt | None:
        """Begin an attempt; None if it may not begin at all.

        Raise TaskError if the task is not to wait, or would wait too long. If it has to wait for
        more than a second, raise the error after which Temporal calls again at the right time.
        """
        waited = 0.0
        while True:
            answer = await self._guards.begin(
                order.task_id,
                self._clock(),
                self._worker,
                is_limited=order.is_limited,
                lease=timedelta(seconds=order.start_to_close_seconds) + LEASE,
                chance=chance_of(order.task_id, activity.info().attempt),
            )
            if not isinstance(answer, Hold):
                if answer is not None and answer.is_probe:
                    self._probes.add(answer.task.id)
                    text = f"task {answer.task.name} probes whether the destination works again"
                    await self._log(order, "info", text, {})
                return answer
            await self._check(answer, order, budget())
            if answer.is_new:
                facts = {"waitsFor": answer.name, "until": format_timestamp(answer.until)}
                await self._log(
                    order, "info", f"task {answer.task} waits for {held_by(answer)}", facts
                )
            waited += answer.seconds
            if waited > _WAITED_HERE:
                raise ApplicationError(
                    "the task waits for a breaker or a limit",
                    type="held",
                    next_retry_delay=timedelta(seconds=max(answer.seconds, 0.001)),
                    category=ApplicationErrorCategory.BENIGN,
                )
            await self._sleep(answer.seconds)

    async def _check(self, hold: Hold, order: TaskOrder, budget: TimeBudget) -> None:
        """Raise TaskError if the task is not to wait."""
        if hold.fails:
            why = f": {hold.reason}" if hold.reason else ""
            raise TaskError(
                f"breaker {hold.name} is open{why}", code="breaker_open", retryable=False
            )
        if (refusal := budget.refusal(timedelta(seconds=hold.seconds))) is not None:
            await self._guards.forget(order.task_id)
            raise TaskError(
                f"would wait too long for {held_by(hold)}: {refusal}", code="held", retryable=False
            )

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
        try:
            change = await self._guards.settle(task, is_fault=fault)
        except ActivityctlError as error:
            _LOG.warning("a breaker was not told: %s", error, extra={"task": task.id})
            return
        if change is not None:
            level, message, facts = transition(change)
            _LOG.warning(message, extra={"task": task.id, "run": task.run_id})
            await self._log(order, level, message, facts)

    async def _log(
        self, order: TaskOrder, level: Level, message: str, metadata: Mapping[str, JsonValue]
    ) -> None:
        facts = {"taskId": order.task_id, **metadata}
        entry = LogEntry(order.subscription_id, order.run_id, message, level, self._clock(), facts)
        await write_safely(self._logbook.append([entry]))


def held_by(hold: Hold) -> str:
    """Return what holds up a task or a lookup, for people."""
    if not hold.is_breaker:
        return f"limit {hold.name}"
    why = f": {hold.reason}" if hold.reason else ""
    return f"breaker {hold.name}, which is open{why}"


def transition(change: BreakerChange) -> tuple[Level, str, dict[str, JsonValue]]:
    """Return the log entry about a change of a breaker: level, message, facts."""
    after = change.after
    facts: dict[str, JsonValue] = {
        "breaker": after.name,
        "before": change.before.status.value,
        "after": after.status.value,
        "openUntil": format_timestamp(after.open_until),
    }
    message = f"breaker {after.name} {_VERBS[after.status]}"
    message += f": {after.reason}" if after.reason else ""
    return ("info" if after.status is BreakerStatus.CLOSED else "warning"), message, facts


_VERBS: Final[Mapping[BreakerStatus, str]] = {
    BreakerStatus.CLOSED: "closed",
    BreakerStatus.OPEN: "opened",
    BreakerStatus.HALF_OPEN: "is half-open",
}
