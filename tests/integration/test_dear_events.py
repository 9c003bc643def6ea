"""A stranger's event that is much work: the worker answers, and running tasks are left alone."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
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
from activityctl.domain.values.selection import Selection
from activityctl.operations.gitops.apply import apply
from activityctl.settings import Settings
from support.dear import CASES
from support.worker import working

LONGEST_STALL = 2.0
"""Seconds; 0.2 on a machine of one's own. Other processes share this one."""


class Heart:
    """Measures how long the event loop does not answer."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def beat(self) -> None:
        while True:
            started = time.monotonic()
            await asyncio.sleep(0.01)
            self.longest = max(self.longest, time.monotonic() - started - 0.01)


def now() -> datetime:
    return datetime.now(UTC)


def event(kind: str, number: int, data: Mapping[str, Any]) -> EventEnvelope:
    """Make an event; its source is one that no other test uses, since all share one Temporal."""
    head = {"specversion": "1.0", "source": f"/{uuid.uuid4()}", "type": kind, "id": str(number)}
    return envelope_of({**head, "data": data})


async def subscribe(ports: wiring.Ports, **specs: Mapping[str, Any]) -> None:
    """Apply a definition and a subscription for each of these specs."""
    definitions, subscriptions = {}, {}
    for name, spec in specs.items():
        named = {"metadata": {"name": name}}
        definitions[name] = ActivityDefinition.model_validate_json(
            json.dumps({**named, "spec": spec})
        )
        subscriptions[name] = SubscriptionManifest.model_validate(
            {**named, "spec": {"activity": name}}
        )
    wanted = ManifestSet(definitions, subscriptions, {})
    applied = await apply(
        wanted, ports.catalog, ports.register, ports.workers, now, timeout_seconds=60
    )
    assert not applied.errors


def spec(kind: str, script: str = "true", **fields: Any) -> dict[str, Any]:
    trigger = {"name": "t", "event": {"type": kind, **fields.pop("event", {})}}
    return {
        "triggers": [trigger],
        "tasks": [{"name": "one", "command": {"shell": script}}],
    } | fields


async def runs_of(ports: wiring.Ports, name: str) -> list[Run]:
    runs = await ports.run_lists.runs(Selection(limit=100))
    return [run for run in runs if run.subscription == name]


async def ended(ports: wiring.Ports, name: str, count: int, seconds: float = 120) -> list[Run]:
    async with asyncio.timeout(seconds):
        while True:
            runs = await runs_of(ports, name)
            if len(runs) >= count and all(run.has_ended for run in runs):
                return runs
            await asyncio.sleep(0.05)


async def test_the_worker_answers_while_an_event_is_much_work(
    settings: Settings, ports: wiring.Ports, tmp_path: Path
) -> None:
    source, data = CASES["in"]
    starts = tmp_path / "starts"
    await subscribe(
        ports,
        bad=spec("bad", event={"filter": source}),
        slow=spec("slow", f"echo started >> {starts}; sleep 8"),
        good=spec("good"),
    )
    heart = Heart()
    async with working(settings):
        await ports.events.add([event("slow", 1, {})])
        async with asyncio.timeout(60):
            while not starts.exists():
                await asyncio.sleep(0.05)
        beating = asyncio.create_task(heart.beat())
        bad = [event("bad", number, data) for number in range(3)]
        await ports.events.add(bad)
        await ports.events.add([event("good", 1, {})])
        started = time.monotonic()
        await ended(ports, "good", 1)
        took = time.monotonic() - started
        (slow,) = await ended(ports, "slow", 1)
        beating.cancel()
    print(f"longest stall {heart.longest * 1000:.0f} ms, another event ran after {took:.1f} s")
    assert slow.status is RunStatus.SUCCEEDED
    assert starts.read_text().split() == ["started"]
    assert await runs_of(ports, "bad") == []
    verdicts = await ports.events.verdicts([each.event_id for each in bad])
    assert [verdict.outcome for verdict in verdicts] == ["error"] * 3
    assert all("too much work: " in str(verdict.reason) for verdict in verdicts)
    assert heart.longest < LONGEST_STALL


@pytest.mark.parametrize("case", ["in", "list +"])
async def test_rules_templates_and_keys_that_are_much_work_fail_their_run(
    settings: Settings, ports: wiring.Ports, case: str
) -> None:
    source, data = CASES[case]
    template = f"${{ {source} }}"
    await subscribe(
        ports,
        rule=spec("bad", rules=[{"when": source}]),
        template=spec("bad", tasks=[{"name": "one", "command": {"argv": ["echo", template]}}]),
        key=spec("bad", concurrency={"policy": "queue", "key": template}),
        when=spec("bad", tasks=[{"name": "one", "when": source, "command": {"argv": ["true"]}}]),
    )
    heart = Heart()
    async with working(settings):
        beating = asyncio.create_task(heart.beat())
        await ports.events.add([event("bad", 1, data)])
        for name in ("rule", "template", "key", "when"):
            (run,) = await ended(ports, name, 1)
            assert run.status is RunStatus.FAILED
            assert "too much work: " in str(run.reason), name
        beating.cancel()
    print(f"longest stall {heart.longest * 1000:.0f} ms")
    assert heart.longest < LONGEST_STALL
