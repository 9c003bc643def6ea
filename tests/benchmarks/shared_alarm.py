"""Measure many subscriptions with one timing, which share an alarm and are due at one instant.

    python tests/benchmarks/shared_alarm.py [--subscriptions 1000] [--task nothing]

It prints how long the first apply takes, when the first and the last of their runs started and
ended, and the CPU of each run. Then it changes the timing of all and applies again.
"""

import argparse
import asyncio
import os
from datetime import timedelta
from pathlib import Path

from bed import carry_out, processes, shown, worker_of
from schedules import HOUR, PATIENCE, TASKS, Bench, next_due, now, seconds_into_hour
from temporalio.client import Client

from activityctl import wiring
from activityctl.settings import load_settings

_ENDED = """
    SELECT max(extract(epoch FROM ended_at - due_at)) AS last, count(*) AS count
    FROM runs WHERE definition = 'shared' AND ended_at IS NOT NULL"""


async def one_instant(bench: Bench, worker: int, count: int) -> None:
    """Apply the subscriptions, and let them be due a little later."""
    due = next_due() + timedelta(seconds=count // 1_000)
    seconds = await bench.apply("shared", count, HOUR, seconds_into_hour(due))
    print(f"{count} subscriptions with one timing: first apply {seconds:.1f} s", flush=True)
    before = processes(bench.home, worker)
    deadline = due + PATIENCE + timedelta(seconds=count // 40)
    while (row := (await bench.fetch(_ENDED))[0])["count"] < count:
        if now() > deadline:
            raise SystemExit(f"of {count} runs ended {row['count']}")
        await asyncio.sleep(0.5 + count / 20_000)  # to count them needs CPU
    after = processes(bench.home, worker)
    started = sorted((await bench.lags("shared")).found[due])
    print(
        f"runs started {started[0]:.0f} to {started[-1]:.0f} ms after the instant "
        f"({shown(started)}); the last ended after {float(row['last']):.1f} s"
    )
    each = {name: (after[name] - before[name]) / count * 1000 for name in after}
    print("CPU of each run, in ms: " + ", ".join(f"{name} {cpu:.1f}" for name, cpu in each.items()))
    seconds = await bench.apply("shared", count, HOUR, seconds_into_hour(next_due()) + 7)
    print(f"apply that moves all to another alarm: {seconds:.1f} s")


async def measure(home: Path, options: argparse.Namespace) -> None:
    settings = load_settings({"home": home}, dict(os.environ))
    client = await Client.connect(settings.required_temporal_address())
    async with wiring.open_ports(settings, pool_size=4) as ports:
        bench = Bench(home, ports, client, options.task)
        print(f"load average {os.getloadavg()[0]:.1f}")
        async with worker_of(home, ports) as worker:
            await one_instant(bench, worker, options.subscriptions)
        print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=1_000)
    parser.add_argument("--task", choices=sorted(TASKS), default="nothing")
    carry_out(measure, parser)
