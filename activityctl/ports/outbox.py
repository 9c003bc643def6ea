"""Firings between the decision on them and the start of their runs."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from activityctl.domain.timing.firing import FiringRef, FiringRequest

ORDER_WAITS: Final = timedelta(hours=1)
"""A firing of an order key waits at most this long for a run of the started one before it."""


class Claim(Protocol):
    """Firings that this dispatcher alone may start, until the block ends."""

    firings: list[FiringRef]

    async def dispatched(self, firings: list[FiringRef], now: datetime) -> None:
        """Mark them as started."""
        ...


@dataclass(frozen=True, slots=True)
class WaitingFiring:
    """A firing of a cron or interval trigger that was decided on and starts later."""

    trigger: str
    due_at: datetime
    """The nominal time."""
    fires_at: datetime


class Outbox(Protocol):
    """Firings that were decided on, kept until the dispatcher has started them."""

    async def add(self, firings: list[FiringRequest], now: datetime) -> int:
        """Store the firings, after which none can be lost; return how many were new."""
        ...

    def claimed(self, limit: int) -> AbstractAsyncContextManager[Claim]:
        """Claim firings whose time has come: higher priority first, then the earliest.

        Held ones are passed over. Of one order key only the first that was decided on can be
        claimed, and once it is started the next only when a run answers it, or after ORDER_WAITS.
        """
        ...

    async def seconds_to_next(self) -> float | None:
        """Return how long until the next waiting firing may start; None when none waits."""
        ...

    async def waiting(self) -> int:
        """Return how many firings wait to be dispatched, those not held back."""
        ...

    async def waiting_of(self, subscription_id: str, limit: int) -> list[WaitingFiring]:
        """Return what the clock decided on and starts later, the earliest nominal times first."""
        ...

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove firings started before that age, by Postgres' clock, the first ones first.

        Returns how many. Left alone: those whose run does not exist or ended within that age, and
        those that have an event which is still kept. The run goes on to keep its key from running
        twice.
        """
        ...


class RunStarter(Protocol):
    """Starts the workflows that carry runs in Temporal, and cancels runs there."""

    async def start(self, *firings: FiringRef) -> None:
        """Start the one workflow that all of them name; one that exists already is success.

        A wake-up that is no longer open is started again.
        Raises UnreachableError when Temporal does not take it.
        """
        ...

    async def cancel(self, run_id: str, workflow_id: str) -> bool:
        """Ask the workflow to cancel that run alone; False when no such workflow is open.

        Raises UnreachableError when Temporal does not answer.
        """
        ...
