"""How often commands and runs wait for Postgres, and how long they take when it is far away.

    python tests/benchmarks/round_trips.py --far 0.2

Everything speaks to Postgres through a link that counts round trips, and that can slow them down.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from bed import servers

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.link import Link

OBJECTS = 46
MOST_SECONDS = 600
TASKS = "tasks: [{name: one, command: {argv: ['true']}}]"
COMMANDS: Mapping[str, list[str]] = {
    "plan": ["plan", "-f", "far.yaml"],
    "apply": ["apply", "-f", "far.yaml", "--no-wait"],
    "apply again": ["apply", "-f", "far.yaml", "--no-wait"],
    "get runs": ["get", "runs"],
    "describe": ["describe", "sub", "far-0"],
    "next": ["next", "far-0"],
    "emit": ["emit", "event.json"],
    "trigger": ["trigger", "far-0", "--no-wait"],
    "pause": ["pause", "far-0"],
    "resume": ["resume", "far-0"],
    "doctor": ["doctor"],
}


def manifests() -> str:
    triggers = (
        "[{name: daily, cron: {schedule: '0 3 * * *'}}, {name: sent, event: {type: far.sent}}]"
    )
    definition = (
        "apiVersion: activityctl/v1\nkind: ActivityDefinition\nmetadata: {name: far}\n"
        f"spec:\n  triggers: {triggers}\n  {TASKS}\n"
    )
    subscriptions = [
        "apiVersion: activityctl/v1\nkind: Subscription\n"
        f"metadata: {{name: far-{number}}}\nspec: {{activity: far}}\n"
        for number in range(OBJECTS - 1)
    ]
    return "---\n".join([definition, *subscriptions])


def call(environment: Mapping[str, str], folder: Path, arguments: list[str]) -> float:
    """Call the command; return how long it took, in seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "activityctl", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode not in {0, 1}:
        sys.exit(f"{arguments}: exit {done.returncode}\n{done.stderr}")
    return time.perf_counter() - began


def commands(environment: Mapping[str, str], folder: Path, link: Link, far: float) -> None:
    print(f"{'command':<12} {'trips':>5} {'near s':>7} {f'{far * 1000:.0f} ms away':>12}")
    for name, arguments in COMMANDS.items():
        before = link.round_trips
        near = call(environment, folder, arguments)
        trips = link.round_trips - before
        link.round_trip = far
        if name == "apply":  # every subscription is created, the second time with other names
            text = (folder / "far.yaml").read_text()
            (folder / "far.yaml").write_text(text.replace("name: far-", "name: farther-"))
        slow = call(environment, folder, arguments)
        link.round_trip = 0.0
        (folder / "far.yaml").write_text(manifests())
        print(f"{name:<12} {trips:>5} {near:>7.2f} {slow:>12.2f}")


def runs(environment: Mapping[str, str], folder: Path, link: Link, far: float, count: int) -> None:
    """Time single runs, from `trigger` to the end, near and far."""
    with worker(environment, folder):
        call(environment, folder, ["trigger", "far-1", "--wait", "--timeout", "60s"])
        for distance in (0.0, far):
            link.round_trip = distance
            time.sleep(3)
            took = []
            for number in range(count):
                call(
                    environment, folder, ["trigger", f"far-{number}", "--wait", "--timeout", "120s"]
                )
                shown = subprocess.run(
                    [
                        sys.executable,
                        "-m",
                        "activityctl",
                        "get",
                        "runs",
                        "-o",
                        "json",
                        "--limit",
                        "1",
                    ],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                took.append(_seconds(shown))
            took.sort()
            print(
                f"run of one task, from `trigger` to its end, {distance * 1000:.0f} ms away: "
                f"median {took[len(took) // 2] * 1000:.0f} ms"
            )


def bursts(
    environment: Mapping[str, str], folder: Path, link: Link, far: float, count: int
) -> None:
    """Time a burst of event runs of one subscription, near and far."""
    with worker(environment, folder), psycopg.connect(environment["NEAR"]) as database:
        call(environment, folder, ["trigger", "far-1", "--wait", "--timeout", "60s"])
        database.execute("UPDATE subscriptions SET status = 'paused' WHERE name <> 'far-1'")
        database.commit()
        for expected, distance in ((count, 0.0), (2 * count, far)):
            link.round_trip = distance
            time.sleep(3)
            events = [
                {"id": f"{distance}-{number}", "source": "far", "type": "far.sent", "data": {}}
                for number in range(count)
            ]
            (folder / "burst.jsonl").write_text("\n".join(map(json.dumps, events)))
            began, before = time.perf_counter(), link.round_trips
            call(environment, folder, ["emit", "burst.jsonl"])
            while time.perf_counter() - began < MOST_SECONDS:
                time.sleep(0.2)
                row = database.execute(
                    "SELECT count(*) FROM runs WHERE status = 'succeeded' AND trigger = 'sent'"
                ).fetchone()
                database.rollback()
                assert row
                if row[0] >= expected:
                    break
            else:
                print(f"not done after {MOST_SECONDS} s")
            took = time.perf_counter() - began
            trips = link.round_trips - before
            print(
                f"{count} event runs, {distance * 1000:.0f} ms away: {took:.1f} s, "
                f"{trips / count:.1f} round trips a run"
            )


@contextmanager
def worker(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "activityctl", "worker"], env=environment, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def _seconds(listing: str) -> float:
    from datetime import datetime

    created = re.search(r'"dueAt": "([^"]+)"', listing)
    ended = re.search(r'"endedAt": "([^"]+)"', listing)
    assert created
    assert ended
    return (datetime.fromisoformat(ended[1]) - datetime.fromisoformat(created[1])).total_seconds()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--far", type=float, default=0.2, help="seconds of a round trip")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, default=300)
    parser.add_argument("--only-runs", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "far.yaml").write_text(manifests())
        (folder / "event.json").write_text(
            '{"id": "1", "source": "far", "type": "far.tried", "data": {}}'
        )
        async with servers(folder / "home") as addresses:
            url = addresses["database_url"]
            parts = urlsplit(url)
            assert parts.hostname
            assert parts.port
            with Link(parts.hostname, parts.port) as link:
                kept = {key: text for key, text in os.environ.items() if "ACTIVITYCTL_" not in key}
                environment = {
                    **kept,
                    "ACTIVITYCTL_HOME": str(folder / "other"),
                    "ACTIVITYCTL_DATABASE_URL": link.url(url),
                    "NEAR": url,
                    "TEMPORAL_ADDRESS": addresses["temporal_address"],
                    "ACTIVITYCTL_ALLOW_COMMANDS": "true",
                }
                far = options.far
                if options.only_runs:
                    call(environment, folder, COMMANDS["apply"])
                else:
                    await asyncio.to_thread(commands, environment, folder, link, far)
                if options.runs:
                    await asyncio.to_thread(runs, environment, folder, link, far, options.runs)
                if options.events:
                    await asyncio.to_thread(bursts, environment, folder, link, far, options.events)


if __name__ == "__main__":
    asyncio.run(main())
