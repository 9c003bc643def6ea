"""Attempts: the attempts that are at work in this process, so that none is started twice here.

Temporal takes an attempt for lost when its heartbeats stop, and asks for another one. If the
process only was slow, the first attempt is still at work. The second call then waits for it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activityctl.errors import ActivityctlError
from activityctl.workflows.calls import Orders

_LOG = logging.getLogger(__name__)
_HEARTBEAT_EVERY: Final = 2.0
_CHECK_EVERY: Final = 2.0
"""Seconds between two checks whether an attempt that no call waits for is still wanted."""


class _Attempt:
    """An attempt at work: its task in the event loop, and how many calls wait for it."""

    def __init__(self, call: str, work: asyncio.Task[Orders]) -> None:
        self.call = call
        """The id of the task with which it began."""
        self.carries = call
        """The id of the task that it carries out now."""
        self.work = work
        self.calls = 0
        self.watch: asyncio.Task[None] | None = None
        self._is_stopping = False

    def stop(self) -> None:
        """Cancel the attempt, only once: a second time would cut short how long it may take."""
        if not self._is_stopping:
            self._is_stopping = True
            self.work.cancel()


class RunningAttempts:
    """The attempts that are at work in this process, by task id."""

    def __init__(self, is_wanted: Callable[[str], Awaitable[bool]]) -> None:
        """Remember `is_wanted`, which tells by task id whether the attempt may continue.

        It is asked only while no call waits for the attempt.
        """
        self._is_wanted = is_wanted
        self._attempts: dict[str, _Attempt] = {}

    async def run(
        self,
        task_id: str,
        start: Callable[[], Coroutine[Any, Any, Orders]],
        on_joined: Callable[[], Awaitable[None]],
    ) -> Orders:
        """Start the attempt and return its result; if it is at work already, wait for that one.

        `on_joined` is called when it is at work already. An attempt ends early when a call is
        cancelled on request or because the worker stops. When Temporal only took it for lost, it
        continues, and the next call waits for it.
        """
        attempt = self._attempts.get(task_id)
        joined = attempt is not None
        if attempt is None:
            attempt = self._start(task_id, start())
        attempt.calls += 1
        try:
            async with heartbeats():
                if joined:
                    await on_joined()
                return await asyncio.shield(attempt.work)
        except asyncio.CancelledError:
            return await self._cancelled(task_id, attempt)
        finally:
            attempt.calls -= 1

    def carries(self, call: str, task_id: str) -> None:
        """Note that the attempt with which the call began is at this task now.

        A call for that task waits for it too, as one for the first task does.
        """
        if (attempt := self._attempts.get(call)) is not None:
            self._leave(attempt)
            self._attempts.setdefault(task_id, attempt)
            attempt.carries = task_id

    def stop(self, task_ids: Iterable[str]) -> None:
        """Cancel the attempts of these tasks, those that are at work in this process.

        Their calls hear of the cancellation with a heartbeat of theirs, which is later.
        """
        for task_id in task_ids:
            if (attempt := self._attempts.get(task_id)) is not None:
                attempt.stop()

    async def close(self) -> None:
        """Cancel the attempts that are still at work, and wait until they have ended."""
        works = {attempt.work for attempt in self._attempts.values()}
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    def _start(self, task_id: str, body: Coroutine[Any, Any, Orders]) -> _Attempt:
        attempt = self._attempts[task_id] = _Attempt(task_id, asyncio.create_task(body))

        def forget(work: asyncio.Task[Orders]) -> None:
            self._leave(attempt)
            del self._attempts[task_id]
            if attempt.watch is not None:
                attempt.watch.cancel()
            if not work.cancelled():
                work.exception()  # no call may wait for it; its failure is recorded anyway

        attempt.work.add_done_callback(forget)
        return attempt

    def _leave(self, attempt: _Attempt) -> None:
        """Forget which task the attempt is at, unless that is the first one."""
        if attempt.carries != attempt.call and self._attempts.get(attempt.carries) is attempt:
            del self._attempts[attempt.carries]
        attempt.carries = attempt.call

    async def _cancelled(self, task_id: str, attempt: _Attempt) -> Orders:
        """End the attempt, or leave it at work, by the reason of a cancellation of its call."""
        if attempt.work.cancelled() and not _call_was_cancelled():
            message = "the attempt was stopped by another call"
            raise ApplicationError(message, type="stopped") from None
        if not _is_taken_for_lost():
            attempt.stop()
            async with heartbeats():  # else the server takes an attempt for lost that stops slowly
                return await attempt.work
        if attempt.watch is None and not attempt.work.done():
            _LOG.warning("attempt taken for lost is still at work", extra={"task": task_id})
            attempt.watch = asyncio.create_task(self._watch(attempt.call, attempt))
        raise asyncio.CancelledError

    async def _watch(self, task_id: str, attempt: _Attempt) -> None:
        """Cancel the attempt when nobody wants it any more, until it ends."""
        while True:
            if not attempt.calls and not await self._is_still_wanted(task_id):
                _LOG.warning("attempt is not wanted any more, so it ends", extra={"task": task_id})
                attempt.stop()
                return
            await asyncio.sleep(_CHECK_EVERY)

    async def _is_still_wanted(self, task_id: str) -> bool:
        try:
            return await self._is_wanted(task_id)
        except ActivityctlError as error:
            _LOG.warning("cannot ask about an attempt: %s", error, extra={"task": task_id})
            return True


def _call_was_cancelled() -> bool:
    return activity.cancellation_details() is not None


def _is_taken_for_lost() -> bool:
    """Return whether the call was cancelled only because Temporal takes the attempt for lost."""
    details = activity.cancellation_details()
    if details is None or details.cancel_requested or details.worker_shutdown:
        return False
    return details.not_found or details.timed_out


@asynccontextmanager
async def heartbeats() -> AsyncIterator[None]:
    """Send heartbeats to the server; this is also how the attempt learns of a cancellation."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_EVERY)
            activity.heartbeat()

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
