"""Marking schedules as synced waits for locked rows, without a deadlock."""

import asyncio
from datetime import UTC, datetime

import psycopg

from activityctl import wiring
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.ids import canonical_json

NOW = datetime(2026, 5, 1, tzinfo=UTC)
LOCK = "SELECT FROM schedules WHERE id = %s FOR UPDATE"


async def write_subscriptions(ports: wiring.Ports, *names: str) -> None:
    trigger = {"name": "yearly", "cron": {"schedule": "0 3 1 1 *"}}
    task = {"name": "say", "command": {"argv": ["true"]}}
    definition = {"metadata": {"name": "d"}, "spec": {"triggers": [trigger], "tasks": [task]}}
    subscriptions = {
        name: {"metadata": {"name": name}, "spec": {"activity": "d"}} for name in names
    }
    wanted = Wanted(
        {"d": ActivityDefinition.model_validate_json(canonical_json(definition))},
        {
            name: SubscriptionManifest.model_validate_json(canonical_json(manifest))
            for name, manifest in subscriptions.items()
        },
    )
    async with ports.catalog.changing():
        await ports.catalog.write(plan_changes(wanted, await ports.catalog.present()), NOW)


async def test_a_locked_row_is_marked_once_the_lock_is_released(
    ports: wiring.Ports, database_url: str
) -> None:
    await write_subscriptions(ports, "a", "b", "c")
    unsynced = await ports.register.unsynced(10)
    first, second, third = (schedule.id for schedule in unsynced)
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute(LOCK, (second,))
        marking = asyncio.create_task(ports.register.mark_synced(unsynced, NOW))
        async with asyncio.timeout(60):
            while {schedule.id for schedule in await ports.register.unsynced(10)} != {second}:
                await asyncio.sleep(0.02)
        for free in (first, third):  # if `mark_synced` held these locks, this would be a deadlock
            await other.execute(LOCK, (free,))
        assert not marking.done()
        await other.commit()
    await marking
    assert await ports.register.unsynced(10) == []
