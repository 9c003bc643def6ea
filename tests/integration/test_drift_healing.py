"""Schedules that others delete, pause, alter or add in Temporal, and what becomes of them."""

import asyncio
import json
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleDescription,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import RetryPolicy
from temporalio.service import RPCError, RPCStatusCode

from activityctl import wiring
from activityctl.daemon.auditor import Auditor
from activityctl.daemon.reconciler import Reconciler
from activityctl.daemon.worker import run_worker
from activityctl.domain import ids
from activityctl.domain.definition import ActivityDefinition
from activityctl.domain.history import UNKNOWN_ORIGIN
from activityctl.domain.logbook import Cursor
from activityctl.domain.manifest import ManifestSet
from activityctl.domain.selection import Selection
from activityctl.domain.subscription import (
    OperatorStatus,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.operations.act import change_status
from activityctl.operations.apply import apply
from activityctl.operations.history import delete
from activityctl.settings import Settings

FAR = {"schedule": "0 3 1 1 *", "timezone": "Europe/Berlin", "jitter": "30s"}
OFTEN = {"name": "often", "cron": FAR}
TASKS = [{"name": "one", "command": {"argv": ["true"]}}]
ALL_KINDS = [
    OFTEN,
    {"name": "either", "cron": {"schedule": "1,3,7,20-50/3 */2 1,15 6 1-5"}},
    {"name": "macro", "cron": {"schedule": "@yearly"}},
    {"name": "sunday", "cron": {"schedule": "0 3 1 1 7", "timezone": "America/New_York"}},
    {"name": "plain", "interval": {"every": "700d"}},
    {"name": "moved", "interval": {"every": "700d", "offset": "90s", "jitter": "1500ms"}},
]


def now() -> datetime:
    return datetime.now(UTC)


class House:
    """One database on the shared Temporal: applies, meddles, audits, looks."""

    def __init__(self, ports: wiring.Ports, client: Client, name: str) -> None:
        self.ports = ports
        self.client = client
        self.name = name
        placer, turn = wiring.build_placer(client), asyncio.Lock()
        self.reconciler = Reconciler(ports.register, placer, now, turn)
        self.auditor = Auditor(ports.register, placer, ports.logbook, now, turn)

    def schedule(self, trigger: str = "often") -> str:
        return ids.schedule_id(ids.subscription_id(self.name), trigger)

    async def apply(self, *triggers: Mapping[str, Any], **params: Any) -> None:
        """Make the definition and its subscription so, and let the reconciler follow."""
        metadata = {"name": self.name}
        spec = {
            "params": {"type": "object", "additionalProperties": True},
            "triggers": triggers or [OFTEN],
            "tasks": TASKS,
        }
        definition = ActivityDefinition.model_validate_json(
            json.dumps({"metadata": metadata, "spec": spec})
        )
        manifest = SubscriptionManifest.model_validate(
            {"metadata": metadata, "spec": {"activity": self.name, "params": params}}
        )
        manifests = ManifestSet({self.name: definition}, {self.name: manifest}, {})
        catalog, register, workers = self.ports.catalog, self.ports.register, self.ports.workers
        await apply(manifests, catalog, register, workers, now, timeout_seconds=0)
        await self.reconciler.reconcile()

    async def set_status(self, status: OperatorStatus) -> None:
        subscription = await self.ports.catalog.find_subscription(self.name)
        await change_status(self.ports.catalog, subscription, status, now())
        await self.reconciler.reconcile()

    async def delete(self) -> None:
        await delete(self.ports.catalog, "Subscription", self.name, now, UNKNOWN_ORIGIN)
        await self.reconciler.reconcile()

    async def describe(self, trigger: str = "often") -> ScheduleDescription | None:
        try:
            return await self.client.get_schedule_handle(self.schedule(trigger)).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return None

    async def alter(self, change: Callable[[Schedule], None], trigger: str = "often") -> None:
        def changed(given: ScheduleUpdateInput) -> ScheduleUpdate:
            change(given.description.schedule)
            return ScheduleUpdate(given.description.schedule)

        await self.client.get_schedule_handle(self.schedule(trigger)).update(changed)

    async def create(self, schedule_id: str, workflow: str = "Foreign") -> None:
        action = ScheduleActionStartWorkflow(workflow, id="x", task_queue="nobody-serves-it")
        spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(days=700))])
        await self.client.create_schedule(schedule_id, Schedule(action=action, spec=spec))

    async def listed(self, schedule_id: str, *, paused: bool | None = None) -> None:
        """Wait until the listing, which lags, shows the schedule; or shows it so."""
        async with asyncio.timeout(60):
            while True:
                async for one in await self.client.list_schedules():
                    assert one.schedule is not None
                    if one.id == schedule_id and paused in {None, one.schedule.state.paused}:
                        return
                await asyncio.sleep(0.05)

    async def told(self) -> list[str]:
        """What the subscription's log says."""
        subscription = ids.subscription_id(self.name)
        page, _ = await self.ports.logbook.page(subscription, Cursor(), limit=100)
        assert {entry.level for entry in page} <= {"warning"}
        return [entry.message for entry in page]


