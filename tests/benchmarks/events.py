"""Measure the latency from an event to its run, and the runs per second of a burst.

    python tests/benchmarks/events.py [--events 2000] [--rounds 3] [--idle 200]

The latency is the time from the commit of an event to the start of its run, with an idle worker.
In the burst each event starts a run with one task. It is measured from the first stored event to
the last ended run, in turns with one-activity workflows of the bare SDK at concurrency 50 on the
same servers. Prints medians, CPU by process, and the load of the machine.
"""

import argparse
import asyncio
import os
import time
import uuid
from functools import partial
from pathlib import Path

from bed import carry_out, in_turns, now, shown, worker_of
from runs import BODIES, ended, problem_of, raw_round
from temporalio.client import Client

from activityctl import wiring
from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.ids import run_id, subscription_id
from activityctl.operations.gitops.apply import apply
from activityctl.settings import load_settings

NAME = "bench"


def event(number: int) -> EventEnvelope:
    """Return an event of about 300 bytes that matches the only subscription."""
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
    """Apply a one-task definition with an event trigger, and its subscription."""
    trigger = {"name": "paid", "event": {"type": "order.*", "filter": "event.data.amount > 5"}}
    spec = {"triggers": (trigger,), "tasks": ({"name": "one", **BODIES[task]},)}
    head = {"metadata": {"name": NAME}}
    definition = ActivityDefinition.model_validate({**head, "spec": spec})
    manifest = SubscriptionManifest.model_validate({**head, "spec": {"activity": NAME}})
    locators = {(kind, NAME): problem_of for kind in ("ActivityDefinition", "Subscription")}
    manifests = ManifestSet({NAME: definition}, {NAME: manifest}, locators)
    await apply(manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=10)


async def idle_latencies(ports: wiring.Ports, count: int) -> list[float]:
    """Return the milliseconds from the commit of an event to its run's start, one at a time."""
    found = []
    for number in range(count):
        envelope = event(number)
        await ports.events.add([envelope])
        committed = now()
        run = run_id(subscription_id(NAME), "paid", envelope.event_id)
        while True:
            await asyncio.sleep(0.02)
            state = await ports.runs.load(run)
            if state is not None and state.run.has_ended and state.run.started_at:
                found.append((state.run.started_at - committed).total_seconds() * 1000)
                break
        await asyncio.sleep(0.05)
    return sorted(found)


async def burst(ports: wiring.Ports, count: int) -> float:
    """Return the runs per second, from the first stored event to the last ended run."""
    events = [event(number) for number in range(count)]
    start, began = time.perf_counter(), now()
    for first in range(0, count, 1_000):
        await ports.events.add(events[first : first + 1_000])
    while await ended(ports, began) < count:
        await asyncio.sleep(0.05)
    return count / (time.perf_counter() - start)


async def measure(home: Path, options: argparse.Namespace) -> None:
    """Measure both sides in turns and print the figures."""
    settings = load_settings({"home": home}, dict(os.environ))
    client = await Client.connect(settings.required_temporal_address())
    async with (
        wiring.open_ports(settings, pool_size=4) as ports,
        worker_of(home, ports) as worker,
    ):
        await prepare(ports, options.task)
        raw, ours = partial(raw_round, client), partial(burst, ports)
        await raw(50)
        await ours(50)
        await asyncio.sleep(2)
        await show_latency(ports, options.idle)
        print(f"a burst of {options.runs} events:")
        await in_turns(home, worker, options, raw, ours)
        print("  (target ratio 1.5)")


async def show_latency(ports: wiring.Ports, count: int) -> None:
    load = os.getloadavg()[0]
    latency = await idle_latencies(ports, count)
    print(f"event to run started, idle ({count} events, load {load:.1f}): {shown(latency)}")
    print("  (target p50 30 ms, p99 150 ms)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000, dest="runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=int, default=200, help="events that are sent one at a time")
    parser.add_argument("--task", choices=sorted(BODIES), default="command")
    carry_out(measure, parser)
