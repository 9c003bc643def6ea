"""Measure plan and apply of a thousand subscriptions, and compare with the bare SDK.

    python tests/benchmarks/gitops.py [--subscriptions 1000] [--rounds 3]

Prints medians of wall seconds: of the command `apply` when nothing changes (target 2) and when one
param of all subscriptions changes (3), and of reading and checking the documents (1.5).

It also prints how fast a first apply creates schedules, from its start to the last schedule, as a
ratio to the rate of the bare SDK. The SDK creates the same schedules on the same server, in turns
with ours (target 0.9).
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
)

from activityctl import wiring
from activityctl.daemon.local.state import read_state
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids
from activityctl.operations.gitops.load import load_manifests
from activityctl.workflows.calls import TASK_QUEUE
from activityctl.workflows.run_activity import RunActivityWorkflow

COMMAND = str(Path(sys.executable).parent / "activityctl")
AT_ONCE = (8, 16, 32)
"""Numbers of parallel calls of the bare SDK; the fastest is used."""
DEFINITION = """apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: %s}
spec:
  description: Have large orders looked at by a person.
  params:
    type: object
    required: [threshold]
    properties: {threshold: {type: number}, region: {type: string, default: eu}}
  triggers:
    - name: yearly
      cron: {schedule: "0 3 1 1 *", timezone: Europe/Berlin, jitter: 30s}
  rules:
    - when: params.threshold > 0 && params.region != ""
      otherwise: nothing to look for
  tasks:
    - name: score
      command: {argv: [echo, "${ params.region }", "${ string(params.threshold) }"]}
      retry: {maxAttempts: 5, initialInterval: 1s}
    - name: note
      needs: [score]
      when: tasks.score.output.stdout != ""
      command: {argv: [echo, "${ tasks.score.output.stdout }"]}
"""
SUBSCRIPTION = """apiVersion: activityctl/v1
kind: Subscription
metadata: {name: %s, labels: {team: payments, env: prod}}
spec:
  activity: %s
  params: {threshold: %d, region: eu}
"""


def write_set(folder: Path, count: int, prefix: str, threshold: int) -> None:
    """Write a definition and its subscriptions, each to a file."""
    folder.mkdir(exist_ok=True)
    (folder / "definition.yaml").write_text(DEFINITION % prefix)
    for number in range(count):
        text = SUBSCRIPTION % (f"{prefix}-{number}", prefix, threshold)
        (folder / f"s{number}.yaml").write_text(text)


def write_documents(folder: Path, count: int) -> None:
    """Write documents; every tenth is a definition, the others are subscriptions to it."""
    folder.mkdir()
    for number in range(count):
        owner = f"d{number // 10}"
        text = SUBSCRIPTION % (f"s{number}", owner, number) if number % 10 else DEFINITION % owner
        (folder / f"{number}.yaml").write_text(text)


@contextlib.contextmanager
def running(home: Path) -> Iterator[None]:
    """Run a daemon of this home during the block."""
    call(home, "up", "-d")
    try:
        yield
    finally:
        subprocess.run([COMMAND, "--home", str(home), "down"], capture_output=True, check=False)


def call(home: Path, *arguments: str) -> float:
    """Return the wall seconds of one command."""
    start = time.perf_counter()
    done = subprocess.run(
        [COMMAND, "--home", str(home), *arguments], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{arguments}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    if "pending" in done.stderr:
        raise SystemExit(f"not all schedules were updated: {done.stderr[-500:]}")
    return seconds


def bare(owner: ids.SubscriptionId) -> Schedule:
    """Return the same schedule as ours for a subscription, as users of the SDK would write it."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            RunActivityWorkflow.run,
            FiringRef(owner, "yearly", "", "", ""),
            id=ids.scheduled_workflow_id(owner, "yearly"),
            task_queue=TASK_QUEUE,
        ),
        spec=ScheduleSpec(
            calendars=[
                ScheduleCalendarSpec(
                    minute=[ScheduleRange(0)],
                    hour=[ScheduleRange(3)],
                    day_of_month=[ScheduleRange(1)],
                    month=[ScheduleRange(1)],
                )
            ],
            time_zone_name="Europe/Berlin",
        ),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=timedelta(minutes=1)
        ),
        state=ScheduleState(),
    )


async def raw_round(client: Client, count: int, at_once: int) -> float:
    """Return the seconds in which the bare SDK creates such schedules; delete them again."""
    gate = asyncio.Semaphore(at_once)
    prefix = f"raw-{uuid.uuid4()}"
    owners = [ids.subscription_id(f"{prefix}-{number}") for number in range(count)]

    async def create(owner: ids.SubscriptionId) -> None:
        async with gate:
            await client.create_schedule(ids.schedule_id(owner, "yearly"), bare(owner))

    async def remove(owner: ids.SubscriptionId) -> None:
        async with gate:
            await client.get_schedule_handle(ids.schedule_id(owner, "yearly")).delete()

    start = time.perf_counter()
    await asyncio.gather(*map(create, owners))
    seconds = time.perf_counter() - start
    await asyncio.gather(*map(remove, owners))
    return seconds


