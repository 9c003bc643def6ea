"""From an event to its runs, with a real worker, Postgres and Temporal."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.ids import subscription_id
from activityctl.domain.values.selection import Selection
from activityctl.operations.gitops.apply import apply
from activityctl.settings import Settings
from support.worker import working

MakeEvent = Callable[..., EventEnvelope]


@pytest.fixture
def event() -> MakeEvent:
    """Make events that no other test uses, because all tests share one Temporal."""
    head = {"specversion": "1.0", "source": f"/shops/{uuid.uuid4()}", "type": "order.paid"}

    def make(number: int, **data: Any) -> EventEnvelope:
        return envelope_of({**head, "id": str(number), "data": {"number": number, **data}})

    return make


def now() -> datetime:
    return datetime.now(UTC)


async def subscribe(ports: wiring.Ports, *names: str, **spec: Any) -> None:
    """Apply a definition with a trigger for paid orders, and subscriptions with these names."""
    body = {"triggers": [{"name": "paid", "event": {"type": "order.paid"}}], **spec}
    whole = {"metadata": {"name": "sample"}, "spec": body}
    definition = ActivityDefinition.model_validate_json(json.dumps(whole))
    manifests = {
        name: SubscriptionManifest.model_validate(
            {"metadata": {"name": name}, "spec": {"activity": "sample"}}
        )
        for name in names
    }
    wanted = ManifestSet({"sample": definition}, manifests, {})
    await apply(wanted, ports.catalog, ports.register, ports.workers, now, timeout_seconds=60)


async def ended(ports: wiring.Ports, count: int, seconds: float = 120) -> list[Run]:
    """Wait until `count` runs have ended, and return them in the order of their creation."""
    async with asyncio.timeout(seconds):
        while True:
            runs = await ports.run_lists.runs(Selection(limit=1000))
            if len(runs) >= count and all(run.has_ended for run in runs):
                return sorted(runs, key=lambda run: (run.created_at, run.id))
            await asyncio.sleep(0.05)


def shell(script: str) -> Mapping[str, Any]:
    number = {"NUMBER": "${ string(event.data.number) }"}
    return {"tasks": [{"name": "one", "command": {"shell": script, "env": number}}]}


async def test_each_matching_subscription_gets_one_run_with_the_event(
    settings: Settings, ports: wiring.Ports, event: MakeEvent
) -> None:
    await subscribe(ports, "a", "b", **shell('echo "${ event.data.number }"'))
    async with working(settings):
        await ports.events.add([event(1), event(2)])
        await ports.events.add([event(1)])
        runs = await ended(ports, 4)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    wanted = {(name, event(number).event_id) for name in "ab" for number in (1, 2)}
    assert {(run.subscription, run.firing_key) for run in runs} == wanted
    assert len(runs) == 4
    tasks = await ports.run_lists.tasks(Selection(limit=100))
    printed = sorted(task.output["stdout"].strip() for task in tasks)
    assert printed == ["1", "1", "2", "2"]


async def test_events_that_were_stored_before_the_worker_started_get_their_runs(
    settings: Settings, ports: wiring.Ports, event: MakeEvent
) -> None:
    await subscribe(ports, "a", **shell("true"))
    await ports.events.add([event(number) for number in range(20)])
    async with working(settings):
        runs = await ended(ports, 20)
    assert {run.firing_key for run in runs} == {event(number).event_id for number in range(20)}


async def test_ordered_runs_of_one_customer_keep_the_order_of_the_events(
    settings: Settings, ports: wiring.Ports, event: MakeEvent, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    await subscribe(
        ports,
        "a",
        triggers=[{"name": "paid", "event": {"type": "order.paid", "ordered": True}}],
        concurrency={"policy": "queue", "key": "${ event.data.customer }"},
        **shell(f"echo + $NUMBER >> {marks}; sleep 0.05; echo - $NUMBER >> {marks}"),
    )
    events = [event(number, customer="xyz"[number % 3]) for number in range(24)]
    async with working(settings):
        await ports.events.add(events)
        runs = await ended(ports, 24)
    by_id = {event.event_id: event for event in events}
    for customer in "xyz":
        own = [run for run in runs if run.concurrency_key == customer]
        made = [by_id[run.firing_key].document["data"]["number"] for run in own]
        wanted = [number for number in range(24) if "xyz"[number % 3] == customer]
        assert made == wanted
        happened = [mark for mark in marks.read_text().splitlines() if int(mark[2:]) in wanted]
        assert happened == [f"{sign} {number}" for number in wanted for sign in "+-"]
    assert {run.subscription_id for run in runs} == {subscription_id("a")}


async def test_two_workers_share_the_events_and_no_event_runs_twice(
    settings: Settings, ports: wiring.Ports, event: MakeEvent
) -> None:
    await subscribe(ports, "a", **shell("true"))
    events = [event(number) for number in range(40)]

    async def emit() -> None:
        for first in range(0, len(events), 5):
            await ports.events.add(events[first : first + 5])

    second = await asyncio.create_subprocess_exec(*_worker_command(settings), env=_env(settings))
    try:
        async with working(settings):
            await emit()
            runs = await ended(ports, 40)
    finally:
        second.terminate()
        await second.wait()
    assert sorted(run.firing_key for run in runs) == sorted(event.event_id for event in events)


def _worker_command(settings: Settings) -> list[str]:
    return [sys.executable, "-m", "activityctl", "--home", str(settings.home), "worker"]


def _env(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "ACTIVITYCTL_DATABASE_URL": settings.required_database_url(),
        "ACTIVITYCTL_TEMPORAL_ADDRESS": settings.required_temporal_address(),
        "ACTIVITYCTL_ALLOW_COMMANDS": "true",
    }


async def test_a_burst_of_events_goes_through_a_queue_in_the_order_of_arrival(
    settings: Settings, ports: wiring.Ports, event: MakeEvent, tmp_path: Path
) -> None:
    count = 60  # several pages of what waits, and of what a worker starts at once
    go, marks = tmp_path / "go", tmp_path / "marks"
    script = f"until [ -e {go} ]; do sleep 0.1; done; echo + $NUMBER >> {marks}"
    script += f"; echo - $NUMBER >> {marks}"
    await subscribe(ports, "a", concurrency={"policy": "queue"}, **shell(script))
    await ports.events.add([event(number) for number in range(count)])
    async with working(settings):
        async with asyncio.timeout(150):
            queued = Selection(statuses=("queued",), limit=1000)
            while len(await ports.run_lists.runs(queued)) < count - 1:
                await asyncio.sleep(0.1)
        go.touch()
        runs = await ended(ports, count, 150)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    happened = marks.read_text().splitlines()
    first = int(happened[0][2:])  # the one that came to the queue when it was empty
    numbers = [first, *(number for number in range(count) if number != first)]
    assert happened == [f"{sign} {number}" for number in numbers for sign in "+-"]
