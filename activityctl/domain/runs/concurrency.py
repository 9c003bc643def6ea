"""The gate (concurrency and throttle): decides whether a run is let in, queued or skipped.

The settings of a definition are in `manifests/run_limits.py`. Adapters read which runs hold slots.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from activityctl.domain.cel import expression
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.run_limits import Concurrency, Excess, OverlapPolicy, Throttle
from activityctl.domain.runs.run import Decision, Run, RunEnd, RunStatus
from activityctl.domain.runs.run_change import RunChange, log_entry, run_change
from activityctl.domain.runs.scope import run_scope
from activityctl.domain.runs.skipping import to_be_skipped, without_turn
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.ids import RunId
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.moment import format_moment
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass

QUEUE_COUNTED: Final = 100
"""A message counts at most this many queued runs; the queue itself may be longer."""
DELETED: Final = "the subscription was deleted"
"""The reason of a run that was queued when its subscription was deleted."""
_SHOWN_KEY: Final = 40
_SHOWN_RUNS: Final = 3
_QUEUES: Final = frozenset({OverlapPolicy.QUEUE, OverlapPolicy.REPLACE})


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """When the firing of a run arrived, which is the place of the run in a queue."""

    at: datetime
    place: int = 0
    """The place of the firing in the outbox; 0 for a run without a firing."""


@frozen_dataclass
class Occupancy:
    """The other runs that decide whether a run may start."""

    slots_taken: tuple[RunId, ...] = ()
    """Runs of its concurrency key that are running or let in, oldest first."""
    queued_before: tuple[RunId, ...] = ()
    """Queued runs of its concurrency key that come before it, oldest first. With `replace` all
    that arrived before it; else the first QUEUE_COUNTED that are let in before it, which are those
    of a higher priority, and those of the same priority that arrived before it."""
    started: tuple[datetime, ...] = ()
    """When runs of its throttle key were let in, oldest first; at least the newest `limit`."""
    is_throttle_queued: bool = False
    """Whether queued runs of its throttle key come before it."""
    priority: int = 0
    """Its priority in the queue. This is its own, or the lowest among the queued runs of its
    trigger, since it must not overtake them. 0 with `replace`, which keeps the newest runs."""
    newer: tuple[RunId, ...] = ()
    """With `replace`: open runs of its concurrency key that arrived after it, oldest first."""
    is_earlier_on_its_way: bool = False
    """Whether an earlier firing of a strict queue is being admitted (`is_strict`)."""


@frozen_dataclass
class GateResult:
    """What the gate decided: let in, queued or skipped, and which runs are cancelled for it."""

    outcome: Literal["let_in", "queued", "skipped"]
    reason: str | None = None
    replaces: tuple[RunId, ...] = ()
    """Runs to cancel, oldest first; queued ones end at once."""
    runs_tasks: bool = False
    """Whether the skipped run has its onSkip tasks to run before it ends."""


@frozen_dataclass
class QueuedRun:
    """A queued run, with the spec of the revision that it froze."""

    id: RunId
    concurrency_key: str | None
    throttle_key: str | None
    spec: DefinitionSpec
    is_retry: bool = False
    """Whether a person asked for it with `dlq retry`: then it waits where others are skipped."""


def gate_keys(run: Run, spec: DefinitionSpec, now: datetime) -> tuple[str | None, str | None]:
    """Return the rendered concurrency key and throttle key of a run.

    A key is None when the definition has no such limit, and "" when the limit has no key.
    `cel.expression.render_key` has the rule for its text.
    Raises ExpressionError, whose message names the key.
    """
    concurrency, throttle = spec.concurrency, spec.throttle
    is_free = concurrency.policy is OverlapPolicy.ALLOW
    return (
        None if is_free else _named_key("concurrency.key", concurrency.key, run, now),
        None if throttle is None else _named_key("throttle.key", throttle.key, run, now),
    )


def _named_key(name: str, template: str | None, run: Run, now: datetime) -> str:
    try:
        return render_key(template, run, now)
    except ExpressionError as error:
        raise type(error)(f"{name}: {error.message}", hint=error.hint) from error


def render_key(template: str | None, run: Run, now: datetime) -> str:
    """Return a gate's key as it is stored; "" without a template. Raises ExpressionError."""
    return "" if template is None else expression.render_key(template, run_scope(run, now))


