"""The step `execute_many`: carries out tasks of several runs, each as the step `execute` would."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activityctl.domain.runs.run import RunStatus
from activityctl.errors import ActivityctlError
from activityctl.ports import RunLists
from activityctl.steps.attempts import heartbeats
from activityctl.steps.lane_call import worker_stops
from activityctl.steps.places import Places
from activityctl.workflows.calls import CallEnd, Orders, TaskOrder
from activityctl.workflows.shared_calls import TASKS_ENDED

_LOG = logging.getLogger(__name__)
_TELL_EVERY: Final = 0.5
"""Seconds after which the workflow is told what it can go on with while others are at work."""
_TELL_OVER_EVERY: Final = 5.0
"""The same if it has nothing to do: runs that are over are over in Postgres already."""
_AGAIN: Final = 1.0
"""Seconds until the next try of a task whose call failed for a reason of ours."""


class ExecuteManyStep:
    """Body of `calls.execute_many`."""

    def __init__(
        self,
        execute: Callable[[TaskOrder], Awaitable[Orders]],
        *,
        stop: Callable[[Iterable[str]], None],
        going_on: Callable[[Collection[str]], Awaitable[set[str]]],
        places: Places,
        on_end: Callable[[Orders], None] = lambda _: None,
        look_every: float = 2.0,
    ) -> None:
        """`execute` carries out one task, and `stop` ends its attempt.

        `going_on` returns those of the runs that run; it is asked every `look_every` seconds.
        `on_end` gets the orders that end the call for a task, before the others have ended.
        """
        self._execute = execute
        self._stop = stop
        self._going_on = going_on
        self._places = places
        self._on_end = on_end
        self._look_every = look_every

    @activity.defn(name="execute_many")
    async def execute_many(self, orders: list[TaskOrder]) -> list[CallEnd]:
        """Run one attempt of each task, as `execute` does, and tell how each has ended.

        A failure that is to be retried ends only the call for its task.
        """
        members = [_Member(order, is_further=number > 0) for number, order in enumerate(orders)]
        for member in members:
            member.work = asyncio.create_task(self._carry_out(member))
        teller = _Teller()
        looking = asyncio.create_task(self._look(members))
        try:
            async with heartbeats():
                while works := [member.work for member in members if not member.work.done()]:
                    await asyncio.wait(works, timeout=_TELL_EVERY)
                    if worker_stops():
                        _leave(members)
                    await teller.tell([each.work.result() for each in members if each.work.done()])
        except asyncio.CancelledError:
            await _end_all(members)
            raise
        finally:
            looking.cancel()
        return [member.work.result() for member in members]

    async def _carry_out(self, member: "_Member") -> CallEnd:
        order = member.order
        try:
            async with self._places.one(is_further=member.is_further):
                member.has_begun = True
                orders = await self._execute(order)
                self._on_end(orders)
                return CallEnd(order.task_id, orders)
        except asyncio.CancelledError:
            if not member.has_begun and not member.is_called_off:
                return CallEnd(order.task_id)
            work = asyncio.current_task()
            if work is None or work.cancelling():  # the whole call is cancelled
                raise
            seconds = _AGAIN
        except ApplicationError as error:
            delay = error.next_retry_delay
            seconds = _AGAIN if delay is None else delay.total_seconds()
        except Exception as error:  # noqa: BLE001  # of this task alone; it is tried again
            _LOG.warning("a task is called again: %s", error, extra={"task": order.task_id})
            seconds = _AGAIN
        return CallEnd(order.task_id, again_seconds=seconds)

    async def _look(self, members: Sequence["_Member"]) -> None:
        """Stop the tasks of the runs that do not go on, while others of the call do."""
        while True:
            await asyncio.sleep(self._look_every)
            still = [member for member in members if not member.work.done()]
            try:
                going_on = await self._going_on({member.order.run_id for member in still})
            except ActivityctlError as error:
                _LOG.warning("cannot ask which runs go on: %s", error)
                continue
            ended = [member for member in still if member.order.run_id not in going_on]
            _leave(ended)
            self._stop([member.order.task_id for member in ended if member.has_begun])


class _Member:
    """A task of a call."""

    work: asyncio.Task[CallEnd]

    def __init__(self, order: TaskOrder, *, is_further: bool) -> None:
        self.order = order
        self.is_further = is_further
        """Whether it is not the first task of its call."""
        self.has_begun = False
        """Whether it has a place."""
        self.is_called_off = False
        """Whether the whole call is cancelled."""


class _Teller:
    """Tells the workflow of a call which tasks have ended, while others are at work."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._told_at = time.monotonic()

    async def tell(self, ended: Sequence[CallEnd]) -> None:
        """Tell what is new, not too often; what is told last comes with the result of the call."""
        ends = [end for end in ended if end.task_id not in self._told]
        pause = _TELL_OVER_EVERY if all(map(_is_over, ends)) else _TELL_EVERY
        if not ends or time.monotonic() < self._told_at + pause:
            return
        info = activity.info()
        try:
            workflow = activity.client().get_workflow_handle(
                info.workflow_id or "", run_id=info.workflow_run_id
            )
            await workflow.signal(TASKS_ENDED, ends)
        except Exception as error:  # noqa: BLE001  # it is told again
            _LOG.warning("cannot tell a workflow what has ended: %s", error)
        else:
            self._told.update(end.task_id for end in ends)
        self._told_at = time.monotonic()


def _is_over(end: CallEnd) -> bool:
    """Return whether the run of the task has ended with it."""
    return end.orders is not None and end.orders.is_over


def _leave(members: Iterable[_Member]) -> None:
    """End the waits of those that have no place yet; the workflow decides about them."""
    for member in members:
        if not member.has_begun:
            member.work.cancel()


async def _end_all(members: Iterable[_Member]) -> None:
    """Let the call for each task end as a call of its own would that is cancelled."""
    for member in members:
        member.is_called_off = True
        member.work.cancel()
    async with heartbeats():
        await asyncio.gather(*(member.work for member in members), return_exceptions=True)


async def runs_going_on(runs: RunLists, run_ids: Collection[str]) -> set[str]:
    """Return those of the runs that run and are not being stopped."""
    found = await runs.runs_of(list(run_ids))
    return {run.id for run in found if run.status is RunStatus.RUNNING}
