"""A catalog in memory for tests, with apply and plan as the commands call them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.domain.gitops.plan import Present
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.operations.gitops.apply import Applied, apply
from activityctl.operations.gitops.plan import Planned, plan_of_files, wanted_of
from support import manifests
from support.manifests import ANY_PARAMS, HOURLY, NIGHTLY, Manifest, manifest_set

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ACTIVE, PAUSED, DELETED = SubscriptionStatus
definition = partial(manifests.definition, params=ANY_PARAMS, triggers=[HOURLY, NIGHTLY])


@dataclass(frozen=True)
class World:
    """A catalog in memory, with apply and plan as the commands call them."""

    ports: MemoryPorts

    async def apply(
        self, *manifests: Manifest, applyset: str | None = None, prune: bool = False
    ) -> Applied:
        found = manifest_set(*manifests)
        return await apply(
            found,
            self.ports.catalog,
            self.ports.register,
            self.ports.workers,
            lambda: NOW,
            timeout_seconds=0,
            wanted=wanted_of(found, applyset=applyset, prune=prune),
        )

    async def plan(
        self, *manifests: Manifest, applyset: str | None = None, prune: bool = False
    ) -> Planned:
        found = manifest_set(*manifests)
        wanted = wanted_of(found, applyset=applyset, prune=prune)
        return await plan_of_files(
            found, wanted, self.ports.catalog, self.ports.run_lists, lambda: NOW
        )

    async def present(self) -> Present:
        return await self.ports.catalog.present()

    async def set_status(self, name: str, status: SubscriptionStatus) -> None:
        found = await self.ports.catalog.find_subscription(name)
        await self.ports.catalog.set_subscription_status(found.id, status, NOW)


def world() -> World:
    return World(memory_ports())
