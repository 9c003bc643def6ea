"""Decides whether a failed attempt of a task is repeated, and when."""

from datetime import timedelta

from activityctl.domain.tasks.failure import Failure
from activityctl.domain.tasks.retry import RetryPolicy
from activityctl.domain.values.duration import format_duration
from activityctl.errors import ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class TimeBudget:
    """How much time a task has used since it was ready to start, and how much it may use."""

    used: timedelta
    total: timedelta | None = None
    """`timeout.total`: every attempt and every wait."""
    max_age: timedelta | None = None
    """`retry.maxAge`: after this time no attempt begins."""

    def refusal(self, wait: timedelta) -> str | None:
        """Return why no attempt may begin after this wait; None if one may."""
        begins = self.used + wait
        if self.total is not None and begins >= self.total:
            return f"timeout.total is {format_duration(self.total)}"
        if self.max_age is not None and begins >= self.max_age:
            return f"retry.maxAge is {format_duration(self.max_age)}"
        return None


@frozen_dataclass
class NextAttempt:
    """What follows a failed attempt: another one after `wait`, or none."""

    wait: timedelta | None
    """None if the failure is final."""
    note: str = ""
    """Why it is final, for the end of the error's message; empty if the error says it itself."""


def next_attempt(
    policy: RetryPolicy,
    failure: Failure,
    budget: TimeBudget,
    *,
    asked: timedelta = timedelta(0),
    chance: float = 0.5,
) -> NextAttempt:
    """Return what follows a failed attempt; the number of attempts is not looked at.

    `asked` is the wait that a server has asked for; `chance` places the wait in its jitter.
    """
    try:
        is_repeated = policy.repeats(failure)
    except ExpressionError as error:  # nothing is repeated of which nobody knows whether it may
        return NextAttempt(None, f"; not repeated, because of an error in retry: {error}")
    if not is_repeated:
        return NextAttempt(None)
    wait = policy.wait_after(failure.attempt, asked, chance)
    if (refusal := budget.refusal(wait)) is not None:
        return NextAttempt(None, f"; not repeated, because {refusal}")
    return NextAttempt(wait)
