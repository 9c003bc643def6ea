"""A catalog and an archive in memory, with a clock that the test sets."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.events.query import EventQuery
from activityctl.domain.gitops.plan import Plan, Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PARAMS = {"type": "object", "properties": {"least": {"type": "number", "default": 100}}}


class World:
    """Subscriptions with event triggers, and stored events."""

    def __init__(self) -> None:
        self.now = NOW
        self.state = MemoryState()
        self.state.catalog.clock = lambda: self.now
        self.ports: MemoryPorts = memory_ports(self.state)

    def wanted(
        self,
        events: Mapping[str, Mapping[str, Any]],
        names: tuple[str, ...] = ("mine",),
        *,
        prune: bool = False,
        **spec: Any,
    ) -> Wanted:
        """Return a definition `review` with event triggers, and subscriptions to it."""
        body = {
            "params": PARAMS,
            "triggers": [{"name": name, "event": event} for name, event in events.items()],
            "tasks": [{"name": "a", "say": {}}],
        }
        definition = {"metadata": {"name": "review"}, "spec": body}
        manifests = {
            name: {"metadata": {"name": name}, "spec": {"activity": "review", **spec}}
            for name in names
        }
        return Wanted(
            {"review": ActivityDefinition.model_validate_json(json.dumps(definition))},
            {
                name: SubscriptionManifest.model_validate_json(json.dumps(manifest))
                for name, manifest in manifests.items()
            },
            applyset="set",
            prune=prune,
        )

    async def plan(self, wanted: Wanted) -> Plan:
        return plan_changes(wanted, await self.ports.catalog.present())

    async def apply(self, wanted: Wanted) -> None:
        async with self.ports.catalog.changing():
            await self.ports.catalog.write(await self.plan(wanted), self.now)

    async def arrive(self, *amounts: Any, kind: str = "order.paid", **data: Any) -> None:
        """Store one event for each amount, one minute apart."""
        for amount in amounts:
            self.now += timedelta(minutes=1)
            number = len(self.state.events)
            document = {
                "specversion": "1.0",
                "id": f"e{number}",
                "source": "/shop",
                "type": kind,
                "data": {"amount": amount, **data},
            }
            await self.ports.events.add([envelope_of(document)])
        self.now += timedelta(minutes=1)

    async def set_status(self, name: str, status: SubscriptionStatus) -> None:
        owner = await self.ports.catalog.find_subscription(name)
        row = self.state.catalog.subscriptions[owner.id]
        self.state.catalog.subscriptions[owner.id] = replace(row, status=status)

    def query(self, **more: Any) -> EventQuery:
        return EventQuery(NOW, self.now, **more)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def started(world: World) -> Callable[[], list[list[str]]]:
    """Return a function that lists the ids of the events of each firing, in stored order."""

    def find() -> list[list[str]]:
        documents = {row.event.id: row.event.document["id"] for row in world.state.events.values()}
        rows = world.state.firings.values()
        return [[documents[event_id] for event_id in row.event_ids] for row in rows]

    return find
