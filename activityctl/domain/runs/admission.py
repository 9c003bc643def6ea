"""Admission: decides whether a firing becomes a run, and what the run starts with."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto

from activityctl.domain.cel.expression import evaluate_condition
from activityctl.domain.manifests.definition import DefinitionSpec, Revision
from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs import auto_pause
from activityctl.domain.runs.advance import advance
from activityctl.domain.runs.replay import ReplayedRun, as_replay, continues, kept_tasks
from activityctl.domain.runs.run import ENDED_RUNS, Decision, Run, RunEnd, RunState, RunStatus
from activityctl.domain.runs.scope import run_scope
from activityctl.domain.timing.firing import FiringRef, firing_key
from activityctl.domain.values.ids import REPLAY_OF_PREFIX, REPLAY_PREFIX, RETRY_PREFIX
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class FiringRecord:
    """What Postgres has recorded of a firing. What a workflow says of it is not trusted."""

    due_at: datetime
    may_start: bool
    """Whether its time to start has come; False while a backfill holds it."""
    run_status: RunStatus | None = None
    """The status of its run; None if it has none yet."""
    is_let_in: bool = False
    """Whether its run, if it was queued, has been let in."""
    is_skipping: bool = False
    """Whether its run was skipped and has its onSkip tasks to run."""


class RecordedState(Enum):
    """Whether a firing may go on, by its record."""

    MAY_START = auto()
    HAS_RUN = auto()
    OVER = auto()
    """Its run has ended, or waits in the queue until a slot is free."""
    UNKNOWN = auto()
    """Postgres has not recorded that it may start: somebody else started the workflow."""


@frozen_dataclass
class AdmissionInput:
    """The data that admission needs to decide on a firing."""

    subscription: Subscription
    """As it is now: its status and state."""
    revision: Revision
    """The revision of the firing; the current one for a firing that was stored without it."""
    spec: DefinitionSpec
    params: Mapping[str, JsonValue]
    """The params of the firing, from the same apply as its revision."""
    payload: Mapping[str, JsonValue]
    events: tuple[Mapping[str, JsonValue], ...] = ()
    priority: int = 0
    record: FiringRecord | None = None
    version: str | None = None
    """The version of the subscription's row, if it was read a while before the admission."""
    replayed: ReplayedRun | None = None
    """The run that is retried or replayed; None for the first run of a firing."""


@frozen_dataclass
class ClaimedFacts:
    """What was read with the claim of a firing: the input of its admission, without the spec."""

    subscription: Subscription
    revision: Revision
    """Without its spec."""
    params: Mapping[str, JsonValue]
    payload: Mapping[str, JsonValue]
    events: tuple[Mapping[str, JsonValue], ...]
    priority: int
    due_at: datetime
    version: str

    def admission_input(self, spec: DefinitionSpec) -> AdmissionInput:
        """Return the input of the admission of a firing that has just been claimed."""
        record = FiringRecord(self.due_at, may_start=True)
        return AdmissionInput(
            self.subscription,
            self.revision,
            spec,
            self.params,
            self.payload,
            self.events,
            self.priority,
            record,
            self.version,
        )


def recorded_state(firing: FiringRef, record: FiringRecord | None) -> RecordedState:
    """Return whether a firing may go on.

    Everybody who reaches Temporal can start a workflow with any firing, so only the record counts.
    """
    if record is None or firing_key(record.due_at) != firing_key(firing.due):
        return RecordedState.UNKNOWN
    match record.run_status:
        case None:
            return RecordedState.MAY_START if record.may_start else RecordedState.UNKNOWN
        case RunStatus.QUEUED if not record.is_let_in:
            return RecordedState.OVER
        case status:
            return RecordedState.OVER if status in ENDED_RUNS else RecordedState.HAS_RUN


