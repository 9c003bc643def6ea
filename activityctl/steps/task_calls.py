"""TaskCalls: what an executor gets for one attempt, and the log entries about attempts."""

from collections.abc import Callable, Mapping
from datetime import datetime

from activityctl.domain.runs.logged_output import logged_output
from activityctl.domain.runs.run import TaskInstance, address_of
from activityctl.domain.values.log import Level, LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.ports import RunStore, TaskCall
from activityctl.steps.deciding import Deciding
from activityctl.steps.held_secrets import HeldSecrets
from activityctl.steps.log_writer import LogWriter
from activityctl.steps.tracing import Tracing
from activityctl.workflows.calls import TaskOrder


class TaskCalls:
    """Makes the calls for executors; what they log or leave is masked and stored."""

    def __init__(
        self,
        runs: RunStore,
        log: LogWriter,
        decide: Deciding,
        clock: Callable[[], datetime],
        tracing: Tracing,
    ) -> None:
        self._runs = runs
        self._log = log
        self._decide = decide
        self._clock = clock
        self._tracing = tracing

    def make(
        self,
        task: TaskInstance,
        order: TaskOrder,
        held: HeldSecrets,
        seconds: float,
        progress: Callable[[], None],
    ) -> TaskCall:
        """Return the call for the attempt of the task that has begun."""

        async def log(level: Level, message: str, metadata: Mapping[str, JsonValue]) -> None:
            shown, facts = held.mask.text(message), held.mask.json(dict(metadata))
            entry = attempt_entry(task, order, level, shown, self._clock(), facts)
            await self._log.write(entry)

        async def stopped(output: JsonValue, last_lines: str) -> None:
            message = f"task {address_of(task)} attempt {task.attempts} was stopped"
            message += f": {held.mask.text(last_lines)}" if last_lines else ""
            output = held.mask.json(output)
            facts = {"output": logged_output(output)}
            entry = attempt_entry(task, order, "warning", message, self._clock(), facts)
            keep = self._runs.keep_output
            await self._log.write(entry, lambda: keep(task.id, output, entry))

        return TaskCall(
            run_id=task.run_id,
            task_id=task.id,
            name=task.name,
            index=task.index,
            attempt=task.attempts,
            idempotency_key=task.idempotency_key or task.id,
            timeout_seconds=seconds,
            log=log,
            stopped=stopped,
            progress=progress,
            secret=held.resolve,
            mask=held.mask,
            decide=self._decide,
            outgoing=self._tracing.of_task(task),
        )


def attempt_entry(  # of what, what, and when
    task: TaskInstance,
    order: TaskOrder,
    level: Level,
    message: str,
    now: datetime,
    metadata: Mapping[str, JsonValue],
) -> LogEntry:
    """Return a log entry about the attempt of the task."""
    facts = {
        "task": task.name,
        "index": task.index,
        "taskId": task.id,
        "attempt": task.attempts,
        **metadata,
    }
    return LogEntry(order.subscription_id, task.run_id, message, level, now, facts)
