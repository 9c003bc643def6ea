"""The steps `admit` and `look_up`: turn a firing into exactly one run, however often called.

If the context may take long, `admit` only lets the run in, and `look_up` begins it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.run_limits import OverlapPolicy
from activityctl.domain.runs.admission import (
    AdmissionInput,
    RecordedState,
    begin,
    fail,
    new_run,
    recorded_state,
    refusal_reason,
    refuse,
    seconds_left,
    skip,
)
from activityctl.domain.runs.advance import resume
from activityctl.domain.runs.lookup import LOOKING_UP, is_looked_up_apart, longest_lookup
from activityctl.domain.runs.replay import ReplayedRun, continues
from activityctl.domain.runs.run import ENDED_RUNS, Decision, Run, RunState, RunStatus
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.runs.skipping import begin_skipped, without_turn
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values.failure_kind import Tries, failure_text
from activityctl.domain.values.log import LogEntry
from activityctl.errors import ExpressionError, InvalidInputError
from activityctl.ports import (
    ContextSource,
    Gates,
    OpenResult,
    RunStore,
    SecretReader,
    Timetable,
)
from activityctl.steps.admission_entries import skipping_entry, started_entry
from activityctl.steps.asking import HELD
from activityctl.steps.attempts import RunningAttempts
from activityctl.steps.deciding import Deciding
from activityctl.steps.early_admissions import EarlyAdmissions, workflow_is_there
from activityctl.steps.give_up import GiveUp
from activityctl.steps.guarded_lookups import GuardedLookups
from activityctl.steps.held_secrets import NO_SECRETS
from activityctl.steps.log_writer import LogWriter
from activityctl.steps.orders import orders_of, with_waits
from activityctl.steps.read_ahead import ReadAhead
from activityctl.steps.record import RecordStep
from activityctl.steps.resolve import ContextLookup
from activityctl.steps.strangers import is_of_this_workflow, refuse_stranger
from activityctl.steps.tracing import Tracing
from activityctl.workflows.calls import Orders

_LOG = logging.getLogger(__name__)
_LOST_LOOKUP: Final = (
    "its context is looked up again: the first lookup was lost with its worker, or could not be "
    "recorded"
)
_TOGETHER: Final = 30.0
"""Seconds after which those that were admitted together do not wait for one another any more."""
_AT_ONCE: Final = 10
"""How many of those admitted together use connections of their own; others need some too."""
_MAX_ADMISSIONS: Final = 50
"""How many firings a worker admits at the same time before the dispatcher has to wait."""


class AdmitStep:
    """Body of `calls.admit`."""

    def __init__(  # noqa: PLR0913  # its ports
        self,
        runs: RunStore,
        timetable: Timetable,
        gates: Gates,
        sources: Mapping[str, ContextSource],
        clock: Callable[[], datetime],
        decide: Deciding | None = None,
        *,
        log: LogWriter | None = None,
        secrets: SecretReader = NO_SECRETS,
        guarded: GuardedLookups | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._runs = runs
        self._timetable = timetable
        self._gates = gates
        self._clock = clock
        self._decide = decide or Deciding()
        self._look_up_context = ContextLookup(
            sources, clock, self._decide, log, secrets, guarded=guarded
        )
        self._look_up_context.tracing = tracing or Tracing(runs, clock)
        self._log = log
        self._lookups = RunningAttempts(self._is_wanted)
        self.has_attributes: Callable[[], bool] = lambda: False
        """Returns whether Temporal has search attributes for names."""
        self._give_up = GiveUp(runs, RecordStep(runs, clock, self._decide), clock)
        self._tries = Tries()
        self.read_ahead = ReadAhead()
        self.early = EarlyAdmissions(self._admit_or_give_up, self.read_ahead.suffices)
        self._admitting = 0
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._has_capacity = asyncio.Event()
        self._has_capacity.set()

    async def wait_for_capacity(self) -> None:
        """Wait while this worker already admits as many firings as it can."""
        await self._has_capacity.wait()

    @activity.defn(name="admit")
    async def admit(self, firings: list[FiringRef]) -> list[Orders]:
        """Open the run of each firing, or find it open; return one answer for each, in order."""
        self._count(len(firings))
        try:
            return [await self._admit_asked(firing) for firing in firings]
        finally:
            self._count(-len(firings))

    @activity.defn(name="admit_many")
    async def admit_many(self, firings: list[FiringRef]) -> list[Orders | None]:
        """Do as `admit` for each; None for those to be admitted by themselves. Raise if all are."""
        self._count(len(firings))
        try:
            admitting = (self._admit_in_turn(firing) for firing in firings)
            answers = await asyncio.gather(*admitting, return_exceptions=True)
        finally:
            self._count(-len(firings))
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        if len(failures) == len(answers) and (later := [f for f in failures if not _is_final(f)]):
            raise later[0]
        return [None if isinstance(answer, BaseException) else answer for answer in answers]

    async def _admit_in_turn(self, firing: FiringRef) -> Orders:
        async with asyncio.timeout(_TOGETHER):
            if self.read_ahead.has_all(firing):
                return await self._admit_asked(firing)
            async with self._turns:
                return await self._admit_asked(firing)

    async def _admit_asked(self, firing: FiringRef) -> Orders:
        """Admit a firing whose workflow asks, unless that is done or on its way."""
        return await self.early.answer(firing) or await self._admit_or_give_up(firing)

    def _count(self, more: int) -> None:
        self._admitting += more
        if self._admitting >= _MAX_ADMISSIONS:
            self._has_capacity.clear()
        else:
            self._has_capacity.set()

    @activity.defn(name="look_up")
    async def look_up(self, firing: FiringRef) -> Orders:
        """Look up the context of a run that was let in, and begin the run.

        If a lookup of the run is still at work in this process, wait for that one instead.
        """
        run_id = firing.run_id
        is_again = activity.info().attempt > 1
        return await self._lookups.run(
            run_id, lambda: self._look_up(firing, is_again=is_again), _do_nothing
        )

    async def _look_up(self, firing: FiringRef, *, is_again: bool) -> Orders:
        is_lost = is_again and not self._look_up_context.is_held(firing.run_id)
        if is_lost and self._log is not None:
            run, now = firing.run_id, self._clock()
            entry = LogEntry(firing.subscription_id, run, _LOST_LOOKUP, "warning", now, {})
            await self._log.write(entry)
        return await self._admit_or_give_up(firing, looks_up=True)

    async def close(self) -> None:
        """End the lookups that are still at work, and admissions that nobody waits for."""
        await self._lookups.close()
        await self.early.close()

    async def _is_wanted(self, run_id: str) -> bool:
        """Return whether the run still waits for its context."""
        state = await self._runs.load(run_id)
        return state is not None and state.run.status is RunStatus.QUEUED

    async def _admit_or_give_up(self, firing: FiringRef, *, looks_up: bool = False) -> Orders:
        """Admit the firing; an error that does not go away ends its run after some tries.

        An outage of Postgres raises as often as it lasts, so that the call is repeated.
        """
        try:
            orders = await self._admit(firing, looks_up=looks_up)
        except Exception as error:  # a fault of ours must end as a failed run, not as a loop
            if isinstance(error, ApplicationError) and error.type == HELD:
                raise
            if _is_final(error) or not self._tries.is_last(firing.run_id, error):
                raise
            _LOG.exception("could not admit a firing", extra={"run": firing.run_id})
            reason = f"the run could not be admitted in several tries: {failure_text(error)}"
            await self._give_up.give_up(firing, reason)
            orders = Orders(firing.run_id, is_over=True, ended_as=RunStatus.FAILED.value)
        self._tries.forget(firing.run_id)
        return orders

    async def _admit(self, firing: FiringRef, *, looks_up: bool) -> Orders:
        if not is_of_this_workflow(firing):
            return refuse_stranger(firing)
        facts = None if looks_up else self.read_ahead.take(firing)
        must_ask = firing.is_by_clock and not looks_up and facts is None
        if must_ask and not await self._timetable.process_due(firing):
            return Orders(firing.run_id, is_over=True)
        facts = facts or await self._runs.admission_input(firing)
        if facts is None:
            raise ApplicationError(
                "the subscription does not exist in this database",
                type="unknown",
                non_retryable=True,
            )
        recorded_as = recorded_state(firing, facts.record)
        if facts.record is None or recorded_as is RecordedState.UNKNOWN:
            return refuse_stranger(firing)
        if recorded_as is RecordedState.OVER:
            status = facts.record.run_status
            ended_as = status.value if status in ENDED_RUNS else None
            return Orders(firing.run_id, is_over=True, ended_as=ended_as)
        recorded = replace(firing, due_at=facts.record.due_at.isoformat())
        has_run = recorded_as is RecordedState.HAS_RUN
        looks_up = looks_up and has_run
        orders = await self._admit_recorded(recorded, facts, has_run=has_run, looks_up=looks_up)
        if firing.subscription or looks_up:
            return orders
        names = (facts.subscription.name, facts.revision.definition)
        return replace(
            orders,
            subscription=names[0],
            definition=names[1],
            has_attributes=self.has_attributes(),
        )

    async def _admit_recorded(
        self, firing: FiringRef, facts: AdmissionInput, *, has_run: bool, looks_up: bool
    ) -> Orders:
        now = self._clock()
        run = new_run(firing, facts, now)
        has_refused = facts.record is not None and facts.record.is_skipping
        reason = None if looks_up or has_refused else refusal_reason(firing, facts)
        if reason is not None:
            refused = RunState(run, facts.spec, ())
            decided = refuse(firing, reason)
            return await self._open(firing, refused, decided, now, version=facts.version)
        try:
            entered = await self._enter(firing, run, facts.spec, has_run=has_run)
        except ExpressionError as error:
            failed, decision = await self._decide(fail, run, facts.spec, str(error), now)
            failing = RunState(failed, facts.spec, ())
            return await self._open(firing, failing, decision, now, version=facts.version)
        if entered is None:
            return Orders(firing.run_id, is_over=True)
        if entered.run.status is not RunStatus.QUEUED:
            return await self._orders_of_open_run(firing)
        now = self._clock()  # it waited for the gate, and the run before may have ended meanwhile
        is_skipping = entered.run.ending is RunStatus.SKIPPED
        is_again = is_skipping or continues(entered.run, facts.replayed)
        if is_looked_up_apart(entered.spec) and not looks_up and not is_again:
            return await self._order_lookup(firing, entered, now)
        begun, decision = await self._begin(entered, facts.replayed, now)
        state = replace(entered, run=begun)
        version = facts.version
        now = self._clock()
        return await self._open(
            firing, state, decision, now, was_looked_up=looks_up, version=version
        )

    async def _order_lookup(self, firing: FiringRef, state: RunState, now: datetime) -> Orders:
        """Record that the context is looked up, so that nobody else begins the run meanwhile."""
        spec = state.spec
        run = replace(state.run, started_at=state.run.started_at or now, reason=LOOKING_UP)
        started = started_entry(run, f"; {LOOKING_UP}")
        if (after := workflow_is_there()) is not None:
            await after
        if await self._runs.begin_lookup(firing.workflow_id, run, started) is OpenResult.TAKEN:
            return Orders(firing.run_id, is_over=True)
        return Orders(
            firing.run_id,
            is_over=False,
            deadline_seconds=seconds_left(run, spec, now),
            look_up_seconds=longest_lookup(spec).total_seconds(),
        )

    async def _enter(
        self, firing: FiringRef, run: Run, spec: DefinitionSpec, *, has_run: bool
    ) -> RunState | None:
        """Pass the gate, if the definition has one; return None when the run queues or is refused.

        A run that was queued goes on with the revision and params that it froze, and with the
        state that the runs before it stored.
        """
        has_gates = spec.concurrency.policy is not OverlapPolicy.ALLOW or spec.throttle is not None
        if not has_gates and not has_run and not is_looked_up_apart(spec):
            return RunState(run, spec, ())
        result = await self._gates.enter(run, spec, firing.workflow_id)
        if result.outcome != "let_in" and not result.runs_tasks:
            return None
        state = await self._runs.load(run.id)
        if state is None:
            raise ApplicationError("the run disappeared while it entered the gate", type="race")
        return replace(state, run=replace(state.run, state=run.state))

    async def _begin(
        self, state: RunState, replayed: ReplayedRun | None, now: datetime
    ) -> tuple[Run, Decision]:
        if state.run.ending is RunStatus.SKIPPED:
            return await self._decide(begin_skipped, state.run, state.spec, state.run.reason, now)
        run = replace(state.run, started_at=state.run.started_at or now, reason=None)
        if continues(run, replayed):  # with the context that it saw
            return await self._decide(begin, run, state.spec, now, replayed)
        try:
            run = await self._look_up_context(run, state.spec)
        except InvalidInputError as error:
            return await self._decide(fail, run, state.spec, str(error), self._clock())
        begun, decision = await self._decide(begin, run, state.spec, self._clock(), replayed)
        if begun.status is not RunStatus.QUEUED or decision.end is None or not state.spec.on_skip:
            return begun, decision
        return await self._skip(begun, state.spec, decision.end.reason)

    async def _skip(
        self, run: Run, spec: DefinitionSpec, reason: str | None
    ) -> tuple[Run, Decision]:
        """Skip a run by its rules; begin its onSkip tasks if it has a turn."""
        if not await self._gates.take_skip_turn(run.subscription_id):
            return run, skip(without_turn(reason))
        return await self._decide(begin_skipped, run, spec, reason, self._clock())

    async def _open(
        self,
        firing: FiringRef,
        state: RunState,
        decision: Decision,
        now: datetime,
        *,
        was_looked_up: bool = False,
        version: str | None = None,
    ) -> Orders:
        run = state.run
        entries: tuple[LogEntry, ...] = ()
        if run.ending is RunStatus.SKIPPED:
            entries = (skipping_entry(run, now),)
        elif run.status is RunStatus.RUNNING and not was_looked_up:
            entries = (started_entry(run),)
        change = run_change(run, decision, now, entries=entries)
        after = workflow_is_there()
        match await self._runs.open(firing.workflow_id, change, version, after=after):
            case OpenResult.OPENED:
                orders = with_waits(
                    orders_of(change.run, state.spec, decision), state.tasks, decision, now
                )
                return _with_deadline(orders, state.spec)
            case OpenResult.OURS:
                return await self._orders_of_open_run(firing)
            case OpenResult.TAKEN:
                return Orders(firing.run_id, is_over=True)
            case OpenResult.CHANGED:
                return await self._admit(firing, looks_up=False)
            case other:
                assert_never(other)

    async def _orders_of_open_run(self, firing: FiringRef) -> Orders:
        """Return the orders of a run that an earlier call has opened."""
        state = await self._runs.load(firing.run_id)
        if state is None:
            raise ApplicationError("the run disappeared while it was opened", type="race")
        now = self._clock()
        decision = await self._decide(resume, state, now)
        orders = with_waits(orders_of(state.run, state.spec, decision), state.tasks, decision, now)
        return replace(
            orders,
            # An answer may have come that no workflow has settled.
            settle_in_seconds=0.0 if orders.has_waiting else None,
            deadline_seconds=seconds_left(state.run, state.spec, now),
            is_cancelling=state.run.status is RunStatus.CANCELLING and not orders.is_over,
            lifts_deadline=state.run.status is RunStatus.RUNNING and state.run.ending is not None,
        )


def _is_final(error: BaseException) -> bool:
    return isinstance(error, ApplicationError) and error.non_retryable


async def _do_nothing() -> None:
    """Say nothing of a lookup that Temporal took for lost and that this process goes on with."""


def _with_deadline(orders: Orders, spec: DefinitionSpec) -> Orders:
    return replace(orders, deadline_seconds=spec.timeout.total_seconds())
