"""What triggers have gathered, in memory; part of the router's transaction."""

from collections.abc import Iterable
from datetime import datetime

from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.events.gathering import Gathering, GatheringKey
from activityctl.domain.routing.routing import Routed


def read_gatherings(
    state: MemoryState, keys: Iterable[GatheringKey], until: datetime, limit: int
) -> list[Gathering]:
    """Return those of these keys, and as many more that time changes until then, if any."""
    rows = state.gatherings
    due = sorted(key for key, one in rows.items() if one.due_at <= until)
    due = sorted(due, key=lambda key: rows[key].due_at)[:limit]
    wanted = {*due, *keys}
    return [one for key, one in rows.items() if key in wanted]


def write_gatherings(state: MemoryState, routed: Routed) -> None:
    """Write what waits now, and what became of the events that wait no more."""
    for one in routed.gatherings:
        state.gatherings[one.key] = one
    for key in routed.emptied:
        state.gatherings.pop(key, None)
    for verdict in routed.replaced_verdicts:
        if verdict.event_id in state.events:
            owner = (verdict.event_id, verdict.subscription_id, verdict.trigger, verdict.replay)
            state.verdicts[owner] = verdict


def seconds_to_due(state: MemoryState) -> float | None:
    """Return how long until time changes what is gathered; None when nothing waits."""
    times = [one.due_at for one in state.gatherings.values()]
    return max((min(times) - state.clock()).total_seconds(), 0.0) if times else None
