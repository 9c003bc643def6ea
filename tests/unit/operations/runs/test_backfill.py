"""Backfills on the ports in memory: each due time runs once, and progress is followed."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.adapters.memory.state import MemoryState, RunRow
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.ids import run_id
from activityctl.errors import ConflictError, NotFoundError, UsageError, WaitTimeoutError
from activityctl.operations.runs.backfill import (
    BackfillPreview,
    BackfillRequest,
    follow,
    preview_backfill,
    progress_of,
    start_backfill,
)

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
DAILY = {"name": "daily", "cron": {"schedule": "0 8 * * *"}}
HOURLY = {"name": "hourly", "interval": {"every": "1h"}}


class World:
    """A subscription `mine`, with a clock that is always at NOW."""

    def __init__(self, *triggers: dict[str, Any]) -> None:
        self.state = MemoryState()
        self.state.catalog.clock = lambda: NOW
        self.ports: MemoryPorts = memory_ports(self.state)
        self._triggers = list(triggers)

    async def apply(self) -> "World":
        spec = {"triggers": self._triggers, "tasks": [{"name": "a", "say": {}}]}
        definition = ActivityDefinition.model_validate_json(
            json.dumps({"metadata": {"name": "digest"}, "spec": spec})
        )
        manifest = SubscriptionManifest.model_validate_json(
            json.dumps({"metadata": {"name": "mine"}, "spec": {"activity": "digest"}})
        )
        async with self.ports.catalog.changing():
            wanted = Wanted({"digest": definition}, {"mine": manifest})
            plan = plan_changes(wanted, await self.ports.catalog.present())
            await self.ports.catalog.write(plan, NOW)
        self.decide_up_to(NOW)
        return self

    def decide_up_to(self, cursor: datetime) -> None:
        schedules = self.state.catalog.schedules
        for key, row in schedules.items():
            schedules[key] = replace(row, cursor=cursor)

    async def preview(self, trigger: str | None = None, **request: Any) -> BackfillPreview:
        wanted = {"first": FIRST, "last": NOW, "only_missed": False, "max_parallel": 2, **request}
        owner = await self.ports.catalog.find_subscription("mine")
        ports = self.ports
        return await preview_backfill(
            ports.catalog,
            ports.register,
            ports.backfills,
            owner,
            BackfillRequest(trigger, **wanted),
        )

    async def set_status(self, status: SubscriptionStatus) -> None:
        owner = await self.ports.catalog.find_subscription("mine")
        row = self.state.catalog.subscriptions[owner.id]
        self.state.catalog.subscriptions[owner.id] = replace(row, status=status)
        for key, schedule in self.state.catalog.schedules.items():
            is_active = status is SubscriptionStatus.ACTIVE
            self.state.catalog.schedules[key] = replace(schedule, is_active=is_active)

    def end_released(self, status: RunStatus) -> int:
        """End every released firing, as a worker would; return how many."""
        ended = 0
        for row in self.state.firings.values():
            firing = row.firing
            key = run_id(firing.subscription_id, firing.trigger, firing.firing_key)
            if row.fires_at is not None and key not in self.state.runs:
                run = Run(
                    id=key,
                    subscription_id=firing.subscription_id,
                    subscription="mine",
                    definition="digest",
                    revision_id=next(iter(self.state.catalog.revisions.values())).id,
                    trigger=firing.trigger,
                    firing_key=firing.firing_key,
                    due_at=firing.due_at,
                    status=status,
                    created_at=NOW,
                    ended_at=NOW,
                )
                self.state.runs[key] = RunRow(run, firing.ref.workflow_id)
                ended += 1
        return ended


async def test_the_only_cron_trigger_need_not_be_named():
    world = await World(DAILY).apply()
    found = await world.preview()
    assert found.backfill.trigger == "daily"
    assert [f"{nominal:%d %H:%M}" for nominal in found.choice.to_run] == [
        f"{day:02} 08:00" for day in range(1, 11)
    ]


async def test_one_of_several_triggers_must_be_named_and_exist():
    world = await World(DAILY, HOURLY).apply()
    with pytest.raises(UsageError, match="daily, hourly"):
        await world.preview()
    with pytest.raises(NotFoundError) as unknown:
        await world.preview("weekly")
    assert "daily, hourly" in str(unknown.value.hint)
    assert (await world.preview("hourly")).backfill.trigger == "hourly"
    with pytest.raises(UsageError, match="no cron or interval trigger"):
        await (await World().apply()).preview()


async def test_a_repeat_adds_nothing_also_with_another_range():
    world = await World(DAILY).apply()
    assert (await start_backfill(world.ports.backfills, await world.preview())).added == 10
    assert (await start_backfill(world.ports.backfills, await world.preview())).added == 0
    shifted = await world.preview(first=FIRST - timedelta(days=2, minutes=3))
    assert (await start_backfill(world.ports.backfills, shifted)).added == 2


async def test_times_that_ran_since_the_preview_do_not_run_again():
    world = await World(DAILY).apply()
    early = await world.preview()
    await start_backfill(world.ports.backfills, await world.preview(max_parallel=10))
    await world.ports.backfills.release(100)
    assert world.end_released(RunStatus.SUCCEEDED) == 10
    recorded = await start_backfill(world.ports.backfills, early)
    assert (recorded.choice.to_run, recorded.added) == ((), 0)


async def test_progress_counts_new_and_unfinished_firings_and_no_finished_ones():
    world = await World(DAILY).apply()
    backfills = world.ports.backfills
    await start_backfill(
        backfills, await world.preview(last=NOW - timedelta(days=5), max_parallel=9)
    )
    await backfills.release(100)
    assert world.end_released(RunStatus.FAILED) == 5
    await start_backfill(
        backfills, await world.preview(last=NOW - timedelta(days=3), max_parallel=9)
    )
    assert await backfills.release(100) == 2
    recorded = await start_backfill(backfills, await world.preview())
    progress = await progress_of(backfills, recorded)
    assert (recorded.added, progress.total, progress.failed) == (3, 5, 0)
    assert (progress.starting, progress.held) == (2, 3)


async def test_a_repeat_of_the_same_range_counts_all_its_firings():
    world = await World(DAILY).apply()
    backfills = world.ports.backfills
    await start_backfill(backfills, await world.preview(max_parallel=10))
    await backfills.release(100)
    world.end_released(RunStatus.FAILED)
    recorded = await start_backfill(backfills, await world.preview())
    progress = await progress_of(backfills, recorded)
    assert (recorded.added, progress.total, progress.failed) == (0, 10, 10)


async def test_times_before_the_subscription_existed_are_counted():
    world = await World(DAILY).apply()
    assert (await world.preview()).before_it_existed == 10
    early = NOW - timedelta(days=3)
    for key, row in world.state.catalog.subscriptions.items():
        world.state.catalog.subscriptions[key] = replace(row, created_at=early)
    assert (await world.preview()).before_it_existed == 7


async def test_due_times_that_are_not_decided_yet_are_left_to_the_schedule():
    world = await World(DAILY).apply()
    world.decide_up_to(NOW - timedelta(days=2))
    found = await world.preview()
    assert len(found.choice.to_run) == 8
    assert {why for _, why in found.choice.left_out} == {"not decided yet; left to its schedule"}


async def test_a_paused_subscription_can_be_backfilled_and_a_deleted_one_cannot():
    world = await World(DAILY).apply()
    world.decide_up_to(NOW - timedelta(days=2))
    await world.set_status(SubscriptionStatus.PAUSED)
    assert len((await world.preview()).choice.to_run) == 10
    await world.set_status(SubscriptionStatus.DELETED)
    with pytest.raises(ConflictError):
        await world.preview()


async def test_following_reports_progress_until_all_firings_have_ended():
    world = await World(DAILY).apply()
    found = await world.preview(max_parallel=4)
    recorded = await start_backfill(world.ports.backfills, found)
    ended: list[int] = []
    statuses = iter([RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.SUCCEEDED])

    async def work() -> None:
        while await world.ports.backfills.release(100):
            await asyncio.sleep(0.2)
            world.end_released(next(statuses))

    worker = asyncio.create_task(work())
    progress = await follow(
        world.ports.backfills,
        recorded,
        timeout_seconds=20,
        on_progress=lambda progress: ended.append(progress.ended),
    )
    await worker
    assert (progress.total, progress.failed, progress.is_over) == (10, 4, True)
    assert ended == sorted(ended)
    assert ended[-1] == 10


async def test_following_ends_when_time_is_up_with_the_number_of_open_firings():
    world = await World(DAILY).apply()
    found = await world.preview()
    recorded = await start_backfill(world.ports.backfills, found)
    with pytest.raises(WaitTimeoutError, match="10 of 10 firings have not ended"):
        await follow(world.ports.backfills, recorded, timeout_seconds=0, on_progress=lambda _: None)
