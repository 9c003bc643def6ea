"""The dispatcher: starts the firings of the outbox and carries out wishes to cancel."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from activityctl.domain.firing_ref import FiringRef
from activityctl.errors import UnreachableError
from activityctl.ports import Outbox, RunStarter, RunStore
from activityctl.steps.record import RecordStep
from activityctl.workflows.calls import StopOrder

_LOG = logging.getLogger(__name__)
_CLAIM: Final = 100
_STARTS_AT_ONCE: Final = 32
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
    ) -> None:
        self._outbox = outbox
        self._runs = runs
        self._starter = starter
        self._recorder = recorder
        self._clock = clock
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
            async with self._outbox.claimed(_CLAIM) as claim:
                results = await asyncio.gather(*(self._start(one) for one in claim.firings))
                started = [firing for firing in results if firing is not None]
                if started:
                    await claim.dispatched(started, self._clock())
            total += len(started)
            if len(claim.firings) < _CLAIM or not started:
                return total

    async def _start(self, firing: FiringRef) -> FiringRef | None:
        async with self._turns:
            try:
                await self._starter.start(firing)
            except UnreachableError as error:
                _LOG.warning("start postponed: %s", error, extra={"run": firing.run_id})
                return None
        return firing

    async def cancel(self) -> None:
        """Cancel the workflows of runs whose cancellation was asked for."""
        for run_id, workflow_id in await self._runs.cancel_requests():
            if not await self._starter.cancel(workflow_id):
                stop = StopOrder(run_id, "cancelled", "cancelled on request")
                await self._recorder.record(stop)
