"""The dispatcher: starts the firings of the outbox and carries out wishes to cancel."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from activityctl.domain.runs.workflow_batches import split_into_batches
from activityctl.domain.timing.firing import FiringRef
from activityctl.errors import UnreachableError
from activityctl.ports import Outbox, RunStarter, RunStore
from activityctl.steps.record import RecordStep
from activityctl.workflows.calls import StopOrder

_LOG = logging.getLogger(__name__)
_CLAIM: Final = 100
_STARTS_AT_ONCE: Final = 32
_BURST: Final = 5
"""So many firings at once share workflows; fewer are no load in workflows of their own."""
_TRY_AGAIN_AFTER: Final = 0.25
"""Seconds to wait while firings are due that could not be started."""


class Dispatcher:
    """Any number of them may work on one outbox; each firing is started by one."""

    def __init__(
        self,
        outbox: Outbox,
        runs: RunStore,
        starter: RunStarter,
        recorder: RecordStep,
        clock: Callable[[], datetime],
        room: Callable[[], Awaitable[None]],
    ) -> None:
        """`room` returns once the worker has admitted most of what was started before."""
        self._outbox = outbox
        self._runs = runs
        self._starter = starter
        self._recorder = recorder
        self._clock = clock
        self._wait_for_capacity = room
        self._turns = asyncio.Semaphore(_STARTS_AT_ONCE)

    async def dispatch(self) -> float | None:
        """Start what waits; return the seconds until the next firing may start, if one waits."""
        await self.start_due()
        seconds = await self._outbox.seconds_to_next()
        return seconds or (None if seconds is None else _TRY_AGAIN_AFTER)

    async def start_due(self) -> int:
        """Start the firings whose time has come; return how many were started."""
        total = 0
        while True:
            await self._wait_for_capacity()  # a burst waits in Postgres, not in Temporal
            async with self._outbox.claimed(_CLAIM) as claim:
                groups = await self._in_batches(claim.firings)
                results = await asyncio.gather(*(self._start(group) for group in groups))
                started = [firing for group in results for firing in group]
                if started:
                    await claim.dispatched(started, self._clock())
            total += len(started)
            if len(claim.firings) < _CLAIM or not started:
                return total

    async def _in_batches(self, firings: Sequence[FiringRef]) -> list[tuple[FiringRef, ...]]:
        if len(firings) < _BURST:
            return [(firing,) for firing in firings]
        owners = {firing.subscription_id for firing in firings}
        return split_into_batches(firings, await self._runs.specs_of(owners))

    async def _start(self, group: tuple[FiringRef, ...]) -> tuple[FiringRef, ...]:
        """Start the workflow of the group; return what was started, all or nothing."""
        async with self._turns:
            try:
                await self._starter.start(*group)
            except UnreachableError as error:
                first = {"run": group[0].run_id}
                _LOG.warning("start of %d postponed: %s", len(group), error, extra=first)
                return ()
        return group

    async def cancel(self) -> None:
        """Cancel the workflows of runs whose cancellation was asked for."""
        for run_id, workflow_id in await self._runs.cancel_requests():
            if not await self._starter.cancel(run_id, workflow_id):
                stop = StopOrder(run_id, "cancelled", "cancelled on request")
                await self._recorder.record(stop)
