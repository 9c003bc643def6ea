"""The `admit` step: a firing becomes a run, exactly one, whoever asks and how often."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activityctl.domain.admission import FiringFacts, begin, fail, new_run, refusal, skip
from activityctl.domain.advance import advance
from activityctl.domain.firing_ref import FiringRef
from activityctl.domain.record import entry, record
from activityctl.domain.run import Decision, Run, RunStatus
from activityctl.errors import InvalidInputError
from activityctl.ports import ContextSource, RunStore
from activityctl.steps.orders import orders_of
from activityctl.steps.resolve import resolve_context
from activityctl.workflows.calls import Orders


class AdmitStep:
    """Body of `calls.admit`."""

    def __init__(
        self,
        runs: RunStore,
        sources: Mapping[str, ContextSource],
        clock: Callable[[], datetime],
    ) -> None:
        self._runs = runs
        self._sources = sources
        self._clock = clock

    @activity.defn(name="admit")
    async def admit(self, firings: list[FiringRef]) -> list[Orders]:
        """Open the run of each firing, or find it open; one answer for each, in order."""
        return [await self._admit(firing) for firing in firings]

    async def _admit(self, firing: FiringRef) -> Orders:
        facts = await self._runs.facts(firing)
        if facts is None:
            raise ApplicationError(
                "no such subscription in this database", type="unknown", non_retryable=True
            )
        now = self._clock()
        run, decision = await self._decide(firing, facts, now)
        started = entry(run, "info", f"run started by {run.trigger}", now, firingKey=run.firing_key)
        entries = (started,) if run.status is RunStatus.RUNNING else ()
        change = record(run, decision, now, entries=entries)
        if await self._runs.open(firing.workflow_id, change):
            orders = orders_of(change.run, facts.spec, decision)
        else:
            orders = await self._found(firing)
        return replace(orders, deadline_seconds=facts.spec.timeout.total_seconds())

    async def _decide(
        self, firing: FiringRef, facts: FiringFacts, now: datetime
    ) -> tuple[Run, Decision]:
        run = new_run(firing, facts, now)
        if (reason := refusal(facts)) is not None:
            return run, skip(reason)
        try:
            run = await resolve_context(run, facts.spec, self._sources, now)
        except InvalidInputError as error:
            return fail(run, facts.spec, str(error), now)
        return begin(run, facts.spec, now)

    async def _found(self, firing: FiringRef) -> Orders:
        """Answer for a run that an earlier call has opened."""
        state = await self._runs.load(firing.run_id)
        if state is None:
            raise ApplicationError("the run vanished while it was opened", type="race")
        return orders_of(state.run, state.spec, advance(state, self._clock()))
