"""Remove what a policy keeps no longer, a few rows at a time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from activityctl.domain.values.retention import Keep, Policy, RetainedKind
from activityctl.ports import OldRows, RetentionStore

_BATCH: Final = 200
_PAUSE: Final = 0.05
"""Seconds between two batches, so that other queries are not delayed."""
_ORDER: Final[tuple[RetainedKind, ...]] = (
    *("deadletters", "attempts", "tasks", "runs", "logs"),
    *("audit", "spends"),
)
"""What refers to others goes first."""


async def sweep(
    store: RetentionStore,
    policy: Policy,
    on_removed: Callable[[RetainedKind, int], None] = lambda _kind, _removed: None,
    *,
    batch: int = _BATCH,
    pause: float = _PAUSE,
) -> None:
    """Remove what is old and not needed; `on_removed` takes the kind and how many, after each.

    Several sweeps at once do not wait for one another. For tasks and attempts, runs are counted.
    """
    for kind in _ORDER:
        if (keep := policy.get(kind)) is None:
            continue
        for owner in await _owners(store, keep):
            after = None
            while True:
                done = await store.remove(kind, keep, owner, after, batch)
                on_removed(kind, done.removed)
                after = done.after
                if after is None:
                    break
                await asyncio.sleep(pause)


async def preview(store: RetentionStore, policy: Policy) -> dict[RetainedKind, OldRows]:
    """Return for each kind of the policy what `sweep` would remove now, and what it would leave.

    What only stays because of something that the same sweep removes counts as staying.
    """
    found: dict[RetainedKind, OldRows] = {}
    for kind, keep in policy.items():
        total = OldRows()
        for owner in await _owners(store, keep):
            total += await store.count(kind, keep, owner)
        found[kind] = total
    return found


async def _owners(store: RetentionStore, keep: Keep) -> Sequence[str | None]:
    """Return whose rows are looked at one after the other: None for those of all at once."""
    return [None] if keep.count is None else await store.owners()