def prune(home: Path, folder: Path, prefix: str) -> None:
    """Delete all subscriptions of a set."""
    for path in folder.glob("s*.yaml"):
        path.unlink()
    call(
        home,
        "apply",
        "-f",
        str(folder),
        "--applyset",
        prefix,
        "--prune",
        "--yes",
        "--timeout",
        "5m",
    )


async def first_applies(home: Path, folder: Path, options: argparse.Namespace) -> None:
    """Measure both sides in turns, ours between two rounds of the SDK.

    The schedules of a side are deleted before the other side is measured.
    """
    state = read_state(home)
    assert state is not None
    client = await Client.connect(state.addresses["temporal_address"])
    count, whole, placing, raw = options.subscriptions, [], [], []
    await raw_round(client, 50, AT_ONCE[0])
    tried = {calls: await raw_round(client, count // 4, calls) for calls in AT_ONCE}
    at_once = min(tried, key=tried.__getitem__)
    before = await raw_round(client, count, at_once)
    for number in range(options.rounds):
        prefix = f"round{number}"
        path = folder / prefix
        write_set(path, count, prefix, 1)
        apply = ("apply", "-f", str(path), "--applyset", prefix, "--timeout", "5m")
        ours = await asyncio.to_thread(call, home, *apply)
        alone = seconds_of_placing(home, prefix)
        if number < options.rounds - 1:
            await asyncio.to_thread(prune, home, path, prefix)
        after = await raw_round(client, count, at_once)
        raw.append((before + after) / 2)
        whole.append(ours)
        placing.append(alone)
        print(
            f"  round: bare SDK {before:.2f} and {after:.2f} s, {at_once} calls at once; "
            f"first apply {ours:.2f} s, of which placing {alone:.2f} s"
        )
        before = after
    rates = [count / statistics.median(seconds) for seconds in (raw, whole)]
    print(f"schedules a second: bare SDK {rates[0]:.0f}, first apply {rates[1]:.0f}")
    print(
        f"ratio ours/raw: {ratio(raw, whole):.2f} (target 0.9), {ratio(raw, placing):.2f} placing"
    )


def ratio(raw: list[float], ours: list[float]) -> float:
    return statistics.median(their / our for their, our in zip(raw, ours, strict=True))


def seconds_of_placing(home: Path, prefix: str) -> float:
    """Return the seconds from the first to the last created schedule of a set."""
    arguments = ("get", "schedules", "--limit", "10000", "-o", "json")
    done = subprocess.run(
        [COMMAND, "--home", str(home), *arguments], capture_output=True, text=True, check=True
    )
    moments = [
        datetime.fromisoformat(schedule["observedAt"])
        for schedule in json.loads(done.stdout)["items"]
        if schedule["subscription"].startswith(f"{prefix}-")
    ]
    return (max(moments) - min(moments)).total_seconds()


def row(name: str, values: list[float], target: float) -> None:
    print(f"{name}: {statistics.median(values):.2f} s (target {target})")


def repeated(work: Callable[[int], float], count: int) -> list[float]:
    return [work(number) for number in range(count)]


def later_applies(home: Path, folder: Path, options: argparse.Namespace) -> None:
    """Measure plan, diff and apply when all schedules exist."""
    prefix = f"round{options.rounds - 1}"
    path = folder / prefix
    apply = ("apply", "-f", str(path), "--applyset", prefix)

    def changed(number: int) -> float:
        write_set(path, options.subscriptions, prefix, number + 2)
        return call(home, *apply)

    for name in ("plan", "diff"):
        found = repeated(lambda _, name=name: call(home, name, *apply[1:3]), 3)
        row(f"{name}, nothing differs", found, 2)
    row("apply, nothing changes", repeated(lambda _: call(home, *apply), options.rounds), 2)
    row("apply, one param of all changes", repeated(changed, options.rounds), 3)


def checks(folder: Path, options: argparse.Namespace) -> None:
    """Measure reading and checking, in this process and with the command `validate`."""
    write_documents(folder, options.subscriptions)
    source, kinds = wiring.manifest_source(), wiring.known_kinds()

    def load(_: int) -> float:
        start = time.perf_counter()
        load_manifests(source, [str(folder)], kinds, recursive=True)
        return time.perf_counter() - start

    row("reading and checking the documents", repeated(load, options.rounds), 1.5)
    row(
        "validate, the whole command",
        repeated(lambda _: call(folder, "validate", "-f", str(folder)), options.rounds),
        1.5,
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checks(folder / "documents", options)
        home = folder / "home"
        with running(home):
            await first_applies(home, folder, options)
            later_applies(home, folder, options)


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)  # the client of the SDK may crash the interpreter at exit
