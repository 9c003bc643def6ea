"""FailedAttempts: what follows a failed attempt, and writes that go on until Postgres answers."""

import logging
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from activityctl.domain.manifests.task_tree import template_path, templates_by_path
from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.tasks.failure import failure_of
from activityctl.domain.tasks.next_attempt import NextAttempt, TimeBudget, next_attempt
from activityctl.domain.tasks.retry import RetryPolicy, chance_of
from activityctl.domain.values.failure_kind import OUTAGE_PAUSES, Tries, failure_text, is_outage
from activityctl.domain.values.log import LogEntry
from activityctl.errors import TaskError
from activityctl.ports import RunStore
from activityctl.steps.deciding import Deciding
from activityctl.steps.log_writer import LogWriter
from activityctl.workflows.calls import TaskOrder

_Written = TypeVar("_Written")

_LOG = logging.getLogger(__name__)


class FailedAttempts:
    """Finds out whether a failed attempt is repeated, and counts it."""

    def __init__(
        self,
        runs: RunStore,
        decide: Deciding,
        tries: Tries,
        sleep: Callable[[float], Awaitable[None]],
        log: LogWriter,
    ) -> None:
        self._runs = runs
        self._decide = decide
        self._tries = tries
        self._sleep = sleep
        self._log = log

    async def following(
        self, task: TaskInstance, error: TaskError, budget: TimeBudget
    ) -> NextAttempt:
        """Return what follows the failed attempt, by the policy of its task."""
        policy = await self._retry_policy(task)
        failure = failure_of(error, task.attempts)
        return await self._decide(
            next_attempt,
            policy,
            failure,
            budget,
            asked=timedelta(seconds=error.retry_after_seconds or 0),
            chance=chance_of(task.id, task.attempts),
        )

    async def count(self, order: TaskOrder, error: TaskError, entry: LogEntry) -> int:
        """Return how many attempts failed; all of them if the failure can never be written."""
        try:
            return await self._runs.fail_attempt(order.task_id, str(error), entry, error.task_code)
        except Exception as failure:  # a fault of ours must not be repeated for ever
            if not self._tries.is_last(order.task_id, failure):
                raise
            _LOG.exception("a failed attempt cannot be recorded", extra={"task": order.task_id})
            return order.max_attempts

    async def written(
        self, write: Callable[[], Awaitable[_Written]], task: TaskInstance
    ) -> _Written:
        """Write what the attempt led to, as often as it takes: it must not run again for that.

        What the attempt has logged is written before. If Postgres refuses it for good, `write`
        itself gives up after some tries.
        """
        await self._log.settle(task.id)
        failures = 0
        while True:
            try:
                return await write()
            except Exception as error:  # noqa: BLE001  # logged; it ends or is given up
                failures += 1
                chance = random.random()  # noqa: S311  # no secret
                pause = OUTAGE_PAUSES.pause(failures, chance)
                _LOG.warning(
                    "could not record an attempt, will be retried: %s",
                    failure_text(error),
                    extra={"run": task.run_id, "task": task.id},
                )
                await self._sleep(pause.total_seconds())

    async def _retry_policy(self, task: TaskInstance) -> RetryPolicy:
        """Return the policy of the task; the default one if its run cannot be read."""
        try:
            spec = await self._runs.spec_of_run(task.run_id)
        except Exception as failure:  # whatever it is, the attempt must be recorded
            if is_outage(failure):
                raise
            _LOG.exception("a run cannot be read", extra={"run": task.run_id})
            spec = None
        if spec is None:
            return RetryPolicy()
        template = templates_by_path(spec).get(template_path(task.name))
        return RetryPolicy() if template is None else template.retry


def note_about_wait(asked_seconds: float, wait: timedelta) -> str:
    """Return what the log says about the wait that a server has asked for."""
    seconds = wait.total_seconds()
    why = ", because of retry.maxInterval" if asked_seconds > seconds else ""
    return f" (Retry-After asks for {asked_seconds:g} s; the next attempt is in {seconds:g} s{why})"
