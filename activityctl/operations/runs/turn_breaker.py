"""Open or close a circuit breaker by hand."""

from activityctl.errors import UsageError
from activityctl.ports import BreakerChange, Guards

LONGEST_REASON = 500


async def turn_breaker(
    guards: Guards, name: str, *, is_open: bool, reason: str | None
) -> BreakerChange:
    """Open or close the breaker, and return what changed.

    An open one stays open until a person closes it. A name that no task has used yet can be opened.
    Raises NotFoundError for a breaker to close that has never been open.
    """
    if not name.strip() or len(name) > LONGEST_REASON:
        raise UsageError("a breaker's name cannot be empty", hint="activityctl get breakers")
    by_hand = "opened by hand" if is_open else "closed by hand"
    text = by_hand if reason is None else f"{by_hand}: {reason[:LONGEST_REASON]}"
    return await guards.turn_breaker(name, is_open=is_open, reason=text)