def new_run(firing: FiringRef, facts: AdmissionInput, now: datetime) -> Run:
    """Return the queued run of a firing, with revision, params and state frozen.

    The run has not passed the gate yet.
    """
    subscription = facts.subscription
    run = Run(
        id=firing.run_id,
        subscription_id=subscription.id,
        subscription=subscription.name,
        definition=facts.revision.definition,
        revision_id=facts.revision.id,
        trigger=firing.trigger,
        firing_key=firing.firing_key,
        due_at=firing.due,
        status=RunStatus.QUEUED,
        created_at=now,
        params=fill_defaults(facts.spec.params, facts.params),
        state=subscription.state,
        payload=facts.payload,
        events=facts.events,
        priority=facts.priority,
        failures_before=subscription.failures,
        owner_is_active=subscription.status is SubscriptionStatus.ACTIVE,
    )
    return run if facts.replayed is None else as_replay(run, facts.spec, facts.replayed)


def seconds_left(run: Run, spec: DefinitionSpec, now: datetime) -> float:
    """Return how much of its timeout an open run still has; never negative."""
    began = run.started_at or run.created_at
    return max((spec.timeout - max(now - began, timedelta())).total_seconds(), 0.0)


def refusal_reason(firing: FiringRef, facts: AdmissionInput) -> str | None:
    """Return why no run may begin now; None when one may. It is asked before context is loaded.

    While a subscription is paused, firings of its schedules and of new events do not start.
    A person can still start a run by hand, replay events and runs, and retry dead letters.
    """
    again = (REPLAY_PREFIX, RETRY_PREFIX, REPLAY_OF_PREFIX)
    by_person = firing.firing_key.startswith(again)
    by_event = bool(facts.events) and not by_person
    match facts.subscription.status:
        case SubscriptionStatus.DELETED:
            return "the subscription was deleted"
        case SubscriptionStatus.PAUSED if firing.is_by_clock or by_event:
            return "the subscription is paused"
        case SubscriptionStatus.PAUSED | SubscriptionStatus.ACTIVE:
            return None


def skip(reason: str) -> Decision:
    """Return the decision that the run is skipped, with that reason."""
    return Decision(end=RunEnd(RunStatus.SKIPPED, reason))


def refuse(firing: FiringRef, reason: str) -> Decision:
    """Return the decision on a firing that may not begin.

    A firing of a schedule is missed, so that a backfill can run it later. A firing that a person
    or an event asked for is skipped.
    """
    status = RunStatus.MISSED if firing.is_by_clock else RunStatus.SKIPPED
    return Decision(end=RunEnd(status, reason))


def begin(
    run: Run, spec: DefinitionSpec, now: datetime, replayed: ReplayedRun | None = None
) -> tuple[Run, Decision]:
    """Evaluate the rules in order and start the run; the first rule that is false skips it.

    A rule that cannot be evaluated fails the run. A run that is skipped has not started, though
    its context may have been looked up. A replay that continues a run has passed the rules.
    """
    if continues(run, replayed):
        return _start(run, spec, now, replayed)
    scope = run_scope(run, now)
    for index, rule in enumerate(spec.rules):
        try:
            holds = evaluate_condition(rule.when, scope)
        except ExpressionError as error:
            return fail(run, spec, f"rules[{index}]: {error}", now)
        if not holds:
            reason = rule.otherwise or f"rule does not hold: {rule.when}"
            return replace(run, started_at=None), skip(reason)
    return _start(run, spec, now, replayed)


def _start(
    run: Run, spec: DefinitionSpec, now: datetime, replayed: ReplayedRun | None
) -> tuple[Run, Decision]:
    started = replace(run, status=RunStatus.RUNNING, started_at=run.started_at or now)
    kept = () if replayed is None else kept_tasks(started, spec, replayed, now)
    decision = advance(RunState(started, spec, kept), now)
    return started, replace(decision, create=(*kept, *decision.create))


def fail(run: Run, spec: DefinitionSpec, reason: str, now: datetime) -> tuple[Run, Decision]:
    """Fail the run before its first task; its onFailure tasks still run."""
    started = replace(run, status=RunStatus.RUNNING, started_at=run.started_at or now)
    pauses = auto_pause.would_pause(started, spec)
    failing = replace(started, ending=RunStatus.FAILED, reason=reason, pauses=pauses)
    return started, advance(RunState(failing, spec, ()), now)
