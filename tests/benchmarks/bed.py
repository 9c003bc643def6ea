"""What the benchmarks of runs share: temporary servers, a worker, and the CPU time of both."""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import psutil

from activityctl import wiring
from activityctl.daemon.local.detached import start_detached
from activityctl.daemon.local.state import read_status
from activityctl.daemon.local.supervisor import stop_daemon

SHARES = (0.5, 0.95, 0.99)


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def servers(home: Path) -> AsyncIterator[Mapping[str, str]]:
    """Start only the embedded servers, without worker and API."""
    program = (
        "import asyncio, os, sys, pathlib\n"
        "from activityctl.daemon.local.supervisor import Hooks, supervise\n"
        "from activityctl import wiring\n"
        "hooks = Hooks(migrate=lambda url: asyncio.to_thread(wiring.migrate, url))\n"
        "asyncio.run(supervise(pathlib.Path(sys.argv[1]), [], hooks, os.environ))\n"
    )
    state = start_detached(home, [sys.executable, "-c", program, str(home)], os.environ)
    try:
        yield state.addresses
    finally:
        stop_daemon(home)


@asynccontextmanager
async def worker_of(home: Path, ports: wiring.Ports, before: str = "") -> AsyncIterator[int]:
    """Run our worker; yield its process id. `before` is Python that it executes at first."""
    environment = {**os.environ, "ACTIVITYCTL_ALLOW_COMMANDS": "true"}
    program = f"{before}\nfrom activityctl.__main__ import main\nmain()"
    command = [sys.executable, "-c", program, "--home", str(home), "worker"]
    with (home / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        while not await ports.workers.alive(timedelta(seconds=5)):
            await asyncio.sleep(0.1)
        yield worker.pid
    finally:
        worker.terminate()
        worker.wait(30)


def processes(home: Path, worker: int) -> dict[str, float]:
    """Return the CPU seconds used so far, by component."""
    found = {}
    for part in read_status(home):
        if part.pid:
            process = psutil.Process(part.pid)
            family = [process, *process.children(recursive=True)]
            found[part.name] = sum(_cpu(member) for member in family)
    found["worker"] = _cpu(psutil.Process(worker))
    return found


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system


async def in_turns(
    home: Path,
    worker: int,
    options: argparse.Namespace,
    raw_round: Callable[[int], Awaitable[float]],
    our_round: Callable[[int], Awaitable[float]],
) -> None:
    """Let both sides do `options.runs` runs in turns; print their rates, and the CPU time."""
    raw, ours, cpu, raw_cpu = [], [], [], []
    for _ in range(options.rounds):
        load = os.getloadavg()[0]
        before = processes(home, os.getpid())
        raw.append(await raw_round(options.runs))
        after = processes(home, os.getpid())
        raw_cpu.append(sum(after.values()) - sum(before.values()))
        before = processes(home, worker)
        ours.append(await our_round(options.runs))
        after = processes(home, worker)
        cpu.append({name: after[name] - before[name] for name in after})
        print(f"  round: raw {raw[-1]:.0f}/s, ours {ours[-1]:.0f}/s, load before {load:.1f}")
    ratios = [our / their for our, their in zip(ours, raw, strict=True)]
    print(
        f"runs a second: raw {statistics.median(raw):.0f}, ours {statistics.median(ours):.0f}; "
        f"ratio {statistics.median(ratios):.2f}"
    )
    each = statistics.median(raw_cpu) / options.runs * 1000
    print(f"CPU a run, raw: {each:.1f} ms in all")
    for name in cpu[0]:
        each = statistics.median(seconds[name] for seconds in cpu) / options.runs * 1000
        print(f"CPU a run, {name}: {each:.1f} ms")


def percentile(values: list[float], share: float) -> float:
    """Return the percentile of sorted values; `share` is from 0 to 1."""
    return values[min(int(len(values) * share), len(values) - 1)]


def shown(milliseconds: list[float]) -> str:
    return ", ".join(
        f"p{share * 100:.0f} {percentile(milliseconds, share):.0f} ms" for share in SHARES
    )


def carry_out(
    measure: Callable[[Path, argparse.Namespace], Awaitable[None]], parser: argparse.ArgumentParser
) -> NoReturn:
    """Start servers, measure, stop the servers, and exit."""
    options = parser.parse_args()

    async def on_servers() -> None:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            async with servers(home):
                await measure(home, options)

    asyncio.run(on_servers())
    sys.stdout.flush()
    os._exit(0)  # the client of the SDK may crash the interpreter at exit
