"""Circuit breakers: when tasks leave a failing destination alone, and how they find it well again.

The decisions are pure: the state and the facts come in, the new state comes out. `now` is the time
of Postgres.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic import Field

from activityctl.domain.tasks.failure import Failure
from activityctl.domain.values.duration import LimitDuration
from activityctl.domain.values.model import Manifest, Name
from activityctl.frozen_dataclass import frozen_dataclass

LEASE: Final = timedelta(seconds=30)
"""Added to the time limit of an attempt: after that, a probe whose worker is lost counts as ended.
Usually the task itself begins again before, and is the same probe."""
_LOOK_AGAIN: Final = timedelta(seconds=2)
"""How long a task waits at least while others probe."""
_LOOK_AT_FORCED: Final = timedelta(seconds=15)
_FAULTY_CODES: Final = frozenset(
    {"timeout", "heartbeat", "unreachable", "bad_response", "exit_code"}
)
_TOO_MANY_REQUESTS: Final = 429
_FIRST_SERVER_ERROR: Final = 500


class WhileOpen(StrEnum):
    """What a task does while its breaker is open."""

    WAIT = "wait"
    FAIL = "fail"


class BreakerPolicy(Manifest):
    """Leaves a destination alone that keeps failing. All workers share the state of a breaker."""

    name: Name | None = Field(
        default=None,
        description="The breaker's name; tasks of all definitions with the same name share it. "
        "Default: the host of the URL of an `http` or `ai` task. Other kinds need a name.",
        examples=["payments"],
    )
    while_open: WhileOpen = Field(
        default=WhileOpen.WAIT,
        strict=False,
        description="What a task does while the breaker is open: `wait` until it may begin, or "
        "`fail` at once. Neither uses up an attempt. Default: wait.",
        examples=["fail"],
    )
    failures: int = Field(
        default=5,
        ge=1,
        le=1_000,
        description="So many failures in a row open the breaker. Default: 5.",
        examples=[3],
    )
    ratio: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="More than this part of failures among the attempts of `within` opens the "
        "breaker too. Default: 0.5.",
        examples=[0.2],
    )
    at_least: int = Field(
        default=10,
        ge=1,
        le=100_000,
        description="How many attempts `within` must have before `ratio` counts. Default: 10.",
        examples=[20],
    )
    within: LimitDuration = Field(
        default=timedelta(seconds=60),
        description="The time before now in which attempts are counted for `ratio`. Default: 60s.",
        examples=["5m"],
    )
    open_for: LimitDuration = Field(
        default=timedelta(seconds=30),
        description="How long the breaker stays open before it lets probes through. Default: 30s.",
        examples=["2m"],
    )
    probes: int = Field(
        default=1,
        ge=1,
        le=100,
        description="How many attempts probe the destination after that. When all of them have "
        "succeeded, the breaker closes; when one fails, it opens again. Default: 1.",
        examples=[3],
    )


class BreakerStatus(StrEnum):
    """The states of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@frozen_dataclass
class Probe:
    """An attempt that probes the destination; after `until` it counts as lost."""

    task_id: str
    until: datetime


@frozen_dataclass
class Breaker:
    """The state of a breaker, as all workers share it."""

    name: str
    status: BreakerStatus
    changed_at: datetime
    reason: str | None = None
    open_until: datetime | None = None
    """When probes may begin; None if it is not open, or until a person closes it."""
    probes: tuple[Probe, ...] = ()
    """The probes at work, if it is half-open."""
    succeeded: int = 0
    """How many probes have succeeded, if it is half-open."""
    openings: int = 0
    """How often it has opened."""


@frozen_dataclass
class RecentAttempts:
    """The attempts behind a breaker since its last change."""

    in_a_row: int
    """The failures since the last attempt that did not fail."""
    total: int
    """All of the policy's time `within`."""
    failed: int
    """Those of them that failed."""


@frozen_dataclass
class Passage:
    """Whether a task may begin behind a breaker that is not closed."""

    breaker: Breaker
    """The breaker afterwards."""
    look_again_at: datetime | None
    """None if the attempt may begin, as a probe."""


def is_fault(failure: Failure) -> bool:
    """Return whether the destination is to blame.

    That is so for a timeout, no connection, a broken answer, status 5xx and 429, and for the exit
    code of a command, which says no more. A refusal such as 404 shows that it works.
    """
    if failure.status is not None:
        return failure.status >= _FIRST_SERVER_ERROR or failure.status == _TOO_MANY_REQUESTS
    return failure.code in _FAULTY_CODES


