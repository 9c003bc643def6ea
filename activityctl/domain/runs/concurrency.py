"""Overlap and throttle: whether a run is let in, queues or is refused, given who is before it.

What a definition may say about it is in `gate`; who holds places is looked up by the adapters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from activityctl.domain.cel.expression import render
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.run_limits import Concurrency, Excess, OverlapPolicy, Throttle
from activityctl.domain.runs.advance import run_scope
from activityctl.domain.runs.run import Decision, Run, RunEnd, RunStatus
from activityctl.domain.runs.run_change import RunChange, log_entry, run_change
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.group_key import group_key
from activityctl.domain.values.ids import RunId
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.moment import format_moment
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import ExpressionError

QUEUE_COUNTED: Final = 100
"""Queued runs that a message counts; a queue may be any length."""
DELETED: Final = "the subscription was deleted"
"""Why a run ends that still queued then."""
_SHOWN_KEY: Final = 40
_SHOWN_RUNS: Final = 3
_QUEUES: Final = frozenset({OverlapPolicy.QUEUE, OverlapPolicy.REPLACE})


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Who is before a run at its gates."""

    slots_taken: tuple[RunId, ...] = ()
    """Runs of its concurrency key that are at work or let in, oldest first."""
    queued_before: tuple[RunId, ...] = ()
    """Runs of its concurrency key that queue, oldest first; all for `replace`, else the first
    QUEUE_COUNTED of those that are let in before it: of no lower priority."""
    started: tuple[datetime, ...] = ()
    """When runs of its throttle key were let in, ascending; at least the newest `limit`."""
    is_throttle_queued: bool = False
    """Whether runs of its throttle key queue."""
    priority: int = 0
    """With which it queues: its own, or the lowest of its trigger's runs that queue, which it
    does not overtake. 0 with `replace`, where the newest stay."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """What the gate decided: let in, queued or skipped, and which runs have to go for it."""

    outcome: Literal["let_in", "queued", "skipped"]
    reason: str | None = None
    replaces: tuple[RunId, ...] = ()
    """Runs to cancel, oldest first; those that queue end at once."""


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A queued run, with the revision that it froze."""

    id: RunId
    concurrency_key: str | None
    throttle_key: str | None
    spec: DefinitionSpec


def gate_keys(run: Run, spec: DefinitionSpec, now: datetime) -> tuple[str | None, str | None]:
    """Return the concurrency key and the throttle key of a run, rendered.

    None without such a gate, "" for a gate without a key. What is no string becomes its
    canonical JSON, and the end of a long key its hash. Raises ExpressionError, which names the key.
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
    """Return a gate's key as it is kept; "" without a template. Raises ExpressionError."""
    return group_key("" if template is None else render(template, run_scope(run, now)))


def decide_gate(spec: DefinitionSpec, occupancy: Occupancy, run: Run, now: datetime) -> GateResult:
    """Decide on a run, with its keys set, that arrives now.

    It queues behind every run of no lower priority that queues. With `replace` the newest
    `limit` runs stay, this one included, and every older one has to go, at work or queued.
    """
    return _decide(spec, occupancy, run.concurrency_key, run.throttle_key, now)


def _decide(
    spec: DefinitionSpec,
    occupancy: Occupancy,
    concurrency_key: str | None,
    throttle_key: str | None,
    now: datetime,
) -> GateResult:
    concurrency, throttle = spec.concurrency, spec.throttle
    taken = occupancy.slots_taken
    is_full = has_no_free_slot(concurrency, taken)
    if is_full and concurrency.policy is OverlapPolicy.SKIP:
        return GateResult("skipped", _skipped_reason(taken, concurrency, concurrency_key))
    opens_at = throttle_opens_at(throttle, occupancy.started, now)
    has_excess_queue = throttle is not None and throttle.excess is Excess.QUEUE
    if throttle is not None and opens_at is not None and not has_excess_queue:
        return GateResult(
            "skipped", f"throttled: {_throttle_text(throttle, throttle_key, opens_at)}"
        )
    replaces = _replaced(concurrency, occupancy)
    queue = tuple(one for one in occupancy.queued_before if one not in replaces)
    if is_full or (queue and concurrency.policy in _QUEUES):
        reason = _queued_reason(taken, queue, concurrency, concurrency_key)
        return GateResult("queued", reason, replaces)
    if throttle is not None and has_excess_queue and (opens_at or occupancy.is_throttle_queued):
        reason = f"behind the throttle: {_throttle_text(throttle, throttle_key, opens_at)}"
        return GateResult("queued", reason, replaces)
    return GateResult("let_in", replaces=replaces)


