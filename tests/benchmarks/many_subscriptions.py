"""Measure the commands with very many subscriptions of one definition.

    python tests/benchmarks/many_subscriptions.py [--subscriptions 100000] [--trigger event]

On new embedded servers, without a worker, it measures: `validate`, the first `apply`, an `apply`
that changes nothing, `plan`, `get` of one and of a hundred subscriptions, and the deletion by
pruning if `--prune` is given. For each it prints the wall time, the CPU time and the largest memory
of the command, and the CPU time of Postgres meanwhile. `--trigger cron` gives all subscriptions the
same cron timing; their one firing by a shared alarm is measured where the alarms are.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from activityctl.daemon.local.detached import start_detached
from activityctl.daemon.local.state import read_status
from activityctl.daemon.local.supervisor import stop_daemon

COMMAND = Path(sys.executable).parent / "activityctl"
SERVERS = (
    "import asyncio, os, sys, pathlib\n"
    "from activityctl.daemon.local.supervisor import Hooks, supervise\n"
    "from activityctl import wiring\n"
    "hooks = Hooks(migrate=lambda url: asyncio.to_thread(wiring.migrate, url))\n"
    "asyncio.run(supervise(pathlib.Path(sys.argv[1]), [], hooks, os.environ))\n"
)
A_FILE = 2_000
"""Subscriptions in one file; a file has at most 1 MiB."""
TRIGGERS = {
    "event": "event: {type: order.created, filter: event.data.shop == params.shop}",
    "cron": 'cron: {schedule: "0 0 * * *", timezone: Europe/Berlin}',
}
DEFINITION = """apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {{name: shop}}
spec:
  params:
    type: object
    required: [shop]
    properties: {{shop: {{type: string}}, limit: {{type: number, default: 5}}}}
  triggers:
    - name: due
      {trigger}
  tasks:
    - name: one
      command: {{argv: ["true"]}}
"""
SUBSCRIPTION = """---
apiVersion: activityctl/v1
kind: Subscription
metadata: {{name: shop-{number:06}, labels: {{team: t{team}}}}}
spec:
  activity: shop
  params: {{shop: s{number}, limit: {limit}}}
"""


def write_files(folder: Path, count: int, trigger: str) -> None:
    """Write one definition and its subscriptions."""
    folder.mkdir()
    (folder / "shop.yaml").write_text(DEFINITION.format(trigger=TRIGGERS[trigger]))
    for start in range(0, count, A_FILE):
        texts = (
            SUBSCRIPTION.format(number=number, team=number % 7, limit=number % 9)
            for number in range(start, min(count, start + A_FILE))
        )
        (folder / f"shops-{start:06}.yaml").write_text("".join(texts))


def cpu_of(home: Path, name: str) -> float:
    """Return the CPU seconds that a server and its processes have used so far."""
    (pid,) = (part.pid for part in read_status(home) if part.name == name)
    server = psutil.Process(pid)
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    ended = times[0].children_user + times[0].children_system
    return sum(each.user + each.system for each in times) + ended


def measure(home: Path, environment: Mapping[str, str], *words: str) -> None:
    """Execute a command, and print what it took."""
    before, start = cpu_of(home, "postgres"), time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([COMMAND, *words], env=environment, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            output.seek(0)
            raise SystemExit(output.read().decode()[-2000:])
    wall, cpu = time.perf_counter() - start, used.ru_utime + used.ru_stime
    postgres = cpu_of(home, "postgres") - before
    shown = " ".join(words[:2] if words[0] == "get" else words[:1])
    figures = f"{wall:8.1f} s{cpu:8.1f} s{used.ru_maxrss / 1024:8.0f} MiB{postgres:8.1f} s"
    print(f"{shown:20}{figures}", flush=True)


def commands(folder: Path, *, prunes: bool) -> Iterator[tuple[str, ...]]:
    """Yield the commands in their order."""
    apply = ("apply", "-f", str(folder), "--applyset", "shops", "--no-wait")
    yield "validate", "-f", str(folder)
    yield apply
    yield apply
    yield "plan", "-f", str(folder), "--applyset", "shops"
    yield "get", "subscriptions", "--limit", "100"
    yield "get", "subscription/shop-000001"
    if prunes:
        yield "apply", "-f", str(folder / "shop.yaml"), "--applyset", "shops", "--prune", "--yes"


def main() -> None:
    """Measure each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=100_000)
    parser.add_argument("--trigger", choices=sorted(TRIGGERS), default="event")
    parser.add_argument("--prune", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home, folder = Path(name) / "home", Path(name) / "manifests"
        write_files(folder, options.subscriptions, options.trigger)
        state = start_detached(home, [sys.executable, "-c", SERVERS, str(home)], os.environ)
        url = state.addresses["database_url"]
        environment = {**os.environ, "ACTIVITYCTL_HOME": str(home), "ACTIVITYCTL_DATABASE_URL": url}
        try:
            print(f"{options.subscriptions:,} subscriptions, load {os.getloadavg()[0]:.1f}")
            print(f"{'command':20}{'wall':>10}{'CPU':>10}{'memory':>12}{'Postgres':>10}")
            for words in commands(folder, prunes=options.prune):
                measure(home, environment, *words)
        finally:
            stop_daemon(home)


if __name__ == "__main__":
    main()
