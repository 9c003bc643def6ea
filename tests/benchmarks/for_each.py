"""Measure one run whose forEach has ten thousand items, and what a task costs besides its executor.

    python tests/benchmarks/for_each.py [--items 10000] [--parallel 20]

Each item is `command: true`. Prints the time of the run, the time for each item, the CPU by
process, the peak of the worker's memory, and the events and the size of the workflow's history.
Then 200 items run one at a time, and their executor beside them, to tell the overhead of a task.
"""

import argparse
import asyncio
import json
import os
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from bed import carry_out, now, percentile, processes, worker_of
from temporalio.client import Client

from activityctl import wiring
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.timing.firing import FiringRequest
from activityctl.operations.gitops.apply import apply
from activityctl.ports import TaskCall
from activityctl.settings import Settings, load_settings

BODY = {"argv": ["true"]}
TARGET_MIB = 300
TARGET_MS = 15


async def prepared(ports: wiring.Ports, name: str, items: int, parallel: int) -> Subscription:
    """Apply the definition and its subscription; return the subscription."""
    task = {
        "name": "each",
        "forEach": "${ params.items }",
        "maxParallel": parallel,
        "command": BODY,
    }
    spec: dict[str, Any] = {
        "params": {"type": "object", "properties": {"items": {"type": "array"}}},
        "tasks": [task],
    }
    definition = ActivityDefinition.model_validate_json(
        json.dumps({"metadata": {"name": name}, "spec": spec})
    )
    subscription = SubscriptionManifest.model_validate(
        {
            "metadata": {"name": name},
            "spec": {"activity": name, "params": {"items": list(range(items))}},
        }
    )
    manifests = ManifestSet({name: definition}, {name: subscription}, {})
    applied = await apply(
        manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=20
    )
    assert not applied.errors, applied.errors
    return await ports.catalog.find_subscription(name)


async def measure(home: Path, options: argparse.Namespace) -> None:
    """Run the forEach and print the figures."""
    settings = load_settings({"home": home}, dict(os.environ))
    client = await Client.connect(settings.required_temporal_address())
    async with (
        wiring.open_ports(settings, pool_size=2) as ports,
        worker_of(home, ports) as worker,
    ):
        subscription = await prepared(ports, "many", options.items, options.parallel)
        firing = FiringRequest(subscription.id, "manual", f"manual/{uuid.uuid4()}", now())
        before, began = processes(home, worker), time.perf_counter()
        await ports.outbox.add([firing], now())
        peak, status = 0.0, ""
        while status not in {"succeeded", "failed", "timed_out"}:
            await asyncio.sleep(0.2)
            peak = max(peak, psutil.Process(worker).memory_info().rss / 2**20)
            status = await status_of(ports, firing)
        took = time.perf_counter() - began
        after = processes(home, worker)
        print(
            f"{options.items} items: {status} in {took:.1f} s, {took / options.items * 1e3:.1f} ms"
        )
        for name in after:
            print(
                f"CPU an item, {name}: {(after[name] - before[name]) / options.items * 1e3:.1f} ms"
            )
        print(f"worker memory, peak: {peak:.0f} MiB (target {TARGET_MIB})")
        await print_history(client, firing)
        found = await turns(ports, firing)
        print(
            f"an item, with its executor: p50 {percentile(found, 0.5):.0f} ms, "
            f"p95 {percentile(found, 0.95):.0f} ms"
        )
        await print_overhead(settings, ports, 60)


async def status_of(ports: wiring.Ports, firing: FiringRequest) -> str:
    row = await ports.runs._database.fetch_one(
        "SELECT status FROM runs WHERE id = %(id)s", id=firing.ref.run_id
    )
    return row["status"] if row else ""


async def print_history(client: Client, firing: FiringRequest) -> None:
    handle = client.get_workflow_handle(firing.ref.workflow_id)
    history = await handle.fetch_history()
    size = sum(event.ByteSize() for event in history.events)
    print(f"history: {len(history.events)} events, {size / 1024:.0f} KiB")


async def turns(ports: wiring.Ports, firing: FiringRequest) -> list[float]:
    """Return the milliseconds from the begin to the end of each item, sorted.

    An item begins in the transaction that ends the one before it in its lane.
    """
    rows = await ports.runs._database.fetch(
        "SELECT started_at, ended_at FROM tasks WHERE run_id = %(id)s", id=firing.ref.run_id
    )
    return sorted((row["ended_at"] - row["started_at"]).total_seconds() * 1e3 for row in rows)


async def print_overhead(settings: Settings, ports: wiring.Ports, seconds: float) -> None:
    """Print what an item costs besides its executor: one after the other, on the same machine."""
    subscription = await prepared(ports, "alone", 200, 1)
    firing = FiringRequest(subscription.id, "manual", f"manual/{uuid.uuid4()}", now())
    await ports.outbox.add([firing], now())
    alone = []
    async with wiring.open_executors(replace(settings, allow_commands=True), ports) as executors:
        executor = executors["command"]
        body = executor.body.model_validate(BODY)
        deadline = time.perf_counter() + seconds
        while await status_of(ports, firing) != "succeeded" and time.perf_counter() < deadline:
            call = TaskCall("r", "t", "n", 0, 1, "k", 60.0, _no_log)
            began = time.perf_counter()
            await executor.execute(body, call)
            alone.append((time.perf_counter() - began) * 1e3)
            await asyncio.sleep(0.2)
    alone.sort()
    whole = await turns(ports, firing)
    print(
        f"one item at a time: p50 {percentile(whole, 0.5):.1f} ms, its executor alone "
        f"{percentile(alone, 0.5):.1f} ms (target of the difference: {TARGET_MS} ms)"
    )


async def _no_log(*_: object) -> None:
    """Write no log."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--parallel", type=int, default=20)
    carry_out(measure, parser)
