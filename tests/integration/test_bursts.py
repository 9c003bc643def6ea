"""The runs of a burst share workflows, and each run behaves as if it had its own."""

import asyncio
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.operations.gitops.apply import apply
from activityctl.operations.runs.actions import cancel
from activityctl.settings import Settings
from support.worker import working

MANY = 45


@pytest.fixture
def name() -> str:
    """A name that no other test uses, because all tests share one Temporal."""
    return f"burst-{uuid.uuid4().hex[:8]}"


def now() -> datetime:
    return datetime.now(UTC)


async def subscribe(ports: wiring.Ports, name: str, **spec: Any) -> None:
    named = {"metadata": {"name": name}}
    definition = ActivityDefinition.model_validate_json(json.dumps({**named, "spec": spec}))
    manifest = SubscriptionManifest.model_validate({**named, "spec": {"activity": name}})
    wanted = ManifestSet({name: definition}, {name: manifest}, {})
    await apply(wanted, ports.catalog, ports.register, ports.workers, now, timeout_seconds=60)


async def request_runs(ports: wiring.Ports, name: str, count: int) -> list[ids.RunId]:
    owner = ids.subscription_id(name)
    firings = [
        FiringRequest(owner, "manual", f"key-{number}", now(), {"number": number})
        for number in range(count)
    ]
    await ports.outbox.add(firings, now())
    return [firing.ref.run_id for firing in firings]


async def ended(ports: wiring.Ports, run_ids: list[ids.RunId]) -> list[Run]:
    """Wait until all runs have ended, and return them in the order of their firings."""
    async with asyncio.timeout(60):
        while True:
            runs = {run.id: run for run in await ports.run_lists.runs_of(run_ids)}
            if len(runs) == len(run_ids) and all(run.has_ended for run in runs.values()):
                return [runs[run_id] for run_id in run_ids]
            await asyncio.sleep(0.05)


async def workflows(ports: wiring.Ports, run_ids: list[ids.RunId]) -> list[str]:
    database = ports.runs._database  # type: ignore[attr-defined]  # no port returns the workflow of a run
    rows = await database.fetch("SELECT workflow_id FROM runs WHERE id = ANY(%(ids)s)", ids=run_ids)
    return sorted({row["workflow_id"] for row in rows})


async def test_the_runs_of_a_burst_share_workflows_and_each_has_its_own_tasks(
    settings: Settings, ports: wiring.Ports, name: str
) -> None:
    say = {"command": {"argv": ["echo", "${ trigger.payload.number }"]}}
    tasks = [{"name": "say", **say}, {"name": "again", "needs": ["say"], **say}]
    await subscribe(ports, name, tasks=tasks)
    run_ids = await request_runs(ports, name, MANY)
    async with working(settings):
        runs = await ended(ports, run_ids)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    shared = await workflows(ports, run_ids)
    assert len(shared) <= MANY / 10
    assert all(ids.is_batch(workflow) for workflow in shared)
    found = await ports.run_lists.tasks(Selection(limit=1000))
    printed = sorted(int(task.output["stdout"]) for task in found)
    assert printed == sorted([*range(MANY), *range(MANY)])


async def test_a_failed_and_a_cancelled_run_do_not_affect_the_others_of_a_burst(
    settings: Settings, ports: wiring.Ports, name: str
) -> None:
    script = 'case "${ trigger.payload.number }" in 3) exit 1;; 5) sleep 60;; esac'
    await subscribe(ports, name, tasks=[{"name": "one", "command": {"shell": script}}])
    run_ids = await request_runs(ports, name, 12)
    others = [run_id for number, run_id in enumerate(run_ids) if number != 5]
    async with working(settings):
        await ended(ports, others)
        await cancel(ports.runs, ports.run_lists, run_ids[5], now())
        runs = await ended(ports, run_ids)
    assert len(await workflows(ports, run_ids)) == 1
    statuses = [run.status for run in runs]
    assert statuses[3] is RunStatus.FAILED
    assert statuses[5] is RunStatus.CANCELLED
    assert statuses.count(RunStatus.SUCCEEDED) == 10


async def test_a_run_that_times_out_does_not_stop_the_others_of_a_burst(
    settings: Settings, ports: wiring.Ports, name: str
) -> None:
    script = 'test "${ trigger.payload.number }" != 2 || sleep 60'
    task = {"name": "one", "command": {"shell": script}}
    await subscribe(ports, name, timeout="3s", tasks=[task])
    run_ids = await request_runs(ports, name, 8)
    async with working(settings):
        runs = await ended(ports, run_ids)
    statuses = [run.status for run in runs]
    assert statuses[2] is RunStatus.TIMED_OUT
    assert statuses.count(RunStatus.SUCCEEDED) == 7


async def test_a_worker_that_stops_amid_a_burst_leaves_the_rest_and_keeps_max_tasks(
    settings: Settings, ports: wiring.Ports, name: str, tmp_path: Path
) -> None:
    begun, go_on = tmp_path / "begun", tmp_path / "go-on"
    begun.mkdir()
    script = (
        f'touch "{begun}/${{ trigger.payload.number }}"; '
        f"for first in 1 2 3; do mkdir {tmp_path}/$first 2>/dev/null && exit; done; "
        f"until test -e {go_on}; do sleep 0.05; done"
    )
    await subscribe(ports, name, tasks=[{"name": "one", "command": {"shell": script}}])
    run_ids = await request_runs(ports, name, 14)
    few = replace(settings, max_tasks=3)
    async with working(few):
        async with asyncio.timeout(60):
            while len(list(begun.iterdir())) < 6:  # a short list
                await asyncio.sleep(0.05)
        asyncio.get_running_loop().call_later(1.0, go_on.touch)
    left = [run for run in await ports.run_lists.runs_of(run_ids) if not run.has_ended]
    assert len(left) >= 8, "a worker that stops has begun what had no place"
    async with working(few):
        runs = await ended(ports, run_ids)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    assert len(await workflows(ports, run_ids)) == 1
    tasks = await ports.run_lists.tasks(Selection(limit=1000))
    assert [task.attempts for task in tasks] == [1] * len(run_ids)
    begins = [(task.started_at, 1) for task in tasks if task.started_at]
    ends = [(task.ended_at, -1) for task in tasks if task.ended_at]
    assert max(accumulate(change for _, change in sorted(begins + ends))) <= few.max_tasks


async def test_a_burst_with_a_concurrency_limit_is_queued(
    settings: Settings, ports: wiring.Ports, name: str
) -> None:
    await subscribe(
        ports,
        name,
        concurrency={"policy": "queue", "limit": 1},
        tasks=[{"name": "one", "command": {"shell": "sleep 0.05"}}],
    )
    run_ids = await request_runs(ports, name, 10)
    async with working(settings):
        runs = await ended(ports, run_ids)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    spans = sorted((run.started_at, run.ended_at) for run in runs if run.started_at)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