def pass_through(
    breaker: Breaker,
    policy: BreakerPolicy,
    task_id: str,
    now: datetime,
    *,
    lease: timedelta,
    chance: float,
) -> Passage:
    """Decide whether the task may begin; ask only while the breaker is not closed.

    `lease` is how long a probe may take. `chance`, from 0 to 1, spreads the tasks that wait.
    """
    spread = max(policy.open_for / 3, timedelta(seconds=1)) * chance
    if breaker.status is BreakerStatus.CLOSED:
        return Passage(breaker, None)
    if breaker.status is BreakerStatus.OPEN:
        if breaker.open_until is None:
            return Passage(breaker, now + _LOOK_AT_FORCED * (1 + chance) / 2)
        if now < breaker.open_until:
            return Passage(breaker, breaker.open_until + spread)
    others = tuple(
        probe for probe in breaker.probes if probe.until > now and probe.task_id != task_id
    )
    is_known = any(probe.task_id == task_id for probe in breaker.probes)
    if not is_known and len(others) + breaker.succeeded >= policy.probes:
        return Passage(breaker, now + _LOOK_AGAIN + spread)
    probes = (*others, Probe(task_id, now + lease))
    if breaker.status is BreakerStatus.HALF_OPEN:
        return Passage(replace(breaker, probes=probes), None)
    half_open = replace(
        breaker,
        status=BreakerStatus.HALF_OPEN,
        changed_at=now,
        open_until=None,
        probes=probes,
        succeeded=0,
    )
    return Passage(half_open, None)


def after_success(breaker: Breaker, policy: BreakerPolicy, task_id: str, now: datetime) -> Breaker:
    """Return the breaker after an attempt of the task that was no failure of the destination."""
    if breaker.status is not BreakerStatus.HALF_OPEN or not _probes(breaker, task_id):
        return breaker
    succeeded = breaker.succeeded + 1
    if succeeded >= policy.probes:
        return closed(breaker, now, _counted(succeeded, "probe") + " succeeded")
    left = tuple(probe for probe in breaker.probes if probe.task_id != task_id)
    return replace(breaker, probes=left, succeeded=succeeded)


def after_fault(
    breaker: Breaker,
    policy: BreakerPolicy,
    task_id: str,
    recent: RecentAttempts,
    now: datetime,
) -> Breaker:
    """Return the breaker after a failed attempt, which is among the recent ones."""
    match breaker.status:
        case BreakerStatus.OPEN:
            return breaker
        case BreakerStatus.HALF_OPEN:
            if not _probes(breaker, task_id):  # it began before the breaker opened
                return breaker
            return opened(breaker, now, "a probe failed", now + policy.open_for)
        case BreakerStatus.CLOSED:
            reason = _reason_to_open(policy, recent)
            if reason is None:
                return breaker
            return opened(breaker, now, reason, now + policy.open_for)


def without_probe(breaker: Breaker, task_id: str) -> Breaker:
    """Return the breaker after a probe that was stopped, so that nobody knows its outcome."""
    left = tuple(probe for probe in breaker.probes if probe.task_id != task_id)
    return replace(breaker, probes=left)


def opened(breaker: Breaker, now: datetime, reason: str, until: datetime | None) -> Breaker:
    """Return the breaker open; without `until`, a person has to close it."""
    return Breaker(
        breaker.name,
        BreakerStatus.OPEN,
        now,
        reason,
        open_until=until,
        openings=breaker.openings + 1,
    )


def closed(breaker: Breaker, now: datetime, reason: str) -> Breaker:
    """Return the breaker closed."""
    return Breaker(breaker.name, BreakerStatus.CLOSED, now, reason, openings=breaker.openings)


def _reason_to_open(policy: BreakerPolicy, recent: RecentAttempts) -> str | None:
    if recent.in_a_row >= policy.failures:
        return _counted(recent.in_a_row, "failure") + " in a row"
    if recent.total >= policy.at_least and recent.failed > policy.ratio * recent.total:
        return f"{recent.failed} of {recent.total} attempts failed"
    return None


def _probes(breaker: Breaker, task_id: str) -> bool:
    return any(probe.task_id == task_id for probe in breaker.probes)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
