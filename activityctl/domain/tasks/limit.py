"""Limits of a resource that tasks share: how many may begin in a time, and how many at once.

The rate is kept by GCRA: one point in time says how far the limit is used up. A task that comes too
early gets a place in the order of arrival, with the time when it may begin.
"""

from datetime import datetime, timedelta
from typing import Final, Self

from pydantic import Field, ValidationInfo, model_validator

from activityctl.domain.values.duration import LimitDuration
from activityctl.domain.values.model import Manifest, Name, is_written
from activityctl.frozen_dataclass import frozen_dataclass

SLOT_HOLDS: Final = timedelta(seconds=5)
"""How late a task may come for its time. Later, it gets a new one: otherwise all tasks of a worker
that was down would begin together."""
WAITER_LEASE: Final = timedelta(seconds=15)
"""A waiting task that does not ask again so long after its time has lost its place."""
LOOK_AGAIN: Final = timedelta(seconds=0.25)
"""When the first of those that wait for a place looks again; the later ones look less often."""
LONGEST_LOOK: Final = timedelta(seconds=15)


class Limit(Manifest):
    """A limit of a resource. Definitions that declare the same name share it."""

    name: Name = Field(
        description="The limit's name. Tasks name it in `limit`; all definitions and workers that "
        "use the name share it.",
        examples=["crm"],
    )
    rate: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="How many attempts may begin within `per`. Default: no limit.",
        examples=[100],
    )
    per: LimitDuration = Field(
        default=timedelta(seconds=1),
        description="The time for `rate`. Default: 1s.",
        examples=["1m"],
    )
    burst: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="How many attempts may begin at once after a pause. Default: 1, so they begin "
        "evenly spaced, and no window of the length `per` has more than `rate` and one.",
        examples=[20],
    )
    concurrency: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="How many attempts may be at work at the same time. Default: no limit.",
        examples=[4],
    )

    @model_validator(mode="after")
    def _limits_something(self, info: ValidationInfo) -> Self:
        if not is_written(info):
            return self
        if self.rate is None and self.concurrency is None:
            raise ValueError("needs rate or concurrency")
        if self.rate is None and self.model_fields_set & {"per", "burst"}:
            raise ValueError("per and burst have no effect without rate")
        return self

    @property
    def interval(self) -> timedelta | None:
        """The time between two attempts; None without a rate."""
        return None if self.rate is None else self.per / self.rate


@frozen_dataclass
class LimitState:
    """How far a limit is used up when a task asks."""

    used_until: datetime | None
    """The theoretical arrival time of GCRA; None before the first attempt."""
    at_work: int
    """The attempts of other tasks that are at work."""
    ahead: int
    """The tasks that wait and asked before this one."""
    slot: datetime | None = None
    """When this task may begin, if it has asked before."""


@frozen_dataclass
class Permit:
    """Whether a task may begin, and how far the limit is used up then."""

    used_until: datetime | None
    look_again_at: datetime | None = None
    """None if it may begin."""
    slot: datetime | None = None
    """The time that it was given, if it waits for the rate."""


def permit(limit: Limit, state: LimitState, now: datetime) -> Permit:
    """Decide whether a task may begin now."""
    if limit.concurrency is not None and state.at_work + state.ahead >= limit.concurrency:
        turns = 1 + state.ahead / limit.concurrency
        pause = min(LOOK_AGAIN * turns, LONGEST_LOOK)
        return Permit(state.used_until, now + pause, state.slot)
    if (interval := limit.interval) is None:
        return Permit(state.used_until)
    if state.slot is not None and now <= state.slot + SLOT_HOLDS:
        waits = state.slot > now
        return Permit(state.used_until, state.slot if waits else None, state.slot)
    used_until = max(state.used_until or now, now) + interval
    begins = used_until - interval * limit.burst
    if begins <= now:
        return Permit(used_until)
    return Permit(used_until, begins, begins)
