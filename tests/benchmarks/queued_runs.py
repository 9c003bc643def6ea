"""Measure how fast a queue with limit 1 drains, beside workflows of the bare SDK one by one.

    python tests/benchmarks/queued_runs.py [--runs 500] [--rounds 3]

Both sides work in turns on the same new embedded servers. Ours are runs of one task (`command:
true`) of a definition with `concurrency: {policy: queue, limit: 1}`, all stored at once. Prints the
rates, their ratio, and the time from the end of a run to the start of the next one.
"""

import argparse
import asyncio
import os
import time
import uuid
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from bed import carry_out, in_turns, now, percentile, shown, worker_of
    from runs import RawWorkflow, ended, firings, prepared, raw_activity

    from activityctl import wiring
    from activityctl.domain.manifests.subscription import Subscription
    from activityctl.settings import load_settings

QUEUE = {"concurrency": {"policy": "queue", "limit": 1}}


async def raw_round(client: Client, count: int) -> float:
    """Return the workflows per second of the bare SDK, one after the other."""
    async with Worker(client, task_queue="raw", workflows=[RawWorkflow], activities=[raw_activity]):
        start = time.perf_counter()
        for _ in range(count):
            await client.execute_workflow(
                RawWorkflow.run, id=f"raw-{uuid.uuid4()}", task_queue="raw"
            )
        return count / (time.perf_counter() - start)


async def our_round(
    gaps: list[float], ports: wiring.Ports, subscription: Subscription, count: int
) -> float:
    """Return our runs per second, from the first start to the last end; note the gaps between."""
    began = now()
    await ports.outbox.add(firings(subscription, count), now())
    while await ended(ports, began) < count:
        await asyncio.sleep(0.1)
    times = await times_since(ports, began)
    gaps += [(later[0] - earlier[1]).total_seconds() * 1000 for earlier, later in pairwise(times)]
    return count / (times[-1][1] - times[0][0]).total_seconds()


async def times_since(ports: wiring.Ports, since: datetime) -> list[tuple[datetime, datetime]]:
    rows = await ports.runs._database.fetch(
        "SELECT started_at, ended_at FROM runs WHERE created_at >= %(since)s ORDER BY started_at",
        since=since,
    )
    return [(row["started_at"], row["ended_at"]) for row in rows]


async def measure(home: Path, options: argparse.Namespace) -> None:
    """Measure both sides in turns and print the figures."""
    settings = load_settings({"home": home}, dict(os.environ))
    client = await Client.connect(settings.required_temporal_address())
    async with (
        wiring.open_ports(settings, pool_size=4) as ports,
        worker_of(home, ports) as worker,
    ):
        subscription = await prepared(ports, "command", QUEUE)
        gaps: list[float] = []
        raw, ours = partial(raw_round, client), partial(our_round, gaps, ports, subscription)
        await raw(20)
        await ours(20)
        gaps.clear()
        await in_turns(home, worker, options, raw, ours)
        gaps.sort()
        print(f"from the end of a run to the start of the next: {shown(gaps)} (aim p50 30 ms)")
        print(f"the fastest tenth: {percentile(gaps, 0.1):.0f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    carry_out(measure, parser)
