"""From an emitted event to its run: how soon when idle, how many a second in a burst.

    python tests/benchmarks/events.py [--events 2000] [--rounds 3] [--idle 200]

The latency is that from the commit of `emit` to the run's start, on a worker with nothing else to
do. The burst is of one event a run with one task, from the first event stored to the last run
ended, beside the bare SDK's one-activity workflows at concurrency 50 on the same servers in turns.
Prints medians, CPU by process, and the machine's load.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import timedelta
from pathlib import Path

from runs import BODIES, ended, now, placed, processes, raw_round, servers, spread
from temporalio.client import Client

from activityctl import wiring
from activityctl.domain.definition import ActivityDefinition
from activityctl.domain.envelope import EventEnvelope, envelope_of
from activityctl.domain.ids import run_id, subscription_id
from activityctl.domain.manifest import ManifestSet
from activityctl.domain.subscription import SubscriptionManifest
from activityctl.operations.apply import apply
from activityctl.settings import load_settings

NAME = "bench"


def event(number: int) -> EventEnvelope:
    """An event of about 300 bytes that wakes the one subscription."""
    return envelope_of(
        {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": "/shops/17",
            "type": "order.paid",
            "time": "2026-03-02T12:00:00Z",
            "data": {
                "number": number,
                "amount": 7,
                "customer": f"c{number % 50}",
                "note": "x" * 80,
            },
        }
    )


async def prepare(ports: wiring.Ports, task: str) -> None:
    """Apply a one-task definition that waits for an event, and its subscription."""
    trigger = {"name": "paid", "event": {"type": "order.*", "filter": "event.data.amount > 5"}}
    spec = {"triggers": (trigger,), "tasks": ({"name": "one", **BODIES[task]},)}
    head = {"metadata": {"name": NAME}}
    definition = ActivityDefinition.model_validate({**head, "spec": spec})
    manifest = SubscriptionManifest.model_validate({**head, "spec": {"activity": NAME}})
    places = {(kind, NAME): placed for kind in ("ActivityDefinition", "Subscription")}
    manifests = ManifestSet({NAME: definition}, {NAME: manifest}, places)
    await apply(manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=10)


async def idle_latencies(ports: wiring.Ports, count: int) -> list[float]:
    """Milliseconds from the commit of an event to the start of its run, one at a time."""
    found = []
    for number in range(count):
        one = event(number)
        await ports.events.add([one])
        committed = now()
        run = run_id(subscription_id(NAME), "paid", one.event_id)
        while True:
            await asyncio.sleep(0.02)
            state = await ports.runs.load(run)
            if state is not None and state.run.has_ended and state.run.started_at:
                found.append((state.run.started_at - committed).total_seconds() * 1000)
                break
        await asyncio.sleep(0.05)
    return sorted(found)


async def burst(ports: wiring.Ports, count: int) -> float:
    """Return runs a second, from the first event stored to the last run ended."""
    events = [event(number) for number in range(count)]
    start, began = time.perf_counter(), now()
    for first in range(0, count, 1_000):
        await ports.events.add(events[first : first + 1_000])
    while await ended(ports, began) < count:
        await asyncio.sleep(0.05)
    return count / (time.perf_counter() - start)


async def measure(home: Path, options: argparse.Namespace) -> None:
    """Run both sides in turns and print the figures."""
    environment = {**os.environ, "ACTIVITYCTL_ALLOW_COMMANDS": "true"}
    settings = load_settings({"home": home}, environment)
    client = await Client.connect(settings.required_temporal_address())
    command = [sys.executable, "-m", "activityctl", "--home", str(home), "worker"]
    with (home / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, env=environment, stderr=log)
    try:
        async with wiring.open_ports(settings, pool_size=4) as ports:
            while not await ports.workers.alive(now() - timedelta(seconds=5)):
                await asyncio.sleep(0.1)
            await prepare(ports, options.task)
            await raw_round(client, 50)
            await burst(ports, 50)
            await asyncio.sleep(2)
            await show_latency(ports, options.idle)
            await show_burst(client, ports, home, worker.pid, options)
    finally:
        worker.terminate()
        worker.wait(30)


async def show_latency(ports: wiring.Ports, count: int) -> None:
    load = os.getloadavg()[0]
    latency = await idle_latencies(ports, count)
    shown = ", ".join(f"p{p * 100:.0f} {spread(latency, p):.0f} ms" for p in (0.5, 0.95, 0.99))
    print(f"event to run started, idle ({count} events, load {load:.1f}): {shown}")
    print("  (target p50 30 ms, p99 150 ms)")


async def show_burst(
    client: Client, ports: wiring.Ports, home: Path, pid: int, options: argparse.Namespace
) -> None:
    raw, ours, cpu = [], [], []
    for _ in range(options.rounds):
        load = os.getloadavg()[0]
        raw.append(await raw_round(client, options.events))
        before = processes(home, pid)
        ours.append(await burst(ports, options.events))
        after = processes(home, pid)
        cpu.append({name: after[name] - before[name] for name in after})
        print(f"  round: raw {raw[-1]:.0f}/s, ours {ours[-1]:.0f}/s, load before {load:.1f}")
    ratios = [mine / bare for mine, bare in zip(ours, raw, strict=True)]
    print(
        f"burst of {options.events} events, runs a second: raw {statistics.median(raw):.0f}, "
        f"ours {statistics.median(ours):.0f}; ratio {statistics.median(ratios):.2f} (target 1.5)"
    )
    for name in cpu[0]:
        each = statistics.median(one[name] for one in cpu) / options.events * 1000
        print(f"CPU a run, {name}: {each:.1f} ms")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=int, default=200, help="events one at a time")
    parser.add_argument("--task", choices=sorted(BODIES), default="command")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        async with servers(home):
            await measure(home, options)


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)  # the SDK's client may crash an interpreter's exit
