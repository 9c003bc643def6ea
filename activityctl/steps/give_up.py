"""Ends a run that can never start, as failed with the reason."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.run import Decision, Run, RunEnd, RunStatus
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids
from activityctl.domain.values.failure_kind import is_outage
from activityctl.ports import OpenResult, RunStore
from activityctl.steps.record import RecordStep
from activityctl.workflows.calls import StopOrder

_LOG = logging.getLogger(__name__)


class GiveUp:
    """What the dispatcher, the queue releaser and `admit` do when another try is useless."""

    def __init__(self, runs: RunStore, recorder: RecordStep, clock: Callable[[], datetime]) -> None:
        self._runs = runs
        self._recorder = recorder
        self._clock = clock

    async def give_up(self, firing: FiringRef, reason: str) -> None:
        """Record the run of the firing as failed; a run that has ended stays as it is.

        A key that is too long for a run is shortened. An outage raises.
        """
        facts = await self._runs.admission_input(firing)
        fields = {"run": firing.run_id, "subscription": firing.subscription_id}
        _LOG.error("the run cannot start and ends as failed: %s", reason, extra=fields)
        if facts is None or facts.record is None:  # a stranger started the workflow
            return
        now = self._clock()
        bounded = replace(firing, firing_key=ids.bounded_key(firing.firing_key))
        run = replace(new_run(bounded, facts, now), id=firing.run_id)
        try:
            await self._fail(firing, run, reason)
        except Exception as error:  # then the run is recorded without its data
            if is_outage(error):
                raise
            _LOG.exception("the run is recorded without its data", extra=fields)
            bare = replace(run, payload={}, events=(), params={}, state={})
            await self._fail(firing, bare, reason)

    async def _fail(self, firing: FiringRef, run: Run, reason: str) -> None:
        now = self._clock()
        begun = replace(run, status=RunStatus.RUNNING, started_at=now)
        change = run_change(begun, Decision(end=RunEnd(RunStatus.FAILED, reason)), now)
        if await self._runs.open(firing.workflow_id, change) is not OpenResult.OPENED:
            stop = StopOrder(firing.run_id, RunStatus.FAILED.value, reason)
            await self._recorder.record(stop)
