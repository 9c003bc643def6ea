"""The dispatcher: starts the firings of the outbox and cancels runs on request."""

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
"""From this many firings on, they share workflows; fewer get a workflow each."""
_TRY_AGAIN_AFTER: Final = 0.25
"""Seconds to wait while firings are due that could not be started."""


class Dispatcher:
    """Starts firings; several dispatchers can work on one outbox and start each firing once."""

    def __init__(
        self,
        outbox: Outbox,
        runs: RunStore,
        starter: RunStarter,
        recorder: RecordStep,
        clock: Callable[[], datetime],
        wait_for_capacity: Callable[[], Awaitable[None]],
    ) -> None:
        """`wait_for_capacity` returns once most of the started firings are admitted."""
        self._outbox = outbox
        self._runs = runs
        self._starter = starter
        self._recorder = recorder
        self._clock = clock
        self._wait_for_capacity = wait_for_capacity
        self._turns = asyncio.Semaphore(_STARTS_AT_ONCE)

    async def dispatch(self) -> float | None:
        """Start the due firings; return the seconds until the next one, or None if none waits."""
        await self.start_due()
        seconds = await self._outbox.seconds_to_next()
        return seconds or (None if seconds is None else _TRY_AGAIN_AFTER)

    async def start_due(self) -> int:
        """Start the due firings; return how many were started."""
        total = 0
        while True:
            await self._wait_for_capacity()  # so that a burst waits in Postgres, not in Temporal
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
        """Start the workflow of the group; return the started firings, all or none."""
        async with self._turns:
            try:
                await self._starter.start(*group)
            except UnreachableError as error:
                first = {"run": group[0].run_id}
                _LOG.warning(
                    "could not start %d runs, will be retried: %s", len(group), error, extra=first
                )
                return ()
        return group

    async def cancel(self) -> None:
        """Cancel the workflows of the runs whose cancellation was requested."""
        for run_id, workflow_id in await self._runs.cancel_requests():
            if not await self._starter.cancel(run_id, workflow_id):
                stop = StopOrder(run_id, "cancelled", "cancelled on request")
                await self._recorder.record(stop)
