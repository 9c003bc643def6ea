"""A database of the release before, whose triggers had a schedule in Temporal each, goes on."""

import asyncio
import itertools
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.service import RPCError, RPCStatusCode

from activityctl import wiring
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.settings import Settings
from support.timed import RunHarness, now
from support.worker import working

SECOND = timedelta(seconds=1)
OLDER = Path(__file__).parents[2] / "fixtures" / "ledger-0040.backup"
NIGHTLY, MONTHLY = "alarm/0 2 * * 1-5 Europe/Berlin", "alarm/0 0 1 * * UTC"
ALARMS = {
    ("one", "tick"): "alarm/every 1s",
    ("one", "nightly"): NIGHTLY,
    ("one", "bounded"): None,  # it has fired its three times
    ("other", "tick"): "alarm/every 1s",
    ("other", "nightly"): NIGHTLY,
    ("other", "monthly"): MONTHLY,
    ("other", "bounded"): None,
    **dict.fromkeys(("paused", name) for name in ("tick", "nightly", "monthly", "bounded")),
}
TO_NOW = """
    DELETE FROM restores;
    UPDATE schedules SET cursor = date_trunc('second', now()),
        next_at = CASE WHEN next_at IS NOT NULL THEN date_trunc('second', now()) + '1s' END
    WHERE trigger = 'tick'"""
"""The database was not restored, but is upgraded; and the months since the backup did not pass."""


async def place_as_before(client: Client, owner: str, trigger: str) -> str:
    """Create the schedule of one trigger as the release before did."""
    firing = {
        "subscription_id": owner,
        "trigger": trigger,
        "firing_key": "",
        "due_at": "",
        "workflow_id": "",
        "cause": "alarm",
    }
    key = ids.schedule_id(owner, trigger)
    action = ScheduleActionStartWorkflow(
        "RunActivity",
        firing,
        id=ids.scheduled_workflow_id(owner, trigger),
        task_queue="activityctl",
    )
    policy = SchedulePolicy(
        overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=timedelta(minutes=1)
    )
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=SECOND)])
    await client.create_schedule(key, Schedule(action=action, spec=spec, policy=policy))
    return key


async def exists(client: Client, key: str) -> bool:
    async with asyncio.timeout(60):
        while True:
            try:
                await client.get_schedule_handle(key).describe()
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return False
                await asyncio.sleep(0.5)  # the server is busy
            else:
                return True


@pytest.mark.timeout(300)
async def test_schedules_of_single_triggers_give_way_without_a_loss(
    harness: RunHarness, settings: Settings, database_url: str
) -> None:
    """`ledger-0040.backup` was taken with `backup` of the release before.

    Of its four subscriptions one was paused and one deleted, and `one` had lost its `monthly`.
    """
    register, backup = harness.ports.register, wiring.open_backup(OLDER)
    assert backup.manifest.schema_revision == "0040"
    assert wiring.load_backup(database_url, backup, ["activityctl"], lambda _: None) == []
    olds = [
        await place_as_before(harness.client, ids.subscription_id(owner), trigger)
        for owner, trigger in [*ALARMS, ("one", "monthly"), ("gone", "tick")]
        if owner != "paused"
    ]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(TO_NOW)
    begun = now()
    rows = await register.schedules(Selection())
    assert {(row.subscription, row.wanted.trigger): row.alarm for row in rows} == ALARMS
    pending = {row.status for row in rows if row.alarm is not None}
    assert pending == {"pending"}
    await asyncio.sleep(2)  # the old schedules have started workflows, which wait for a worker
    async with working(settings):
        async with asyncio.timeout(120):
            while await register.unsynced(10):
                await asyncio.sleep(0.02)
        runs = await harness.ended_up_to(now() + 2 * SECOND)
        # Of triggers that had gone before, the drift detector finds the schedules in a list.
        async with asyncio.timeout(200):
            while any([await exists(harness.client, key) for key in olds]):
                await asyncio.sleep(0.2)
    assert await exists(harness.client, "alarm/every 1s")
    ticks = [run for run in runs if run.trigger == "tick" and run.due_at > begun]
    assert {run.status for run in ticks} == {RunStatus.SUCCEEDED}
    assert {run.subscription for run in ticks} == {"one", "other"}
    for name in ("one", "other"):
        due = [run.due_at for run in ticks if run.subscription == name]
        assert due[0] - begun < 2 * SECOND
        assert {later - time for time, later in itertools.pairwise(due)} == {SECOND}