def decide_gate(spec: DefinitionSpec, occupancy: Occupancy, run: Run, now: datetime) -> GateResult:
    """Decide on a run that arrives now; its keys are set.

    The run waits for every queued run that comes before it. With `replace` the newest `limit`
    runs stay, by their arrival. Every older one is cancelled, running or queued; so this one is
    skipped if that many newer ones were faster.
    """
    newer = occupancy.newer
    if newer and len(newer) >= spec.concurrency.limit:
        verb = "replaces" if len(newer) == 1 else "replace"
        text = _policy_text(spec.concurrency, run.concurrency_key)
        return GateResult("skipped", f"{_runs_text(newer)} arrived later and {verb} it ({text})")
    return _decide(
        spec,
        occupancy,
        run.concurrency_key,
        run.throttle_key,
        now,
        waits=run.replay_of is not None,
    )


def _decide(
    spec: DefinitionSpec,
    occupancy: Occupancy,
    concurrency_key: str | None,
    throttle_key: str | None,
    now: datetime,
    *,
    waits: bool,
) -> GateResult:
    """Decide by the policies; a run that `waits` is queued where they would skip it."""
    concurrency, throttle = spec.concurrency, spec.throttle
    taken = occupancy.slots_taken
    is_full = has_no_free_slot(concurrency, taken)
    if is_full and concurrency.policy is OverlapPolicy.SKIP and not waits:
        return GateResult("skipped", _skipped_reason(taken, concurrency, concurrency_key))
    opens_at = throttle_opens_at(throttle, occupancy.started, now)
    has_excess_queue = throttle is not None and (waits or throttle.excess is Excess.QUEUE)
    if throttle is not None and opens_at is not None and not has_excess_queue:
        return GateResult(
            "skipped", f"throttled: {_throttle_text(throttle, throttle_key, opens_at)}"
        )
    replaces = _replaced(concurrency, occupancy)
    queue = tuple(run_id for run_id in occupancy.queued_before if run_id not in replaces)
    if is_full or (queue and concurrency.policy in _QUEUES) or occupancy.is_earlier_on_its_way:
        reason = _queued_reason(taken, queue, concurrency, concurrency_key)
        if not taken and not queue:
            reason = "waiting for an earlier firing, which is being admitted"
        return GateResult("queued", reason, replaces)
    if throttle is not None and has_excess_queue and (opens_at or occupancy.is_throttle_queued):
        reason = f"waiting for the throttle: {_throttle_text(throttle, throttle_key, opens_at)}"
        return GateResult("queued", reason, replaces)
    return GateResult("let_in", replaces=replaces)


def has_no_free_slot(concurrency: Concurrency, taken: Sequence[RunId]) -> bool:
    """Return whether all slots of a concurrency key are taken."""
    return concurrency.policy is not OverlapPolicy.ALLOW and len(taken) >= concurrency.limit


def _replaced(concurrency: Concurrency, occupancy: Occupancy) -> tuple[RunId, ...]:
    if concurrency.policy is not OverlapPolicy.REPLACE:
        return ()
    newer = occupancy.newer
    taken = (run_id for run_id in occupancy.slots_taken if run_id not in newer)
    before = (*taken, *occupancy.queued_before)
    return before[: max(0, len(before) + len(newer) - concurrency.limit + 1)]


def is_strict(spec: DefinitionSpec) -> bool:
    """Return whether a run may not start while an earlier firing is still being admitted.

    With a key it may, because the key of that firing is not known yet.
    """
    concurrency = spec.concurrency
    return concurrency.policy is OverlapPolicy.QUEUE and concurrency.key is None


