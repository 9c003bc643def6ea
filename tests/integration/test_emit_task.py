"""Chains of automations by `emit` tasks on real servers; a cycle ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.selection import Selection
from activityctl.executors.emit import HOPS, MAX_HOPS
from activityctl.operations.gitops.apply import apply
from activityctl.settings import Settings
from support.worker import working


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    async with working(settings):
        yield


async def subscribe(ports: wiring.Ports, specs: Mapping[str, Mapping[str, Any]]) -> None:
    """Apply a definition of each name with a subscription of the same name."""
    definitions = {
        name: ActivityDefinition.model_validate_json(
            json.dumps({"metadata": {"name": name}, "spec": spec})
        )
        for name, spec in specs.items()
    }
    manifests = {
        name: SubscriptionManifest.model_validate(
            {"metadata": {"name": name}, "spec": {"activity": name}}
        )
        for name in specs
    }
    wanted = ManifestSet(definitions, manifests, {})
    await apply(wanted, ports.catalog, ports.register, ports.workers, now, timeout_seconds=60)


def emits(trigger: str, emitted: str, **emit: Any) -> dict[str, Any]:
    return {
        "triggers": [{"name": "come", "event": {"type": trigger}}],
        "tasks": [{"name": "go", "emit": {"type": emitted, **emit}}],
    }


async def send(ports: wiring.Ports, kind: str, **data: Any) -> None:
    document = {"specversion": "1.0", "id": "first", "source": "/t", "type": kind, "data": data}
    await ports.events.add([envelope_of(document)])


async def ended(ports: wiring.Ports, count: int) -> list[Run]:
    """Wait until `count` runs have ended, and return them, oldest first."""
    async with asyncio.timeout(60):
        while True:
            runs = await ports.run_lists.runs(Selection(limit=1_000))
            if len(runs) >= count and all(run.has_ended for run in runs):
                return runs[::-1]
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("worker")
async def test_a_chain_runs_to_its_end_and_passes_data_on(ports: wiring.Ports):
    data = {"amount": "${ event.data.amount + 1 }"}
    last = {
        "triggers": [{"name": "come", "event": {"type": "c", "source": "/activityctl/second"}}],
        "tasks": [{"name": "say", "command": {"argv": ["echo", "${ event.data.amount }"]}}],
    }
    chain = {"first": emits("a", "b", data=data), "second": emits("b", "c", data=data)}
    await subscribe(ports, {**chain, "third": last})
    await send(ports, "a", amount=1)
    runs = await ended(ports, 3)
    assert [(run.subscription, run.status) for run in runs] == [
        (name, RunStatus.SUCCEEDED) for name in ("first", "second", "third")
    ]
    (task,) = await ports.run_lists.tasks(Selection(run_id=runs[-1].id))
    assert task.output["stdout"] == "3\n"
    assert [run.events[-1].get(HOPS) for run in runs] == [None, 1, 2]
    (emitting,) = await ports.run_lists.tasks(Selection(run_id=runs[0].id))
    expected = {"id": emitting.id, "source": "/activityctl/first", "outcome": "accepted"}
    assert emitting.output == expected


@pytest.mark.usefixtures("worker")
async def test_a_cycle_ends_after_the_most_hops_with_an_error_that_shows_it(ports: wiring.Ports):
    await subscribe(ports, {"ping": emits("ping", "pong"), "pong": emits("pong", "ping")})
    await send(ports, "ping")
    runs = await ended(ports, MAX_HOPS + 1)
    assert len(runs) == MAX_HOPS + 1
    assert [run.status for run in runs] == [
        *[RunStatus.SUCCEEDED] * MAX_HOPS,
        RunStatus.FAILED,
    ]
    assert "this is probably a cycle: ping -> pong -> ping;" in str(runs[-1].reason)
    stored = await ports.events.events(Selection(limit=100))
    events = [each for each in stored if not each.document["type"].startswith("activityctl.")]
    assert len(events) == MAX_HOPS + 1, "the sent event, and one for each hop"