@pytest.fixture
async def house(
    ports: wiring.Ports, settings: Settings, request: pytest.FixtureRequest
) -> AsyncIterator[House]:
    """A subscription named after the test; its schedules are gone when the test is."""
    name = f"drift-{ids.content_hash(request.node.name)[:12]}"
    house = House(ports, await wiring.connect_temporal(settings), name)
    yield house
    async for one in await house.client.list_schedules():
        if ids.subscription_id(name) in one.id:
            await house.client.get_schedule_handle(one.id).delete()


async def test_what_we_placed_has_not_drifted(house: House) -> None:
    await house.apply(*ALL_KINDS)
    for trigger in ALL_KINDS:
        await house.listed(house.schedule(trigger["name"]))
    assert await house.auditor.audit() == 0
    assert await house.told() == []


async def test_a_deleted_schedule_is_created_again(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.apply()
    before = await house.describe()
    await house.client.get_schedule_handle(house.schedule()).delete()
    with caplog.at_level(logging.WARNING, logger="activityctl"):
        assert await house.auditor.audit() == 1
    after = await house.describe()
    assert before is not None
    assert after is not None
    assert after.schedule.spec == before.schedule.spec
    message = "schedule often was deleted behind our back; created again"
    assert await house.told() == [message]
    assert message in caplog.messages
    assert await house.auditor.audit() == 0


async def test_a_pause_behind_our_back_is_undone(house: House) -> None:
    await house.apply()
    await house.client.get_schedule_handle(house.schedule()).pause(note="by hand")
    await house.listed(house.schedule(), paused=True)
    assert await house.auditor.audit() == 1
    found = await house.describe()
    assert found is not None
    assert not found.schedule.state.paused
    assert await house.told() == ["schedule often was paused behind our back; resumed"]


async def test_an_operators_pause_is_wanted(house: House) -> None:
    await house.apply()
    await house.set_status(SubscriptionStatus.PAUSED)
    assert await house.auditor.audit() == 0
    await house.client.get_schedule_handle(house.schedule()).unpause()
    assert await house.auditor.audit() == 1
    found = await house.describe()
    assert found is not None
    assert found.schedule.state.paused
    assert await house.told() == ["schedule often was resumed behind our back; paused again"]


async def test_a_change_of_timing_keeps_an_operators_pause(house: House) -> None:
    await house.apply()
    await house.set_status(SubscriptionStatus.PAUSED)
    await house.apply({"name": "often", "cron": {**FAR, "schedule": "0 4 1 1 *"}})
    found = await house.describe()
    assert found is not None
    assert found.schedule.state.paused
    assert found.schedule.spec.calendars[0].hour == (ScheduleRange(4),)


def earlier(schedule: Schedule) -> None:
    schedule.spec.calendars = [ScheduleCalendarSpec(hour=[ScheduleRange(1)])]


def other_zone(schedule: Schedule) -> None:
    schedule.spec.time_zone_name = "Asia/Tokyo"


def jitter(schedule: Schedule) -> None:
    schedule.spec.jitter = timedelta(seconds=30)


def never_in_june(schedule: Schedule) -> None:
    schedule.spec.skip = [ScheduleCalendarSpec(month=[ScheduleRange(6)])]


def until_an_end(schedule: Schedule) -> None:
    schedule.spec.end_at = now() + timedelta(days=1)


def every_second(schedule: Schedule) -> None:
    schedule.spec.calendars = [
        replace(one, second=[ScheduleRange(0, 59)]) for one in schedule.spec.calendars
    ]


def also_hourly(schedule: Schedule) -> None:
    schedule.spec.intervals = [ScheduleIntervalSpec(every=timedelta(hours=1))]


def skip_overlaps(schedule: Schedule) -> None:
    schedule.policy.overlap = ScheduleOverlapPolicy.SKIP


def catch_up_a_year(schedule: Schedule) -> None:
    schedule.policy.catchup_window = timedelta(days=365)


def stop_at_failures(schedule: Schedule) -> None:
    schedule.policy.pause_on_failure = True


def only_three(schedule: Schedule) -> None:
    schedule.state.limited_actions, schedule.state.remaining_actions = True, 3


def other_queue(schedule: Schedule) -> None:
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    schedule.action.task_queue = "nobody-serves-it"


def other_workflow(schedule: Schedule) -> None:
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    schedule.action.workflow = "Foreign"


def other_firing(schedule: Schedule) -> None:
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    schedule.action.args = [{"subscription_id": "another", "trigger": "often"}]


def retried(schedule: Schedule) -> None:
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    schedule.action.retry_policy = RetryPolicy(maximum_attempts=2)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (earlier, "timing"),
        (other_zone, "timing"),
        (jitter, "timing"),
        (never_in_june, "timing"),
        (until_an_end, "timing"),
        (every_second, "timing"),
        (also_hourly, "timing"),
        (skip_overlaps, "overlap policy"),
        (catch_up_a_year, "catch-up window"),
        (stop_at_failures, "pause on failure"),
        (only_three, "limit of actions"),
        (other_queue, "action"),
        (other_workflow, "action"),
        (other_firing, "action"),
        (retried, "action"),
    ],
)
async def test_an_altered_schedule_is_put_back(
    house: House, change: Callable[[Schedule], None], part: str
) -> None:
    await house.apply()
    before = await house.describe()
    await house.alter(change)
    assert await house.auditor.audit() == 1
    after = await house.describe()
    assert before is not None
    assert after is not None
    assert after.raw_description.schedule == before.raw_description.schedule
    assert await house.told() == [f"schedule often was altered ({part}) behind our back; put back"]
    assert await house.auditor.audit() == 0


