"""The `execute` step: runs one attempt of a task, within its limits, and handles its failure."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activityctl.domain.runs.logged_output import logged_output
from activityctl.domain.runs.run import RunStatus, TaskInstance, address_of
from activityctl.domain.runs.stopping import LOST
from activityctl.domain.values.failure_kind import Tries, failure_text
from activityctl.domain.values.log import Level, LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ActivityctlError, TaskError
from activityctl.ports import (
    BegunAttempt,
    Executor,
    ExecutorOutcome,
    Guards,
    KnownRun,
    Lanes,
    Logbook,
    RunStore,
    SecretReader,
)
from activityctl.steps.attempts import RunningAttempts
from activityctl.steps.chain_call import ChainCall
from activityctl.steps.failed_attempts import FailedAttempts, note_about_wait
from activityctl.steps.guarding import Guarding
from activityctl.steps.held_secrets import NO_SECRETS, HeldSecrets
from activityctl.steps.lane_call import LaneCall
from activityctl.steps.limited import TimeUsed, execute_limited, parse_body
from activityctl.steps.log_writer import STOPPED_SECONDS, LogWriter
from activityctl.steps.lost_attempts import told_loss
from activityctl.steps.orders import order_of
from activityctl.steps.places import Places
from activityctl.steps.record import RecordStep
from activityctl.steps.strategies import Strategies
from activityctl.steps.task_calls import TaskCalls, attempt_entry
from activityctl.steps.tracing import Tracing
from activityctl.steps.trigger_ends import ASKING_KINDS
from activityctl.workflows.calls import Orders, TaskOrder

_LOG = logging.getLogger(__name__)
_LOST_ATTEMPTS_ALLOWED: Final = 5
"""If workers die more often than this during one task, the task is taken to be the cause."""


class ExecuteStep:
    """Body of `calls.execute`."""

    def __init__(  # noqa: PLR0913  # its ports, and who works
        self,
        runs: RunStore,
        logbook: Logbook,
        executors: Mapping[str, Executor],
        recorder: RecordStep,
        clock: Callable[[], datetime],
        worker: str,
        *,
        lanes: Lanes,
        guards: Guards,
        places: Places | None = None,
        secrets: SecretReader = NO_SECRETS,
        tracing: Tracing | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`worker` names this process in the log: host and pid.

        `places` limits how many tasks are carried out at the same time; None if others see to it.
        """
        self._runs = runs
        self._secrets = secrets
        self._log = LogWriter(logbook, sleep)
        self._executors = executors
        self._recorder = recorder
        self._clock = clock
        self._tries = Tries()
        self._failures = FailedAttempts(runs, recorder.decide, self._tries, sleep, self._log)
        self._worker = worker
        self._tracing = tracing or Tracing(runs, clock)
        self._lanes = lanes
        self.places = places or Places(sys.maxsize)
        self._guarding = Guarding(guards, self._log, worker, clock, sleep)
        self._strategies = Strategies(runs, executors, clock)
        self._begun: dict[str, TaskInstance] = {}
        self._lane_calls: dict[str, LaneCall] = {}
        self._used: dict[str, TimeUsed] = {}
        self._known: dict[str, KnownRun | None] = {}
        self._attempts = RunningAttempts(self._is_wanted)
        self._calls = TaskCalls(runs, self._log, recorder.decide, clock, self._tracing)

    @activity.defn(name="execute")
    async def execute(self, order: TaskOrder) -> Orders:
        """Run one attempt of a task and record it; raise a failure that is to be retried."""
        async with self.places.soon():
            return await self.carry_out(order)

    async def carry_out(self, order: TaskOrder) -> Orders:
        """Do as `execute`, in a place of the caller.

        If an attempt of the task is still at work in this process, wait for that one instead.
        """
        return await self._attempts.run(
            order.task_id, lambda: self._execute(order), lambda: self._warn_joined(order)
        )

    def stop(self, task_ids: Iterable[str]) -> None:
        """Stop the attempts of these tasks that are at work in this process."""
        calls = {str(task.id): call for call, task in self._begun.items()}
        self._attempts.stop(calls.get(task_id, task_id) for task_id in task_ids)

    async def close(self) -> None:
        """End the attempts that are still at work although Temporal took them for lost."""
        await self._attempts.close()
        await self._log.close()

    async def _execute(self, order: TaskOrder) -> Orders:
        used = TimeUsed()
        if (reason := used.budget(order).refusal(timedelta(0))) and activity.info().attempt == 1:
            error = f"no attempt could begin in time: {reason}"
            return await self._recorder.end_task(
                order.run_id, order.task_id, error=error, code="timeout"
            )
        await self._strategies.require(order)
        try:
            begun = await self._begin(order, used)
        except ApplicationError:  # a breaker or a limit holds it up
            raise
        except TaskError as error:
            return await self._recorder.end_task(
                order.run_id, order.task_id, error=str(error), code=error.task_code
            )
        except Exception as failure:  # nothing has run yet, so Temporal may repeat the call
            if not self._tries.is_last(order.task_id, failure):
                raise
            _LOG.exception("an attempt cannot begin", extra={"task": order.task_id})
            reason = f"the attempt could not begin: {failure_text(failure)}"
            return await self._recorder.end_task(order.run_id, order.task_id, error=reason)
        self._tries.forget(order.task_id)
        if begun is None:
            return await self._not_begun(order)
        task = begun.task
        if begun.lost_worker is not None:
            message, facts = told_loss(begun, self._worker)
            await self._log.write(self._entry(task, order, "warning", message, facts))
        if order.takes_next:
            return await self._execute_lane(task, order)
        return await self._execute_chain(begun, order, used)

    async def _begin(self, order: TaskOrder, used: TimeUsed) -> BegunAttempt | None:
        if order.is_guarded:
            return await self._guarding.begin(order, lambda: used.budget(order))
        return await self._runs.begin_attempt(
            order.task_id, self._clock(), self._worker, reads_run=not order.takes_next
        )

    async def _execute_chain(self, begun: BegunAttempt, order: TaskOrder, used: TimeUsed) -> Orders:
        """Execute a task, then those that follow it, as long as the call may go on."""
        call = ChainCall(order)
        if begun.task.id != order.task_id:  # the call is repeated, and had taken this one
            order, used = await self._order_of(begun.task, order), TimeUsed(begun.task)
        while True:
            with self._at_work(call.lane, begun.task, used):
                self._known[begun.task.id] = begun.known
                orders = await self._execute_begun(begun.task, order)
            if (following := call.follower(orders)) is None:
                return call.told(orders)
            order = following
            try:
                taken = await self._take(order, call.lane)
            except ActivityctlError as error:
                _LOG.warning("the workflow has to begin a task: %s", error)
                return call.told(orders)
            if taken is None:
                return call.told(await self._not_begun(order))
            begun, used = taken, TimeUsed(taken.task)
            call.note(order)

    async def _take(self, order: TaskOrder, lane: str) -> BegunAttempt | None:
        """Begin the next task of a call; None if it may not begin."""
        self._attempts.carries(lane, order.task_id)
        return await self._runs.begin_attempt(
            order.task_id, self._clock(), self._worker, reads_run=True, lane=lane
        )

    async def _order_of(self, task: TaskInstance, order: TaskOrder) -> TaskOrder:
        """Return the order for a task that a call has taken after the one of its own order."""
        state = await self._failures.written(lambda: self._runs.load(order.run_id), task)
        return replace(order, task_id=task.id) if state is None else order_of(state, task)

    async def _execute_lane(self, task: TaskInstance, order: TaskOrder) -> Orders:
        """Execute an instance of a large forEach, then those that its lane takes after it."""
        call = LaneCall(self._lanes, order, self._worker, self._clock)
        following: TaskInstance | None = task
        while following is not None:
            task = following
            with self._at_work(order.task_id, task, TimeUsed(task)):
                self._lane_calls[task.id] = call
                orders = await self._execute_begun(task, replace(order, task_id=task.id))
            following = call.take_next()
        return orders

    @contextmanager
    def _at_work(self, call: str, task: TaskInstance, used: TimeUsed) -> Iterator[None]:
        """Note that the call carries out the task, while the block runs."""
        self._attempts.carries(call, task.id)
        self._begun[call], self._used[task.id] = task, used
        try:
            yield
        finally:
            del self._begun[call], self._used[task.id]
            self._known.pop(task.id, None)
            self._lane_calls.pop(task.id, None)

    def _task_at_work(self, task_id: str) -> TaskInstance | None:
        """Return the task that a call for this task carries out here."""
        others = (task for task in self._begun.values() if task.id == task_id)
        return self._begun.get(task_id) or next(others, None)

    async def _end(
        self,
        task: TaskInstance,
        order: TaskOrder,
        *,
        error: str | None = None,
        output: JsonValue = None,
        code: str | None = None,
    ) -> Orders:
        call = self._lane_calls.get(task.id)
        leaves_trigger = error is not None and task.kind in ASKING_KINDS
        if call and not leaves_trigger:
            orders = await call.end(task, error=error, output=output, code=code)
            if orders is not None:
                return orders
        return await self._recorder.end_task(
            order.run_id,
            order.task_id,
            error=error,
            output=output,
            code=code,
            known=self._known.get(task.id),
            is_attempt=True,
        )

    async def _not_begun(self, order: TaskOrder) -> Orders:
        """Answer for a task that has ended, or whose run is cancelling.

        If an attempt was at work, it is lost: otherwise no other would be asked for.
        """
        orders = await self._recorder.end_stopped(order.run_id, order.task_id, lost=LOST)
        if orders is None:
            raise ApplicationError("the run changed while the task began", type="race")
        return orders

    async def _stopped(self, task: TaskInstance, order: TaskOrder) -> Orders | None:
        """Record that a cancelled attempt is not at work any more; None if the run goes on."""
        await self._log.settle(task.id, STOPPED_SECONDS)
        orders = await self._recorder.end_stopped(order.run_id, order.task_id, is_attempt=True)
        if orders is None:
            message = (
                f"task {address_of(task)} attempt {task.attempts} was interrupted, because "
                f"{self._worker} stops; it is repeated, which does not count for retry.maxAttempts"
            )
            entry = self._entry(task, order, "warning", message, {})
            await self._runs.release_attempt(task.id, entry)
        return orders

    async def _is_wanted(self, task_id: str) -> bool:
        """Return whether the run and the task are open and no other worker has begun the task."""
        begun = self._task_at_work(task_id)
        if begun is None:
            return True
        state = await self._runs.load(begun.run_id)
        if state is None or state.run.status is not RunStatus.RUNNING:
            return False
        present = next((task for task in state.tasks if task.id == begun.id), None)
        return present is not None and not present.has_ended and present.attempts == begun.attempts

    async def _warn_joined(self, order: TaskOrder) -> None:
        task = self._task_at_work(order.task_id)
        if task is None:
            return
        message = (
            f"task {address_of(task)} attempt {task.attempts} is still running in this worker, but "
            "Temporal took it for lost and asked for another attempt; it was not started again"
        )
        await self._log.write(self._entry(task, order, "warning", message, {}))

    async def _execute_begun(self, task: TaskInstance, order: TaskOrder) -> Orders:
        failure: TaskError | asyncio.CancelledError | None = None
        try:
            outcome = await self._tracing.attempt(
                task, self._known.get(task.id), lambda: self._attempt(task, order)
            )
            return await self._failures.written(lambda: self._end_well(task, order, outcome), task)
        except TaskError as error:
            failure = error
            return await self._failed(task, order, error)
        except asyncio.CancelledError as error:
            failure = error
            if (orders := await self._stopped(task, order)) is None:
                raise
            return orders
        finally:
            if order.is_guarded:
                await self._guarding.settle(task, order, failure)

    async def _end_well(
        self, task: TaskInstance, order: TaskOrder, outcome: ExecutorOutcome
    ) -> Orders:
        if outcome.skipped is not None:
            return await self._recorder.end_skipped(order.run_id, order.task_id, outcome.skipped)
        return await self._end(task, order, output=outcome.output)

    async def _attempt(self, task: TaskInstance, order: TaskOrder) -> ExecutorOutcome:
        if task.attempts > order.max_attempts + _LOST_ATTEMPTS_ALLOWED:
            message = f"the worker was lost {_LOST_ATTEMPTS_ALLOWED} times during this task"
            raise TaskError(message, code="worker_lost", retryable=False)
        executor = self._executors.get(task.kind)
        if executor is None:
            message = f"this worker does not know the task kind {task.kind!r}"
            raise TaskError(message, code="unknown_kind", retryable=False)
        held = HeldSecrets(self._secrets)
        try:
            outcome = await execute_limited(
                executor,
                parse_body(executor, task.input),
                order,
                self._used[task.id].budget(order),
                partial(self._calls.make, task, order, held),
            )
        except TaskError as error:
            raise held.masked(error) from None  # the cause may quote a secret
        except Exception as error:  # noqa: BLE001  # a fault of an executor fails its task alone
            _LOG.exception("executor failed", extra={"task": task.id, "kind": task.kind})
            message = f"{type(error).__name__} in the executor of {task.kind}: {error}"
            failure = TaskError(message, code="internal", retryable=False)
            raise held.masked(failure) from None
        skipped = None if outcome.skipped is None else held.mask.text(outcome.skipped)
        return ExecutorOutcome(held.mask.json(outcome.output), skipped=skipped)

    async def _failed(self, task: TaskInstance, order: TaskOrder, error: TaskError) -> Orders:
        """Record the failure; raise it while the retry policy allows another attempt."""
        if order.max_attempts == 1:
            return await self._end_failed(task, order, error)
        following = await self._failures.written(
            lambda: self._failures.following(task, error, self._used[task.id].budget(order)),
            task,
        )
        if following.wait is None:
            message = f"{error}{following.note}"
            return await self._end_failed(task, order, error.with_message(message))
        asked, wait = error.retry_after_seconds, following.wait
        message = f"task {address_of(task)} attempt {task.attempts} failed: {error}"
        if asked is not None and task.attempts < order.max_attempts:
            message += note_about_wait(asked, wait)
        facts = {
            "code": error.task_code,
            "retryInSeconds": wait.total_seconds(),
            "output": logged_output(error.output),
        }
        entry = self._entry(task, order, "warning", message, facts)
        failures = await self._failures.written(
            lambda: self._failures.count(order, error, entry), task
        )
        if failures >= order.max_attempts:
            return await self._end_failed(task, order, error)
        raise ApplicationError(
            f"attempt {task.attempts} failed; see the log of the run for the reason",
            type=error.task_code,
            next_retry_delay=wait,
            category=ApplicationErrorCategory.BENIGN,
        ) from None  # the cause quotes the task's output, which must not get into Temporal

    async def _end_failed(self, task: TaskInstance, order: TaskOrder, error: TaskError) -> Orders:
        return await self._failures.written(
            lambda: self._end(
                task, order, error=str(error), output=error.output, code=error.task_code
            ),
            task,
        )

    def _entry(
        self,
        task: TaskInstance,
        order: TaskOrder,
        level: Level,
        message: str,
        metadata: Mapping[str, JsonValue],
    ) -> LogEntry:
        return attempt_entry(task, order, level, message, self._clock(), metadata)
