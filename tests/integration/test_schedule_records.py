"""The record of the alarms that Temporal has does not wait for locked schedules."""

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


async def test_alarms_are_marked_while_somebody_holds_the_schedules(
    ports: wiring.Ports, database_url: str
) -> None:
    """An apply, or an alarm at work, locks schedules for long; the reconciler goes on."""
    await write_subscriptions(ports, "a", "b", "c")
    unsynced = await ports.register.unsynced(10)
    assert [alarm.id for alarm in unsynced] == ["alarm/0 3 1 1 * UTC"]
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT FROM schedules FOR UPDATE")
        async with asyncio.timeout(60):
            await ports.register.announce([alarm.id for alarm in unsynced])
            await ports.register.mark_synced(unsynced, NOW)
        assert await ports.register.unsynced(10) == []
        await other.rollback()