def has_no_free_slot(concurrency: Concurrency, taken: Sequence[RunId]) -> bool:
    """Return whether as many runs are at work as may be."""
    return concurrency.policy is not OverlapPolicy.ALLOW and len(taken) >= concurrency.limit


def _replaced(concurrency: Concurrency, occupancy: Occupancy) -> tuple[RunId, ...]:
    if concurrency.policy is not OverlapPolicy.REPLACE:
        return ()
    before = (*occupancy.slots_taken, *occupancy.queued_before)
    return before[: max(0, len(before) - concurrency.limit + 1)]


def decide_queue(
    queue: Sequence[QueuedRun],
    places: Mapping[str, Sequence[RunId]],
    started: Mapping[str, Sequence[datetime]],
    now: datetime,
    limit: int,
) -> list[tuple[RunId, GateResult]]:
    """Decide on the queued runs of one subscription, in the order given, whose turn has come.

    That order is by priority, the higher first, then by age. A run whose turn has come is
    decided on as if it arrived now: it is let in, or it is skipped where its policy says so.
    Those of one concurrency key stay in their order, and so do those that only wait for one
    throttle. `places` and `started` are what Occupancy has, by key. At most `limit` are
    decided on.
    """
    taken = {key: tuple(runs) for key, runs in places.items()}
    begun = {key: tuple(moments) for key, moments in started.items()}
    held = _BlockedKeys(set(), set())
    decided: list[tuple[RunId, GateResult]] = []
    for one in queue:
        if len(decided) == limit:
            break
        place, throttle = one.concurrency_key, one.throttle_key
        occupancy = Occupancy(taken.get(place or "", ()), (), begun.get(throttle or "", ()))
        entry = _decide_queued(one, occupancy, held, now)
        if entry is None:
            continue
        decided.append((one.id, entry))
        if entry.outcome == "let_in":
            taken |= {} if place is None else {place: (*taken.get(place, ()), one.id)}
            begun |= {} if throttle is None else {throttle: (*begun.get(throttle, ()), now)}
    return decided


@dataclass(frozen=True, slots=True)
class _BlockedKeys:
    """Keys at which an older run goes on waiting, so that younger ones do too."""

    concurrency_keys: set[str | None]
    throttle_keys: set[str | None]


def _decide_queued(
    one: QueuedRun, occupancy: Occupancy, held: _BlockedKeys, now: datetime
) -> GateResult | None:
    """Return what becomes of the run now; None when it goes on waiting."""
    throttle = one.spec.throttle
    opens_at = throttle_opens_at(throttle, occupancy.started, now)
    waits = throttle is not None and throttle.excess is Excess.QUEUE and opens_at is not None
    is_held = (
        waits
        or one.throttle_key in held.throttle_keys
        or one.concurrency_key in held.concurrency_keys
    )
    if waits:
        held.throttle_keys.add(one.throttle_key)
    if not is_held:
        entry = _decide(one.spec, occupancy, one.concurrency_key, one.throttle_key, now)
        if entry.outcome != "queued":
            return entry
    if one.concurrency_key is not None and one.spec.concurrency.policy in _QUEUES:
        held.concurrency_keys.add(one.concurrency_key)
    return None