def without_held(
    chosen: Sequence[RunId], held: Collection[RunId], strict: Collection[RunId]
) -> list[RunId]:
    """Return the chosen runs, without the first held run of a strict queue and those after it."""
    first = next((number for number, run in enumerate(chosen) if run in held), len(chosen))
    return [run for number, run in enumerate(chosen) if number < first or run not in strict]


def decide_queue(
    queue: Sequence[QueuedRun],
    slots_taken: Mapping[str, Sequence[RunId]],
    started: Mapping[str, Sequence[datetime]],
    now: datetime,
    limit: int,
) -> list[tuple[RunId, GateResult]]:
    """Decide on the queued runs of one subscription whose turn has come, in the order given.

    That order is by priority, the higher first, then by age. A run whose turn has come is
    decided on as if it arrived now: it is let in, or skipped if its policy says so. Runs of one
    concurrency key stay in their order, and so do runs that only wait for the same throttle.
    `slots_taken` and `started` have the fields of Occupancy by key. At most `limit` runs are
    decided on; the others are not in the result.
    """
    taken = {key: tuple(runs) for key, runs in slots_taken.items()}
    starts = {key: tuple(moments) for key, moments in started.items()}
    blocked = _BlockedKeys(set(), set())
    decided: list[tuple[RunId, GateResult]] = []
    for run in queue:
        if len(decided) == limit:
            break
        key, throttle_key = run.concurrency_key, run.throttle_key
        occupancy = Occupancy(taken.get(key or "", ()), (), starts.get(throttle_key or "", ()))
        result = _decide_queued(run, occupancy, blocked, now)
        if result is None:
            continue
        decided.append((run.id, result))
        if result.outcome == "let_in":
            if key is not None:
                taken[key] = (*taken.get(key, ()), run.id)
            if throttle_key is not None:
                starts[throttle_key] = (*starts.get(throttle_key, ()), now)
    return decided


@frozen_dataclass
class _BlockedKeys:
    """Keys for which an earlier run keeps waiting, so that later runs have to wait too."""

    concurrency_keys: set[str | None]
    throttle_keys: set[str | None]


def _decide_queued(
    run: QueuedRun, occupancy: Occupancy, blocked: _BlockedKeys, now: datetime
) -> GateResult | None:
    """Return the decision on a queued run; None when it keeps waiting. Adds to `blocked`."""
    throttle = run.spec.throttle
    opens_at = throttle_opens_at(throttle, occupancy.started, now)
    has_queue = throttle is not None and (run.is_retry or throttle.excess is Excess.QUEUE)
    waits = has_queue and opens_at is not None
    is_blocked = (
        waits
        or run.throttle_key in blocked.throttle_keys
        or run.concurrency_key in blocked.concurrency_keys
    )
    if waits:
        blocked.throttle_keys.add(run.throttle_key)
    if not is_blocked:
        result = _decide(
            run.spec,
            occupancy,
            run.concurrency_key,
            run.throttle_key,
            now,
            waits=run.is_retry,
        )
        if result.outcome != "queued":
            return result
    if run.concurrency_key is not None and run.spec.concurrency.policy in _QUEUES:
        blocked.concurrency_keys.add(run.concurrency_key)
    return None


def throttle_opens_at(
    throttle: Throttle | None, started: Sequence[datetime], now: datetime
) -> datetime | None:
    """Return when the next run may start, given the times of earlier starts; None for now."""
    if throttle is None:
        return None
    recent = [moment for moment in started if moment > now - throttle.per]
    excess = len(recent) - throttle.limit
    return None if excess < 0 else recent[excess] + throttle.per


def repeated_gate_result(run: Run, *, is_let_in: bool, is_ours: bool) -> GateResult:
    """Return the answer when the gate is asked about a run again; `run` is its present state.

    `is_ours` says whether the workflow that asks is the one that executes the run.
    """
    if run.has_ended:
        return GateResult("skipped", run.reason)
    if not is_ours:
        return GateResult("queued", "another workflow executes the run")
    if run.status is RunStatus.QUEUED and run.ending is RunStatus.SKIPPED:
        return GateResult("skipped", run.reason, runs_tasks=True)
    return GateResult("let_in" if is_let_in or run.status is RunStatus.RUNNING else "queued")


