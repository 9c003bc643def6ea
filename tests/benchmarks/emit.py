"""Measure how many events per second `emit` stores from a file, and compare with COPY.

    python tests/benchmarks/emit.py [--events 10000] [--rounds 5]

Both store the same rows, in turns, in one new embedded Postgres. The time of the command includes
its start; a second rate leaves it out, which is the time that `get runs` takes. Prints medians over
the rounds; the target is 20,000 events of about 300 bytes per second, without the start.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from activityctl.daemon.local.detached import start_detached
from activityctl.daemon.local.supervisor import stop_daemon
from activityctl.domain.events.envelope import EventEnvelope, envelope_of

COMMAND = Path(sys.executable).parent / "activityctl"
SERVERS = (
    "import asyncio, os, sys, pathlib\n"
    "from activityctl.daemon.local.supervisor import Hooks, supervise\n"
    "from activityctl import wiring\n"
    "hooks = Hooks(migrate=lambda url: asyncio.to_thread(wiring.migrate, url))\n"
    "asyncio.run(supervise(pathlib.Path(sys.argv[1]), [], hooks, os.environ))\n"
)
COLUMNS = "id, source, event_id, type, subject, occurred_at, arrived_at, digest, document"


def event(number: int, label: str) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": f"{label}-{number:07}",
        "source": "https://shop.example/orders",
        "type": "order.created",
        "subject": f"customer/{number % 1000}",
        "time": "2026-05-01T12:00:00.123Z",
        "data": {"amount": number * 1.5, "customer": {"id": number % 1000}, "note": "x" * 60},
    }


def row_of(envelope: EventEnvelope, now: datetime) -> tuple[object, ...]:
    text, digest = envelope.serialised
    named = (envelope.event_id, envelope.source, envelope.id, envelope.type, envelope.subject)
    return (*named, envelope.time, now, digest, text)


def copy_all(url: str, rows: Sequence[tuple[object, ...]]) -> None:
    command = f"COPY events ({COLUMNS}) FROM STDIN"
    with psycopg.connect(url) as connection, connection.cursor().copy(command) as copy:
        for row in rows:
            copy.write_row(row)


def seconds_of(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall seconds, and the CPU seconds of the processes that it started."""
    start, used = time.perf_counter(), os.times()
    work()
    after = os.times()
    cpu = after.children_user + after.children_system - used.children_user - used.children_system
    return time.perf_counter() - start, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        state = start_detached(home, [sys.executable, "-c", SERVERS, str(home)], os.environ)
        try:
            measure(state.addresses["database_url"], Path(folder), arguments)
        finally:
            stop_daemon(home)


def measure(url: str, folder: Path, arguments: argparse.Namespace) -> None:
    environment = {**os.environ, "ACTIVITYCTL_DATABASE_URL": url}
    now = datetime.now(UTC)
    found: dict[str, list[tuple[float, float]]] = {}

    def emit(path: Path) -> None:
        done = subprocess.run(
            [str(COMMAND), "emit", str(path)],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        assert f"{arguments.events:,} events" in done.stdout, done.stdout

    for number in range(arguments.rounds):
        path = folder / f"events-{number}.jsonl"
        events = [event(serial, f"emit-{number}") for serial in range(arguments.events)]
        path.write_text("\n".join(map(json.dumps, events)))
        copied = (event(serial, f"copy-{number}") for serial in range(arguments.events))
        rows = [row_of(envelope_of(document), now) for document in copied]
        stages: dict[str, Callable[[], object]] = {
            "COPY of the same rows": lambda rows=rows: copy_all(url, rows),
            "emit, new": lambda path=path: emit(path),
            "emit again, duplicates": lambda path=path: emit(path),
            "start of the command": lambda: subprocess.run(
                [str(COMMAND), "get", "runs"], env=environment, check=True, capture_output=True
            ),
        }
        for name, work in stages.items():
            found.setdefault(name, []).append(seconds_of(work))
    size = path.stat().st_size / arguments.events
    print(f"{arguments.events:,} events of {size:.0f} bytes, load {os.getloadavg()[0]:.1f}")
    start_wall, start_cpu = map(statistics.median, zip(*found["start of the command"], strict=True))
    for name, seconds in found.items():
        median, cpu = (statistics.median(column) for column in zip(*seconds, strict=True))
        rate = f"{arguments.events / median:9,.0f} a second" if "start" not in name else ""
        if name.startswith("emit"):
            rate += f"; without its start {arguments.events / (median - start_wall):9,.0f}, CPU "
            rate += f"{(cpu - start_cpu) / arguments.events * 1e6:.0f} µs an event"
        print(f"{name:24} {median:6.3f} s, CPU of the command {cpu:5.2f} s {rate}")


if __name__ == "__main__":
    main()
