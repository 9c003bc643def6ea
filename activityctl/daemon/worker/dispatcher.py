"""The dispatcher: starts the firings of the outbox and cancels runs on request."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.runs.admission import AdmissionInput
from activityctl.domain.runs.stopping import STOPS_WITHIN
from activityctl.domain.runs.workflow_batches import split_into_batches
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids
from activityctl.domain.values.back_off import BackOff
from activityctl.domain.values.failure_kind import is_outage
from activityctl.errors import ActivityctlError, RefusedError, UnreachableError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Claim, Outbox, PostponedFiring, RunStarter, RunStore
from activityctl.steps.early_admissions import only_start
from activityctl.steps.give_up import GiveUp
from activityctl.steps.read_ahead import read_inputs
from activityctl.steps.record import RecordStep
from activityctl.workflows.calls import StopOrder
from activityctl.workflows.carrier import CANCELLED

_LOG = logging.getLogger(__name__)
_CLAIM: Final = 100
_STARTS_AT_ONCE: Final = 32
_BURST: Final = 5
"""From this many firings on, they share workflows; fewer get a workflow each."""
_TRY_AGAIN_AFTER: Final = 0.25
"""Seconds to wait while firings are due that another dispatcher has claimed."""
_BACK_OFF: Final = BackOff(timedelta(seconds=1), timedelta(minutes=5))
"""When a firing is tried again that failed while others did not."""


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
        *,
        is_stuck: Callable[[str], bool] = lambda _: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wait_for_capacity` returns once this worker has done most of what was started.

        `is_stuck` tells by its id whether the code of a workflow cannot go on.
        """
        self.read_ahead: Callable[[Mapping[ids.RunId, AdmissionInput]], None] = lambda _: None
        """Gets what the claims have read for the admissions."""
        self.starting: Callable[[Sequence[FiringRef], Awaitable[None]], Awaitable[None]] = (
            only_start
        )
        """Waits for the start of a workflow, and may do something about its firings meanwhile."""
        self._is_stuck = is_stuck
        self._outbox = outbox
        self._runs = runs
        self._starter = starter
        self._recorder = recorder
        self._clock = clock
        self._give_up = GiveUp(runs, recorder, clock)
        self._wait_for_capacity = wait_for_capacity
        self._monotonic = monotonic
        self._orphaned: dict[str, float] = {}
        """Since when runs that are to be cancelled have been seen without a workflow."""
        self._turns = asyncio.Semaphore(_STARTS_AT_ONCE)

    async def dispatch(self) -> float | None:
        """Start the due firings; return the seconds until the next one, or None if none waits.

        UnreachableError while Temporal does not answer at all.
        """
        await self.start_due()
        seconds = await self._outbox.seconds_to_next()
        return seconds or (None if seconds is None else _TRY_AGAIN_AFTER)

    async def start_due(self) -> int:
        """Start the due firings; return how many were started.

        A firing that Temporal refuses for good ends as a failed run. One that fails otherwise is
        tried again later and later, so that it keeps no others waiting.
        """
        total = 0
        while True:
            await self._wait_for_capacity()  # so that a burst waits in Postgres, not in Temporal
            async with self._outbox.claimed(_CLAIM) as claim:
                await self._hand_over(claim)
                groups = await self._in_batches(claim)
                results = await asyncio.gather(*(self._start(group) for group in groups))
                done = _Results.together(results)
                is_outage = await self._settle(claim, done)
            total += len(done.started)
            if is_outage:
                raise UnreachableError(done.failed[0][1])
            if len(claim.firings) < _CLAIM:
                return total

    async def _hand_over(self, claim: Claim) -> None:
        """Give this worker what was read for the admissions, with the specs, which it knows."""
        self.read_ahead(await read_inputs(self._runs, claim.firings, claim.facts))

    async def _settle(self, claim: Claim, done: "_Results") -> bool:
        """Write what became of the firings; return whether Temporal does not answer at all.

        In an outage the firings stay as they are, to start as soon as Temporal is back.
        """
        now = self._clock()
        if done.started:
            await claim.dispatched(done.started, now)
        for firing, reason in done.refused:
            try:
                await self._give_up.give_up(firing, reason)
            except Exception as error:  # any fault of one firing; the others are settled
                if is_outage(error):
                    raise
                _LOG.exception("could not record a failed run", extra={"run": firing.run_id})
                done.failed.append((firing, f"{reason}; {type(error).__name__}"))
            else:
                await claim.settled(firing, now)
        if not done.failed:
            return False
        if not done.started and not done.refused and not await self._starter.is_reachable():
            return True
        await claim.postponed([self._postponed(claim, *failure) for failure in done.failed], now)
        return False

    def _postponed(self, claim: Claim, firing: FiringRef, error: str) -> PostponedFiring:
        failures = claim.attempts.get(firing.run_id, 0) + 1
        pause = _BACK_OFF.pause(failures, random.random())  # noqa: S311  # no secret
        seconds = pause.total_seconds()
        _LOG.warning(
            "could not start a run, try %d is in %.1f s: %s",
            failures + 1,
            seconds,
            error,
            extra={"run": firing.run_id},
        )
        return PostponedFiring(firing, pause, error)

    async def _in_batches(self, claim: Claim) -> list[tuple[FiringRef, ...]]:
        """Return the firings in groups that share a workflow; those that failed are alone."""
        claimed = [_named(firing, claim) for firing in claim.firings]
        alone = [(firing,) for firing in claimed if firing.run_id in claim.attempts]
        firings = [firing for firing in claimed if firing.run_id not in claim.attempts]
        if len(firings) < _BURST:
            return [*alone, *((firing,) for firing in firings)]
        revisions = claim.revisions
        known = await self._runs.specs_of(set(revisions.values()))
        specs = {run: known[revision] for run, revision in revisions.items() if revision in known}
        return [*alone, *split_into_batches(firings, specs)]

    async def _start(self, group: tuple[FiringRef, ...]) -> "_Results":
        """Start the workflow of the group; if it is refused, start each firing by itself."""
        async with self._turns:
            try:
                await self.starting(group, self._starter.start(*group))
            except RefusedError as error:
                if len(group) == 1:
                    return _Results(refused=[(group[0], error.message)])
            except ActivityctlError as error:
                return _Results(failed=[(firing, error.message) for firing in group])
            except Exception as error:  # noqa: BLE001  # logged, and counted as a failure
                _LOG.exception("could not start runs", extra={"run": group[0].run_id})
                reason = f"{type(error).__name__}: {error}"
                return _Results(failed=[(firing, reason) for firing in group])
            else:
                return _Results(started=list(group))
        return _Results.together([await self._start((firing,)) for firing in group])

    async def cancel(self) -> None:
        """Cancel the workflows of the runs whose cancellation was requested, each in its turn.

        Raises after all were tried, if one could not be cancelled.
        """
        failure: Exception | None = None
        requests = await self._runs.cancel_requests()
        open_ids = {run_id for run_id, _ in requests}
        self._orphaned = {
            run_id: since for run_id, since in self._orphaned.items() if run_id in open_ids
        }
        for run_id, workflow_id in requests:
            try:
                await self._cancel(run_id, workflow_id)
            except Exception as error:  # noqa: BLE001  # raised below; the others have their turn
                failure = failure or error
                if not isinstance(error, ActivityctlError):
                    _LOG.exception("could not cancel a run", extra={"run": run_id})
        if failure is not None:
            raise failure

    async def _cancel(self, run_id: str, workflow_id: str) -> None:
        try:
            if self._is_stuck(workflow_id):
                await self._end_stuck(run_id, workflow_id)
                is_open = False
            else:
                is_open = await self._starter.cancel(run_id, workflow_id)
        except RefusedError as error:  # no workflow can have such an id
            _LOG.warning("%s", error, extra={"run": run_id})
            is_open = False
        if not is_open:
            await self._cancel_orphan(run_id)

    async def _cancel_orphan(self, run_id: str) -> None:
        """Cancel a run without a workflow; its tasks may still be at work in some worker.

        Such a worker notices that they are not wanted any more. If none does, the run ends after
        some time.
        """
        since = self._orphaned.setdefault(run_id, self._monotonic())
        waits = self._monotonic() - since < STOPS_WITHIN.total_seconds()
        await self._recorder.record(StopOrder(run_id, "cancelled", CANCELLED, waits=waits))

    async def _end_stuck(self, run_id: str, workflow_id: str) -> None:
        """End the workflow of a stuck run: its code could never follow a signal.

        A workflow that several runs share stays, because the others may go on in another version.
        """
        _LOG.warning("a stuck run is cancelled without its workflow", extra={"run": run_id})
        if not ids.is_batch(workflow_id):
            await self._starter.terminate(workflow_id, "its stuck run was cancelled on request")


def _named(firing: FiringRef, claim: Claim) -> FiringRef:
    """Return the firing with the names that Temporal's page shows, if the claim has read them."""
    facts = claim.facts.get(firing.run_id)
    if facts is None:
        return firing
    names = (facts.subscription.name, facts.revision.definition)
    return replace(firing, subscription=names[0], definition=names[1])


@frozen_dataclass
class _Results:
    """What became of firings; refused and failed ones with the reason."""

    started: list[FiringRef] = field(default_factory=list)
    refused: list[tuple[FiringRef, str]] = field(default_factory=list)
    failed: list[tuple[FiringRef, str]] = field(default_factory=list)

    @classmethod
    def together(cls, results: Sequence["_Results"]) -> "_Results":
        """Return the results as one."""
        return cls(
            [firing for result in results for firing in result.started],
            [refusal for result in results for refusal in result.refused],
            [failure for result in results for failure in result.failed],
        )
