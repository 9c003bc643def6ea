"""Event sources in memory: the live ones, the changes of a plan, and what came to them."""

from dataclasses import replace
from datetime import datetime, timedelta

from activityctl.adapters.memory.state import CatalogTables, EventSourceRow, MemoryState
from activityctl.domain.gitops.plan import Action, Plan
from activityctl.domain.manifests.event_source import PresentEventSource
from activityctl.domain.sources.traffic import (
    MOST_REFUSALS,
    RefusedRequest,
    SourceTraffic,
)


def live_sources(tables: CatalogTables) -> list[PresentEventSource]:
    """Return the event sources that are not deleted."""
    return [row.source for row in tables.sources.values() if row.deleted_at is None]


def write_sources(plan: Plan, now: datetime, tables: CatalogTables) -> None:
    """Write and delete the event sources that the plan changes."""
    for change in plan.changes:
        if change.kind != "EventSource" or change.action is Action.UNCHANGED:
            continue
        present = tables.sources.get(change.name)
        if change.action is Action.DELETED:
            assert present is not None, "a plan deletes live sources"  # noqa: S101  # our bug
            deleted = replace(present.source, applyset=None)
            tables.sources[change.name] = EventSourceRow(deleted, now)
        else:
            tables.sources[change.name] = EventSourceRow(_source(plan, change.name, now, present))


def _source(
    plan: Plan, name: str, now: datetime, present: EventSourceRow | None
) -> PresentEventSource:
    source = plan.sources[name]
    return PresentEventSource(
        name,
        source.spec,
        present.source.created_at if present else now,
        now,
        dict(source.metadata.labels),
        dict(source.metadata.annotations),
        plan.applyset or (present.source.applyset if present else None),
    )


class MemorySourceLedger:
    """Implements the SourceLedger port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def find(self, name: str) -> PresentEventSource | None:
        """Return the live event source of that name; None if there is none."""
        live = live_sources(self._state.catalog)
        return next((source for source in live if source.name == name), None)

    async def note(
        self, name: str, traffic: SourceTraffic, refused: RefusedRequest | None = None
    ) -> None:
        """Add the counts of one request, and keep it if it was refused."""
        before = self._state.source_traffic.get(name, SourceTraffic())
        self._state.source_traffic[name] = before.plus(traffic)
        if refused is not None:
            kept = self._state.refused_requests.setdefault(name, [])
            kept.append(refused)
            del kept[:-MOST_REFUSALS]

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove the oldest refused requests over this age; return how many."""
        oldest = self._state.clock() - age
        every = [
            (each.at, name, each)
            for name, kept in self._state.refused_requests.items()
            for each in kept
            if each.at < oldest
        ]
        gone = sorted(every, key=lambda found: found[0])[:limit]
        for _, name, each in gone:
            self._state.refused_requests[name].remove(each)
        return len(gone)
