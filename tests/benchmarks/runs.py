"""Measure one-task runs per second, and compare with one-activity workflows of the bare SDK.

    python tests/benchmarks/runs.py [--runs 300] [--rounds 3] [--task command] [--soak 5000]

Both sides work in turns on the same new embedded servers. The baseline is the SDK's default worker
(sandboxed) with one empty activity at concurrency 50. Ours is `activityctl worker` with one-task
runs from the outbox, with all writes to Postgres. Prints medians over the rounds, the ratio, CPU
by process, idle latency and history events.
"""

import argparse
import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from bed import carry_out, in_turns, now, shown, worker_of

    from activityctl import wiring
    from activityctl.domain.gitops.manifest_set import ManifestSet
    from activityctl.domain.manifests.definition import ActivityDefinition
    from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
    from activityctl.domain.timing.firing import FiringRequest
    from activityctl.domain.values.finding import Finding
    from activityctl.domain.values.selection import Selection
    from activityctl.errors import Problem
    from activityctl.operations.gitops.apply import apply
    from activityctl.settings import load_settings

CONCURRENCY = 50
BODIES = {
    "command": {"command": {"argv": ["true"]}},
    "http": {"http": {"url": "/healthz"}},
}


@activity.defn
async def raw_activity() -> None:
    """Do nothing."""


@workflow.defn
class RawWorkflow:
    """The bare SDK's smallest workflow with an activity."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(raw_activity, start_to_close_timeout=timedelta(seconds=10))


async def raw_round(client: Client, count: int) -> float:
    """Return the workflows per second of the bare SDK."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def execute() -> None:
        async with gate:
            await client.execute_workflow(
                RawWorkflow.run, id=f"raw-{uuid.uuid4()}", task_queue="raw"
            )

    async with Worker(client, task_queue="raw", workflows=[RawWorkflow], activities=[raw_activity]):
        start = time.perf_counter()
        await asyncio.gather(*(execute() for _ in range(count)))
        return count / (time.perf_counter() - start)


async def our_round(ports: wiring.Ports, subscription: Subscription, count: int) -> float:
    """Return our runs per second, from the first stored firing to the last ended run."""
    start = time.perf_counter()
    began = now()
    await ports.outbox.add(firings(subscription, count), now())
    while True:
        await asyncio.sleep(0.02)
        if await ended(ports, began) >= count:
            return count / (time.perf_counter() - start)


async def ended(ports: wiring.Ports, since: datetime) -> int:
    database = ports.runs._database
    row = await database.fetch_one(
        "SELECT count(*) AS n FROM runs WHERE created_at >= %(since)s AND status = 'succeeded'",
        since=since,
    )
    return int(row["n"])


def firings(subscription: Subscription, count: int) -> list[FiringRequest]:
    return [
        FiringRequest(subscription.id, "manual", f"manual/{uuid.uuid4()}", now())
        for _ in range(count)
    ]


async def idle_latencies(
    ports: wiring.Ports, subscription: Subscription, count: int
) -> list[float]:
    """Return the milliseconds from a stored firing to its succeeded run, one run at a time."""
    found = []
    for firing in (firings(subscription, 1)[0] for _ in range(count)):
        start = now()
        await ports.outbox.add([firing], start)
        while True:
            runs = await ports.run_lists.runs(Selection(run_id=firing.ref.run_id))
            if runs and runs[0].ended_at:
                found.append((runs[0].ended_at - start).total_seconds() * 1000)
                break
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.05)
    return sorted(found)


def problem_of(finding: Finding) -> Problem:
    return Problem("bench", 0, 0, str(finding.path), finding.reason)


async def prepared(ports: wiring.Ports, task: str, more: Mapping[str, Any] = {}) -> Subscription:
    """Apply a one-task definition, with `more` in its spec, and return its subscription."""
    spec = {"tasks": ({"name": "one", **BODIES[task]},), **more}
    definition = ActivityDefinition.model_validate({"metadata": {"name": "bench"}, "spec": spec})
    manifest = SubscriptionManifest.model_validate(
        {"metadata": {"name": "bench"}, "spec": {"activity": "bench"}}
    )
    locators = {(kind, "bench"): problem_of for kind in ("ActivityDefinition", "Subscription")}
    manifests = ManifestSet({"bench": definition}, {"bench": manifest}, locators)
    await apply(manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=10)
    return await ports.catalog.find_subscription("bench")


async def history_events(client: Client, ports: wiring.Ports) -> float:
    """Return the history events of the last workflow, divided by the number of its runs."""
    database = ports.runs._database
    row = await database.fetch_one(
        """SELECT workflow_id, count(*) OVER (PARTITION BY workflow_id) AS runs
           FROM runs WHERE status = 'succeeded' ORDER BY created_at DESC LIMIT 1"""
    )
    history = await client.get_workflow_handle(row["workflow_id"]).fetch_history()
    return len(history.events) / int(row["runs"])


def resident(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 2**20


async def measure(home: Path, options: argparse.Namespace) -> None:
    """Measure both sides in turns and print the figures."""
    settings = load_settings({"home": home}, dict(os.environ))
    client = await Client.connect(settings.required_temporal_address())
    async with (
        wiring.open_ports(settings, pool_size=4) as ports,
        worker_of(home, ports) as worker,
    ):
        subscription = await prepared(ports, options.task)
        raw = partial(raw_round, client)
        ours = partial(our_round, ports, subscription)
        await raw(50)
        await ours(50)
        await in_turns(home, worker, options, raw, ours)
        print("  (target ratio 1.2)")
        await asyncio.sleep(2)
        shared = await history_events(client, ports)
        latency = await idle_latencies(ports, subscription, 60)
        print(f"idle latency, firing stored to succeeded: {shown(latency)} (target p50 40 ms)")
        alone = await history_events(client, ports)
        print(f"history events a run: {alone:.1f} alone, {shared:.1f} in a burst")
        await soak(worker, options.soak, ours)


async def soak(worker: int, runs: int, ours: Callable[[int], Awaitable[float]]) -> None:
    memory = [resident(worker)]
    for _ in range(runs // 1000):
        await ours(1000)
        memory.append(resident(worker))
    values = ", ".join(f"{value:.0f}" for value in memory)
    print(f"worker memory, MiB, now and after each further 1000 runs: {values} (target 200)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", type=int, default=0, help="additional runs, to measure memory")
    parser.add_argument("--task", choices=sorted(BODIES), default="command")
    carry_out(measure, parser)
