"""RunCarrier: runs one firing in a workflow, from its admission to the end of the run."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.runs.chains import TIME_PER_CALL
    from activityctl.domain.runs.lanes import INSTANCES_PER_CALL
    from activityctl.domain.runs.stopping import STOPS_WITHIN
    from activityctl.domain.timing.firing import FiringRef
    from activityctl.workflows import calls
    from activityctl.workflows.calls import CONTEXT_QUEUE, Orders, StopOrder, TaskOrder
    from activityctl.workflows.failures import failure_reason, loss
    from activityctl.workflows.local_steps import LocalSteps
    from activityctl.workflows.renewal import CONTINUES, Renewal
    from activityctl.workflows.shared_calls import SharedCalls, may_share
    from activityctl.workflows.shared_timer import SharedTimer, wait_first

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""Without a heartbeat for this long, the worker counts as lost and another attempt starts."""
CANCELLED = "cancelled on request"
TIMED_OUT = "the run took longer than its timeout"
CANCEL_RUN = "cancelRun"
"""The signal that asks to cancel one run; its argument is the run's id."""
WAKE_RUN = "wakeRun"
"""The signal that a waiting task of a run may have been answered; its argument is the run's id."""
WAITS_FOR_TASKS = "wait-for-tasks-to-stop"
"""The patch since which a run that is stopped waits for its tasks before it ends."""
GRACE = timedelta(seconds=15)
"""How long an executor may take after its limit to stop cleanly, before Temporal ends it."""

_AFTER_A_LOST_ATTEMPT = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)
)

_TURNS_TO_CANCEL = 5
"""After so many turns of the event loop the cancellation of a task is a command to the server."""