def with_skip_turn(decided: GateResult, *, has_turn: bool) -> GateResult:
    """Return the result for a skipped run that has onSkip tasks; with a turn they run."""
    if has_turn:
        return replace(decided, runs_tasks=True)
    return replace(decided, reason=without_turn(decided.reason))


def gate_change(run: Run, decided: GateResult, now: datetime) -> RunChange:
    """Return the rows and log entries to write for a run that the gate has decided on."""
    entries = []
    if decided.outcome == "queued":
        entries.append(log_entry(run, "info", f"run queued: {decided.reason}", now))
    if decided.replaces:
        entries.append(log_entry(run, "info", f"run replaces {_runs_text(decided.replaces)}", now))
    if decided.outcome == "queued":
        # The reason has the time, because it tells how long the queue was then, not later.
        run = replace(run, reason=f"queued at {format_moment(now)}: {decided.reason}")
    if decided.runs_tasks:
        return RunChange(to_be_skipped(run, decided.reason))
    if decided.outcome != "skipped":
        return RunChange(run, entries=tuple(entries))
    return run_change(run, Decision(end=RunEnd(RunStatus.SKIPPED, decided.reason)), now)


def let_in_log_entry(
    subscription_id: str, run_id: RunId, since: datetime, now: datetime
) -> LogEntry:
    """Return the log entry for a queued run that is let in."""
    queued = max(now - since, timedelta(0)) // timedelta(seconds=1) * timedelta(seconds=1)
    message = f"run started after {format_duration(queued)} in the queue"
    return LogEntry(subscription_id, run_id, message, "info", now)


def replaced_end(run: Run) -> RunEnd:
    """Return the end of the older runs that this newer run replaces."""
    return RunEnd(RunStatus.CANCELLED, f"replaced by {_runs_text((run.id,))}")


def _runs_text(runs: Sequence[RunId]) -> str:
    names = [run[:8] for run in runs[:_SHOWN_RUNS]]
    if len(runs) > _SHOWN_RUNS:
        names[-1] = f"{len(runs) - _SHOWN_RUNS + 1} more"
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{'run' if len(runs) == 1 else 'runs'} {listed}"


def _skipped_reason(runs: Sequence[RunId], concurrency: Concurrency, key: str | None) -> str:
    verb = "is" if len(runs) == 1 else "are"
    return f"{_runs_text(runs)} {verb} still running ({_policy_text(concurrency, key)})"


def _queued_reason(
    taken: Sequence[RunId], queue: Sequence[RunId], concurrency: Concurrency, key: str | None
) -> str:
    count = len(taken) + len(queue)
    runs = count_noun(count, "run")
    at_least = "at least " if len(queue) >= QUEUE_COUNTED else ""
    return f"waiting for {at_least}{runs} ({_policy_text(concurrency, key)})"


def _policy_text(concurrency: Concurrency, key: str | None) -> str:
    policy = f"concurrency policy {concurrency.policy}, limit {concurrency.limit}"
    return policy + _key_text(key)


def _throttle_text(throttle: Throttle, key: str | None, opens_at: datetime | None) -> str:
    limit = f"at most {count_noun(throttle.limit, 'run')} in {format_duration(throttle.per)}"
    limit += _key_text(key)
    if opens_at is None:
        return limit
    whole = opens_at + timedelta(seconds=1) - timedelta(microseconds=1)  # rounded up
    return f"{limit}; the next may start at {format_moment(whole)}"


def _key_text(key: str | None) -> str:
    if not key:
        return ""
    return f", key {key if len(key) <= _SHOWN_KEY else key[: _SHOWN_KEY - 1] + '…'}"
