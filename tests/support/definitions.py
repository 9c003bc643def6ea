"""Ports in memory with one definition of one command, and a subscription of the same name."""

import json
from datetime import datetime
from typing import Any

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest


async def ports_with(name: str, now: datetime, **spec: Any) -> MemoryPorts:
    """Return the ports; `spec` has further fields of the definition."""
    ports, named = memory_ports(), {"metadata": {"name": name}}
    whole = {"tasks": [{"name": "a", "command": {"argv": ["true"]}}], **spec}
    definition = ActivityDefinition.model_validate_json(json.dumps({**named, "spec": whole}))
    manifest = SubscriptionManifest.model_validate_json(
        json.dumps({**named, "spec": {"activity": name}})
    )
    wanted = Wanted({name: definition}, {name: manifest})
    async with ports.catalog.changing():
        await ports.catalog.write(plan_changes(wanted, await ports.catalog.present()), now)
    return ports
