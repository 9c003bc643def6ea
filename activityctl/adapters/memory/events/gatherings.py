"""Gatherings in memory, read and written in the router's transaction."""

from collections.abc import Iterable
from datetime import datetime

from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.events.gathering import Gathering, GatheringKey
from activityctl.domain.routing.routing import Routed


def read_gatherings(
    state: MemoryState, keys: Iterable[GatheringKey], until: datetime, limit: int
) -> list[Gathering]:
    """Return the gatherings with these keys, and up to `limit` that are due by `until`."""
    rows = state.gatherings
    due = sorted(key for key, gathering in rows.items() if gathering.due_at <= until)
    due = sorted(due, key=lambda key: rows[key].due_at)[:limit]
    wanted = {*due, *keys}
    return [gathering for key, gathering in rows.items() if key in wanted]


def write_gatherings(state: MemoryState, routed: Routed) -> None:
    """Write the changed gatherings, delete the empty ones, replace the verdicts."""
    for gathering in routed.gatherings:
        state.gatherings[gathering.key] = gathering
    for key in routed.emptied:
        state.gatherings.pop(key, None)
    for verdict in routed.replaced_verdicts:
        if verdict.event_id in state.events:
            verdict_key = (
                verdict.event_id,
                verdict.subscription_id,
                verdict.trigger,
                verdict.replay,
            )
            state.verdicts[verdict_key] = verdict


def seconds_to_due(state: MemoryState) -> float | None:
    """Return the seconds until the next gathering is due; None when there is none."""
    times = [gathering.due_at for gathering in state.gatherings.values()]
    return max((min(times) - state.clock()).total_seconds(), 0.0) if times else None