async def test_only_schedules_that_were_ours_go_when_they_are_orphans(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.apply()
    key = ids.content_hash(house.name)[:8]
    stranger = ids.schedule_id(ids.subscription_id(f"unknown-{house.name}"), "often")
    others = [f"nightly-{key}", f"schedule/{key}", stranger]
    orphan = house.schedule("former")
    for schedule_id in (*others, orphan):
        await house.create(schedule_id)
        await house.listed(schedule_id)
    try:
        with caplog.at_level(logging.WARNING, logger="activityctl"):
            assert await house.auditor.audit() == 1
            assert await house.auditor.audit() == 0
        for schedule_id in others:
            await house.client.get_schedule_handle(schedule_id).describe()
    finally:
        for schedule_id in others:
            await house.client.get_schedule_handle(schedule_id).delete()
    assert await house.describe("former") is None
    assert await house.describe() is not None
    assert await house.told() == ["schedule former was created behind our back; deleted"]
    warnings = [text for text in caplog.messages if "left alone" in text]
    assert len(warnings) == 1


async def test_a_schedule_of_a_deleted_subscription_that_returns_is_an_orphan(
    house: House,
) -> None:
    await house.apply()
    await house.delete()
    assert await house.describe() is None
    await house.create(house.schedule(), workflow="RunActivity")
    await house.listed(house.schedule())
    assert await house.auditor.audit() == 1
    assert await house.describe() is None


async def test_one_worker_at_a_time_audits(house: House) -> None:
    await house.apply()
    await house.client.get_schedule_handle(house.schedule()).delete()
    async with house.ports.register.auditing() as is_ours:
        assert is_ours
        assert await house.auditor.audit() == 0
    assert await house.auditor.audit() == 1


async def test_a_wish_that_is_not_carried_out_yet_is_left_to_the_reconciler(
    house: House,
) -> None:
    await house.apply()
    subscription = await house.ports.catalog.find_subscription(house.name)
    await change_status(house.ports.catalog, subscription, SubscriptionStatus.PAUSED, now())
    assert await house.auditor.audit() == 0
    assert await house.told() == []
    assert await house.reconciler.reconcile() == 1


async def test_a_change_of_params_alone_touches_nothing_in_temporal(house: House) -> None:
    await house.apply(size=1)
    (row,) = await house.ports.register.schedules(Selection())
    before = await house.describe()
    await house.apply(size=2)
    subscription = await house.ports.catalog.find_subscription(house.name)
    assert subscription.params == {"size": 2}
    assert await house.ports.register.schedules(Selection()) == [row]
    assert row.observed_at is not None
    after = await house.describe()
    assert before is not None
    assert after is not None
    assert after.info.last_updated_at is None
    assert after.raw_description.conflict_token == before.raw_description.conflict_token


async def test_a_starting_worker_heals_what_was_done_while_none_ran(
    house: House, settings: Settings
) -> None:
    await house.apply()
    await house.client.get_schedule_handle(house.schedule()).delete()
    async with working(settings):
        await until(house.describe, 10)
        await until(house.told, 5)
    assert await house.told() == ["schedule often was deleted behind our back; created again"]


@pytest.mark.slow
async def test_a_thousand_schedules_are_audited_in_a_few_seconds(house: House) -> None:
    triggers = [{"name": f"t{n}", "interval": {"every": f"{700 + n}d"}} for n in range(1000)]
    await house.apply(*triggers)
    while await house.ports.register.drifted(1):
        await house.reconciler.reconcile()
    for number in (3, 500, 999):
        handle = house.client.get_schedule_handle(house.schedule(f"t{number}"))
        await (handle.delete() if number == 500 else handle.pause())
    await house.listed(house.schedule("t999"), paused=True)
    began = time.monotonic()
    assert await house.auditor.audit() == 3
    print(f"1,000 schedules were audited and 3 healed in {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 20  # two seconds on a machine that is not busy
    assert sorted(await house.told()) == [
        "schedule t3 was paused behind our back; resumed",
        "schedule t500 was deleted behind our back; created again",
        "schedule t999 was paused behind our back; resumed",
    ]


async def until(ask: Callable[[], Awaitable[object]], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await ask():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """Run the real worker in this loop; it is stopped as `down` stops it."""
    ready = asyncio.Event()
    worker = asyncio.create_task(run_worker(settings, on_ready=ready.set))
    async with asyncio.timeout(30):
        await ready.wait()
    try:
        yield
    finally:
        signal.raise_signal(signal.SIGTERM)
        await worker