def throttle_opens_at(
    throttle: Throttle | None, started: Sequence[datetime], now: datetime
) -> datetime | None:
    """Return when the next run may start, given when runs started; None when it may now."""
    if throttle is None:
        return None
    recent = [moment for moment in started if moment > now - throttle.per]
    excess = len(recent) - throttle.limit
    return None if excess < 0 else recent[excess] + throttle.per


def repeated_gate_result(run: Run, *, is_let_in: bool, is_ours: bool) -> GateResult:
    """Return what a repeated entry of the run, as it is now, is told.

    `is_ours` says whether the asking workflow is the one that carries the run.
    """
    if run.has_ended:
        return GateResult("skipped", run.reason)
    if not is_ours:
        return GateResult("queued", "another workflow carries the run")
    return GateResult("let_in" if is_let_in or run.status is RunStatus.RUNNING else "queued")


def gate_change(run: Run, decided: GateResult, now: datetime) -> RunChange:
    """Return what is written of a run that enters, and what the log says of it."""
    said = []
    if decided.outcome == "queued":
        said.append(log_entry(run, "info", f"run queued {decided.reason}", now))
    if decided.replaces:
        said.append(log_entry(run, "info", f"run replaces {_named(decided.replaces)}", now))
    if decided.outcome == "queued":
        # With the time, since whoever reads it sees how long the queue was, not how long it is.
        run = replace(run, reason=f"queued at {format_moment(now)} {decided.reason}")
    if decided.outcome != "skipped":
        return RunChange(run, entries=tuple(said))
    return run_change(run, Decision(end=RunEnd(RunStatus.SKIPPED, decided.reason)), now)


def let_in_log_entry(
    subscription_id: str, run_id: RunId, since: datetime, now: datetime
) -> LogEntry:
    """Return what the log says of a queued run that is let in."""
    queued = max(now - since, timedelta(0)) // timedelta(seconds=1) * timedelta(seconds=1)
    message = f"run let in after {format_duration(queued)} in the queue"
    return LogEntry(subscription_id, run_id, message, "info", now)


def replaced_end(run: Run) -> RunEnd:
    """Return how a run ends whose place another takes."""
    return RunEnd(RunStatus.CANCELLED, f"replaced by {_named((run.id,))}")


def _named(runs: Sequence[RunId]) -> str:
    names = [run[:8] for run in runs[:_SHOWN_RUNS]]
    if len(runs) > _SHOWN_RUNS:
        names[-1] = f"{len(runs) - _SHOWN_RUNS + 1} more"
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{'run' if len(runs) == 1 else 'runs'} {listed}"


def _skipped_reason(runs: Sequence[RunId], concurrency: Concurrency, key: str | None) -> str:
    verb = "is" if len(runs) == 1 else "are"
    return f"{_named(runs)} {verb} still at work ({_policy(concurrency, key)})"


def _queued_reason(
    taken: Sequence[RunId], queue: Sequence[RunId], concurrency: Concurrency, key: str | None
) -> str:
    count = len(taken) + len(queue)
    runs = count_noun(count, "run")
    bound = "at least " if len(queue) >= QUEUE_COUNTED else ""
    return f"behind {bound}{runs} ({_policy(concurrency, key)})"


def _policy(concurrency: Concurrency, key: str | None) -> str:
    policy = f"concurrency policy {concurrency.policy}, limit {concurrency.limit}"
    return policy + _shown(key)


def _throttle_text(throttle: Throttle, key: str | None, opens_at: datetime | None) -> str:
    pace = f"{count_noun(throttle.limit, 'run')} in {format_duration(throttle.per)}{_shown(key)}"
    if opens_at is None:
        return pace
    whole = opens_at + timedelta(seconds=1) - timedelta(microseconds=1)  # rounded up
    return f"{pace}; the next may start at {format_moment(whole)}"


def _shown(key: str | None) -> str:
    if not key:
        return ""
    return f", key {key if len(key) <= _SHOWN_KEY else key[: _SHOWN_KEY - 1] + '…'}"