class RunCarrier:
    """Asks steps what to do, and does it. It sees no payload and decides nothing itself."""

    def __init__(
        self,
        firing: FiringRef,
        steps: LocalSteps,
        *,
        may_renew: bool = False,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        """`may_renew` says whether the workflow can go on in a new history.

        `tell` is called when the run was admitted and when it has ended.
        """
        self.shared: SharedCalls | None = None
        """What makes calls that the run shares with others; None if it shares none."""
        self.timer: SharedTimer | None = None
        self.admission: asyncio.Task[Mapping[str, Orders | None]] | None = None
        """The admission of several runs, by run id; None if the run is admitted by itself."""
        self._sharing: set[str] = set()
        """The tasks in a shared call, by id."""
        self._tell = tell
        self.firing = firing
        """With the names of its subscription and definition, once they are known."""
        self.has_attributes = False
        """Whether Temporal has search attributes for names that came with the admission."""
        self._steps = steps
        self._may_renew = may_renew
        self._ordered: set[str] = set()
        self._working: dict[asyncio.Task[Orders], TaskOrder | None] = {}
        """The tasks at work, each with its order; None for the lookup of the context."""
        self._deadline: datetime | None = None
        self._is_stopping = False
        """Whether the run waits for its tasks to stop; `_deadline` is then until when."""
        self._cancel_asked = asyncio.Event()
        self._wake_asked = asyncio.Event()
        self._has_waiting = False
        self._settle_at: datetime | None = None
        """When to look at the waiting tasks again; None if no time ends their wait."""
        self.is_cancelled = False
        """Whether the run ends because its cancellation was requested."""
        self.has_ended = False
        self.ended_as: str | None = None
        """The status with which the run ended, if it is known."""
        self.goes_on = False
        """Whether the run is not over, but has to go on in a new history."""
        self._renewal = Renewal()
        self._held: list[TaskOrder] = []
        """Orders that are not carried out in this history, if it is left."""
        self._asleep: set[str] = set()
        """The ordered tasks whose time has not come, by id."""

    async def carry(self) -> str:
        """Run to the end and return the run's id; or stop before it and set `goes_on`."""
        orders = await self._admit()
        if orders.is_cancelling:
            # The workflow that stopped the run is lost. Its tasks end by themselves, or never.
            await workflow.sleep(STOPS_WITHIN)
            orders = await self._end_now()
        while not orders.is_over:
            self._carry_out(orders)
            if self._can_leave():
                self.goes_on = True
                break
            orders = await self._next()
        self.ended_as = orders.ended_as
        self.has_ended = orders.is_over
        self._tell()
        return self.firing.run_id

    def ask_to_cancel(self) -> None:
        """Cancel the run if Postgres has a request for that; else it goes on unchanged.

        Everybody who reaches Temporal can ask, so the step `record` decides.
        """
        self._cancel_asked.set()

    def ask_to_wake(self) -> None:
        """Look at the waiting tasks again. It is only a hint; the step `settle` decides."""
        self._wake_asked.set()

    async def _admit(self) -> Orders:
        orders = None
        if self.admission is not None:
            orders = (await asyncio.shield(self.admission))[self.firing.run_id]
        orders = orders or await self._steps.admit(self.firing)
        if orders.subscription:
            names = (orders.subscription, orders.definition)
            self.firing = replace(self.firing, subscription=names[0], definition=names[1])
            self.has_attributes = orders.has_attributes
        self._deadline = workflow.now() + timedelta(seconds=orders.deadline_seconds)
        if orders.lifts_deadline:
            self._deadline = None
        self._tell()
        return orders

    def _carry_out(self, orders: Orders) -> None:
        if orders.look_up_seconds is not None:
            self._working[asyncio.create_task(self._look_up(orders.look_up_seconds))] = None
        self._hold(orders)
        for order in () if self._renewal.is_near else orders.start:
            if order.task_id not in self._ordered:
                self._ordered.add(order.task_id)
                self._renewal.calls += 1
                self._working[asyncio.create_task(self._execute(order))] = order
        self._note_waits(orders)
        if not self._working and not self._has_waiting and not self._held:
            raise ApplicationError("the run is not over but has no task", non_retryable=True)

    def _hold(self, orders: Orders) -> None:
        """Keep the orders back if the history is about to be left.

        Never the first ones of a history, however many they are: then it would go on for ever.
        """
        if self._may_renew and self._renewal.is_due and workflow.patched(CONTINUES):
            self._renewal.begin(workflow.now())
        if self._renewal.is_near:
            self._held += orders.start

    def _can_leave(self) -> bool:
        """Return whether nothing is lost if the run goes on in a new history now."""
        if not self._renewal.is_near or self._is_stopping or self._cancel_asked.is_set():
            return False
        return all(order and order.task_id in self._asleep for order in self._working.values())

    def _stay(self) -> Orders:
        """Carry on in this history, because a task at work takes long."""
        self._renewal.give_up()
        held, self._held = self._held, []
        return Orders(self.firing.run_id, is_over=False, start=held)

    async def _look_up(self, seconds: float) -> Orders:
        return await workflow.execute_activity(
            calls.look_up,
            self.firing,
            task_queue=CONTEXT_QUEUE,
            start_to_close_timeout=timedelta(seconds=seconds) + GRACE,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=_AFTER_A_LOST_ATTEMPT,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    async def _execute(self, order: TaskOrder) -> Orders:
        if order.not_before is not None:
            self._asleep.add(order.task_id)
            await _sleep_until(datetime.fromisoformat(order.not_before))
            self._asleep.discard(order.task_id)
        if order.is_group:
            self._steps.keep_order()  # several may begin at the same time
            return await self._steps.record(StopOrder(order.run_id, "running", "", order.task_id))
        if self.shared is not None and may_share(order):
            orders = await self._execute_shared(self.shared, order)
            if orders is not None:
                return orders
        wait, total = order.schedule_to_start_seconds, order.total_seconds
        instances = INSTANCES_PER_CALL if order.takes_next else 1
        limit = timedelta(seconds=order.start_to_close_seconds) + GRACE
        return await workflow.execute_activity(
            calls.execute,
            order,
            # A call goes on with tasks that have the same limit at most, as long as it is young.
            start_to_close_timeout=limit * instances + TIME_PER_CALL,
            schedule_to_start_timeout=timedelta(seconds=wait) if wait else None,
            # The step keeps this limit itself; this is for a worker that is lost or missing.
            schedule_to_close_timeout=(
                timedelta(seconds=total) + GRACE if total and not order.takes_next else None
            ),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=_AFTER_A_LOST_ATTEMPT,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    async def _execute_shared(self, shared: SharedCalls, order: TaskOrder) -> Orders | None:
        """Execute the task in a call with others; None if it needs a call of its own now."""
        self._sharing.add(order.task_id)
        try:
            end = await shared.execute(order)
        finally:
            self._sharing.discard(order.task_id)
        if end.orders is None:
            if self._is_stopping:  # no attempt is at work, and none may begin
                raise asyncio.CancelledError
            if end.again_seconds:
                await workflow.sleep(end.again_seconds)
        return end.orders

    def _note_waits(self, orders: Orders) -> None:
        """Remember that tasks wait, and the earliest time at which a wait ends.

        Orders may come in another order than they were decided in. To look too early does no
        harm: `settle` says when to look again.
        """
        self._has_waiting = self._has_waiting or orders.has_waiting
        if orders.settle_in_seconds is not None:
            at = workflow.now() + timedelta(seconds=orders.settle_in_seconds)
            self._settle_at = at if self._settle_at is None else min(at, self._settle_at)

    async def _next(self) -> Orders:
        """Wait until a task ends, a time comes, or someone asks to cancel the run or to look."""
        asked = [
            asyncio.create_task(event.wait()) for event in (self._cancel_asked, self._wake_asked)
        ]
        done = await wait_first([*self._working, *asked], self._seconds_left(), self.timer)
        for waiting in asked:
            waiting.cancel()
        if self._cancel_asked.is_set():
            return await self._cancel()
        if self._wake_asked.is_set():
            return await self._settle()
        if not done:
            if self._renewal.until is not None and self._renewal.until <= workflow.now():
                return self._stay()
            return await (self._time_out() if self._is_deadline_next() else self._settle())
        ended = [task for task in self._working if task in done]
        answers = [await self._outcome(task, self._working.pop(task)) for task in ended]
        start = [order for orders in answers for order in orders.start]
        if start and self._is_stopping:  # the tasks of its end, which have no deadline
            self._is_stopping, self._deadline = False, None
        for orders in answers:
            self._ordered.update(orders.done)
            self._note_waits(orders)
        if any(orders.lifts_deadline for orders in answers):
            self._deadline = None
        if any(orders.is_cancelling for orders in answers) and not self._is_stopping:
            self._stop_tasks()  # a task has ended the run early
        return Orders(
            run_id=self.firing.run_id,
            is_over=any(orders.is_over for orders in answers),
            start=start,
            ended_as=next((each.ended_as for each in answers if each.ended_as), None),
        )

    async def _settle(self) -> Orders:
        """End the waits that are over; the answer says which tasks still wait."""
        self._wake_asked.clear()
        self._has_waiting, self._settle_at = False, None
        self._renewal.calls += 1
        return await self._steps.settle(str(self.firing.run_id))

    def _seconds_left(self) -> float | None:
        ends = (self._deadline, self._settle_at, self._renewal.until)
        times = [time for time in ends if time is not None]
        if not times:
            return None
        return max((min(times) - workflow.now()).total_seconds(), 0.001)

    def _is_deadline_next(self) -> bool:
        """Whether the deadline of the run comes before the end of any wait."""
        return self._settle_at is None or (
            self._deadline is not None and self._deadline <= self._settle_at
        )

    async def _outcome(self, task: asyncio.Task[Orders], order: TaskOrder | None) -> Orders:
        """Return the orders of a finished attempt; if it has none, record the reason."""
        try:
            return await task
        except (ActivityError, asyncio.CancelledError) as error:
            if order is None:
                if not isinstance(error, ActivityError) or is_cancelled_exception(error):
                    raise
                reason = f"its context could not be looked up: {failure_reason(error)}"
                return await self._steps.record(StopOrder(self.firing.run_id, "failed", reason))
            if self._is_stopping:
                lost = loss(error)
                return await self._steps.record(
                    StopOrder(order.run_id, "cancelled", lost, order.task_id)
                )
            if not isinstance(error, ActivityError) or is_cancelled_exception(error):
                raise
            return await self._steps.record(
                StopOrder(order.run_id, "failed", failure_reason(error), task_id=order.task_id)
            )

    async def _time_out(self) -> Orders:
        """Stop the run, because it takes too long or its tasks do not stop."""
        if self._is_stopping:
            return await self._end_now()
        self._deadline = None
        return await self._stop("timed_out", TIMED_OUT)

    async def _cancel(self) -> Orders:
        """Cancel the run; but change nothing if nobody requested it."""
        self._cancel_asked.clear()
        if self.is_cancelled:
            return Orders(self.firing.run_id, is_over=False)
        orders = await self._stop("cancelled", CANCELLED)
        self.is_cancelled = orders.is_over or self._is_stopping
        return orders

    async def _stop(self, status: str, reason: str) -> Orders:
        """Record that the run is stopped, then stop its tasks; a refused request changes nothing.

        The run goes on when its tasks have stopped, so the caller waits for them.
        """
        waits = workflow.patched(WAITS_FOR_TASKS)
        run_id = self.firing.run_id
        orders = await self._steps.record(StopOrder(run_id, status, reason, waits=waits))
        if orders.is_cancelling:
            self._stop_tasks()
            if not self._working:  # nothing that this workflow started
                return await self._end_now()
        elif orders.is_over or status == "timed_out":
            await self._leave_tasks()
        if orders.lifts_deadline:
            self._deadline = None
        return orders

    def _stop_tasks(self) -> None:
        """Ask the tasks to stop. The run waits for them, but not for ever."""
        if not self._is_stopping:
            self._deadline = workflow.now() + STOPS_WITHIN
        self._is_stopping = True
        for task, order in self._working.items():
            # A shared call notices by itself which runs are stopping, and tells how a task ended.
            if order is None or order.task_id not in self._sharing:
                task.cancel()

    async def _end_now(self) -> Orders:
        """End the run although tasks may still be at work; the step `record` says so."""
        self._is_stopping, self._deadline = False, None
        status, reason = ("cancelled", CANCELLED) if self.is_cancelled else ("timed_out", TIMED_OUT)
        orders = await self._steps.record(StopOrder(self.firing.run_id, status, reason))
        await self._leave_tasks()
        return orders

    async def _leave_tasks(self) -> None:
        """Cancel the tasks and do not wait for them: none of them is at work, or they do not stop.

        The server hears of the cancellations before whatever comes next.
        """
        working, self._working = list(self._working), {}
        for task in working:
            task.cancel()
            task.add_done_callback(_forget)
        for _ in range(_TURNS_TO_CANCEL if working else 0):
            await asyncio.sleep(0)


def _forget(task: asyncio.Task[Orders]) -> None:
    """Take the result of a task that nobody waits for."""
    if not task.cancelled():
        task.exception()


async def _sleep_until(time: datetime) -> None:
    """Sleep until then; not at all if it is over."""
    seconds = (time - workflow.now()).total_seconds()
    if seconds > 0:
        await workflow.sleep(seconds)
