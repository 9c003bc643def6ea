"""Measure one run whose forEach has ten thousand items, and what a task costs besides its executor.

    python tests/benchmarks/for_each.py [--items 10000] [--parallel 20]
    python tests/benchmarks/for_each.py --chain 60

Each item is `command: true`. Prints the time of the run, the time for each item, the CPU by
process, the peak of the worker's memory, and the events and the size of the workflow's history.
Then 200 items run one at a time, and their executor beside them, to tell the overhead of a task.

`--chain` measures a run of so many tasks instead, each of which needs the one before: once with a
worker that does each in a call of its own, once with one that goes on in the same call.
"""

import argparse
import asyncio
import itertools
import json
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from bed import carry_out, now, percentile, processes, worker_of
from temporalio.api.enums.v1 import EventType
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
    """Run what is asked for and print the figures."""
    if options.chain:
        await measure_chain(home, options.chain, options.rounds)
        return
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
    keys = wiring.open_keys(settings)
    allowed = replace(settings, allow_commands=True)
    async with (
        wiring.open_chains(settings, wiring.open_secrets(settings)) as chains,
        wiring.open_executors(allowed, ports, keys, chains) as executors,
    ):
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


EACH_ALONE = "import activityctl.domain.runs.chains as c; c.TASKS_PER_CALL = 1"


async def measure_chain(home: Path, tasks: int, rounds: int) -> None:
    """Run the chain with both workers in turns, and print what lies between two starts."""
    settings = load_settings({"home": home}, dict(os.environ))
    client = await Client.connect(settings.required_temporal_address())
    async with wiring.open_ports(settings, pool_size=2) as ports:
        await apply_chain(ports, tasks)
        alone = await executor_alone(settings, ports, 100)
        print(f"the executor alone: p50 {percentile(alone, 0.5):.1f} ms")
        for _ in range(rounds):
            for name, before in (("each in a call of its own", EACH_ALONE), ("in one call", "")):
                async with worker_of(home, ports, before) as worker:
                    await run_chain(ports)
                    used = processes(home, worker)
                    firing = await run_chain(ports)
                    print(f"{name}, at a load of {os.getloadavg()[0]:.1f}:")
                    print_cpu(used, processes(home, worker), tasks)
                    await print_chain(ports, client, firing)


async def apply_chain(ports: wiring.Ports, tasks: int) -> None:
    listed: list[dict[str, Any]] = [
        {"name": f"t{number}", "needs": [f"t{number - 1}"] if number else [], "command": BODY}
        for number in range(tasks)
    ]
    definition = ActivityDefinition.model_validate_json(
        json.dumps({"metadata": {"name": "chain"}, "spec": {"tasks": listed}})
    )
    subscription = SubscriptionManifest.model_validate(
        {"metadata": {"name": "chain"}, "spec": {"activity": "chain"}}
    )
    manifests = ManifestSet({"chain": definition}, {"chain": subscription}, {})
    await apply(manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=0)


async def run_chain(ports: wiring.Ports) -> FiringRequest:
    subscription = await ports.catalog.find_subscription("chain")
    firing = FiringRequest(subscription.id, "manual", f"manual/{uuid.uuid4()}", now())
    await ports.outbox.add([firing], now())
    while await status_of(ports, firing) != "succeeded":
        await asyncio.sleep(0.2)
    return firing


def print_cpu(before: Mapping[str, float], after: Mapping[str, float], tasks: int) -> None:
    used = [f"{name} {(after[name] - before[name]) / tasks * 1e3:.1f}" for name in after]
    print(f"  CPU a task, ms: {', '.join(used)}")


async def print_chain(ports: wiring.Ports, client: Client, firing: FiringRequest) -> None:
    """Print the milliseconds between two starts, and what of them is where."""
    rows = await ports.runs._database.fetch(
        "SELECT started_at, ended_at FROM tasks WHERE run_id = %(id)s ORDER BY started_at",
        id=firing.ref.run_id,
    )
    pairs = list(itertools.pairwise(rows))
    between = sorted((b["started_at"] - a["started_at"]).total_seconds() * 1e3 for a, b in pairs)
    attempts = sorted((a["ended_at"] - a["started_at"]).total_seconds() * 1e3 for a in rows)
    p50 = percentile(between, 0.5)
    print(
        f"  from start to start: p50 {p50:.1f} ms, p95 {percentile(between, 0.95):.1f} ms "
        f"(the attempt: p50 {percentile(attempts, 0.5):.1f} ms)"
    )
    handle = client.get_workflow_handle(firing.ref.workflow_id)
    history = await handle.fetch_history()
    print(f"  history: {len(history.events)} events")
    for (first, second), found in gaps(history.events).items():
        print(
            f"    {first} -> {second}: p50 {percentile(sorted(found), 0.5):.1f} ms ({len(found)})"
        )


def gaps(events: Sequence[Any]) -> Mapping[tuple[str, str], list[float]]:
    """Return the milliseconds between each event and the next one, by their types."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for first, second in itertools.pairwise(events):
        names = EventType.Name(first.event_type), EventType.Name(second.event_type)
        seconds = second.event_time.ToMicroseconds() - first.event_time.ToMicroseconds()
        key = (names[0].removeprefix("EVENT_TYPE_"), names[1].removeprefix("EVENT_TYPE_"))
        found[key].append(seconds / 1e3)
    return {key: values for key, values in found.items() if len(values) > 1}


async def executor_alone(settings: Settings, ports: wiring.Ports, times: int) -> list[float]:
    """Return the milliseconds that the executor takes without a run, sorted."""
    found = []
    allowed, keys = replace(settings, allow_commands=True), wiring.open_keys(settings)
    async with (
        wiring.open_chains(settings, wiring.open_secrets(settings)) as chains,
        wiring.open_executors(allowed, ports, keys, chains) as executors,
    ):
        executor = executors["command"]
        body = executor.body.model_validate(BODY)
        for _ in range(times):
            began = time.perf_counter()
            await executor.execute(body, TaskCall("r", "t", "n", 0, 1, "k", 60.0, _no_log))
            found.append((time.perf_counter() - began) * 1e3)
    return sorted(found)


async def _no_log(*_: object) -> None:
    """Write no log."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--parallel", type=int, default=20)
    parser.add_argument("--chain", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1)
    carry_out(measure, parser)
