"""The step `ring`: decides what is due of all triggers that share an alarm."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from temporalio import activity

from activityctl.domain.runs.admission import AdmissionInput
from activityctl.domain.runs.workflow_batches import BATCH, may_share
from activityctl.domain.timing.firing import FiringRef, Ringing
from activityctl.domain.values.ids import RunId
from activityctl.ports import RunStore, ServedSchedule, Timetable
from activityctl.steps.read_ahead import read_inputs
from activityctl.workflows.calls import Rung

_SECONDS_PER_CALL: Final = 5.0
"""So long a call goes on; the workflow then asks again, which shows Temporal that it works."""


class RingStep:
    """Body of `calls.ring`. A repeated call goes on where a lost one ended."""

    def __init__(
        self,
        timetable: Timetable,
        runs: RunStore,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timetable = timetable
        self._runs = runs
        self._monotonic = monotonic
        self.has_attributes: Callable[[], bool] = lambda: False
        """Whether Temporal has the search attributes of runs."""
        self.read_ahead: Callable[[Mapping[RunId, AdmissionInput]], None] = lambda _: None
        """Gets what was read for the admissions."""
        self.admit_early: Callable[[Sequence[FiringRef]], object] = lambda _: None
        """Gets the firings that the workflow admits next."""

    @activity.defn(name="ring")
    async def ring(self, ringing: Ringing) -> Rung:
        """Decide what is due, some hundred schedules at a time."""
        carries = await self._carried(ringing)
        workflow_id = activity.info().workflow_id or ""  # a step always has one
        until = self._monotonic() + _SECONDS_PER_CALL
        found: dict[RunId, FiringRef] = {}
        is_complete, due_until = False, None
        while not is_complete and (self._monotonic() < until or found):
            result = await self._timetable.ring(ringing, carries, workflow_id, due_until)
            due_until = result.until
            found |= {firing.run_id: firing for firing in result.firings}
            self.read_ahead(await read_inputs(self._runs, result.firings, result.facts))
            is_complete = result.is_complete
        firings = list(found.values())
        started = {(firing.subscription_id, firing.trigger) for firing in firings}
        missing = [each for each in carries if (each.subscription_id, each.trigger) not in started]
        if is_complete and missing:
            firings += await self._timetable.claim(ringing, missing, workflow_id)
        self.admit_early(firings)
        return Rung(is_complete, firings, has_attributes=self.has_attributes())

    async def _carried(self, ringing: Ringing) -> Sequence[ServedSchedule]:
        """Return the schedules of the alarm whose runs its workflow carries: all, or none.

        They are few and have short runs. For others the dispatcher starts workflows.
        """
        served = await self._timetable.served(ringing.alarm_id, BATCH + 1)
        if not served or len(served) > BATCH:
            return ()
        specs = await self._runs.specs_of({each.revision_id for each in served})
        can_all = all(
            each.revision_id in specs and may_share(specs[each.revision_id]) for each in served
        )
        return served if can_all else ()
