"""What breakers and limits cost: the statement that begins an attempt, with and without them.

    python tests/benchmarks/guards.py --tasks 400
    python tests/benchmarks/guards.py --storm 1000

`--storm` fails that many tasks together and shows how their next attempts spread.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from bed import now, servers

sys.path.insert(0, str(Path(__file__).parents[1]))
from activityctl import wiring
from activityctl.domain.runs.admission import begin, new_run
from activityctl.domain.runs.run import TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.tasks.breaker import BreakerPolicy
from activityctl.domain.tasks.guard import Guard
from activityctl.domain.tasks.limit import Limit
from activityctl.domain.tasks.retry import RetryPolicy, chance_of
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.log import LogEntry
from activityctl.settings import Secret, Settings
from support.engine import Engine

BREAKER = BreakerPolicy()
PACED = Limit(name="crm", rate=1_000_000, burst=1_000_000)
PLACED = Limit(name="crm", rate=1_000_000, burst=1_000_000, concurrency=10_000)
GUARDS = {
    "nothing": None,
    "breaker": Guard("host", BREAKER),
    "rate": Guard(limit=PACED),
    "breaker and rate": Guard("host", BREAKER, PACED),
    "breaker, rate and places": Guard("host", BREAKER, PLACED),
}


async def measure(ports: wiring.Ports, tasks: int) -> dict[str, list[float]]:
    """Return the seconds of each begin, in rounds so that other load falls on all alike."""
    engine = Engine(ports)
    await engine.apply({"tasks": [{"name": "one", "command": {"argv": ["true"]}}]})
    seconds: dict[str, list[float]] = {name: [] for name in GUARDS}
    made = {name: await open_tasks(ports, name, tasks) for name in GUARDS}
    for index in range(tasks):
        for name, guard in GUARDS.items():
            task = made[name][index]
            began = time.perf_counter()
            if guard is None:
                await ports.runs.begin_attempt(task.id, now(), "here")
            else:
                await ports.guards.begin(
                    task.id,
                    now(),
                    "here",
                    is_limited=guard.limit is not None,
                    lease=timedelta(minutes=5),
                    chance=0.5,
                )
            seconds[name].append(time.perf_counter() - began)
            if index > 50:  # not more than these are at work at the same time
                await ports.runs.fail_attempt(
                    made[name][index - 50].id, "no", entry_of(task), "exit_code"
                )
    return seconds


def entry_of(task: TaskInstance) -> LogEntry:
    return LogEntry(ids.subscription_id("sample"), task.run_id, "failed", "info", now(), {})


async def open_tasks(ports: wiring.Ports, name: str, count: int) -> list[TaskInstance]:
    """Open a run in Postgres alone, with this many tasks behind the guard."""
    owner = await ports.catalog.find_subscription("sample")
    firing = FiringRequest(owner.id, "manual", f"manual/{name}", now())
    await ports.outbox.add([firing], now() + timedelta(days=1))
    facts = await ports.runs.admission_input(firing.ref)
    assert facts is not None
    run, _ = begin(new_run(firing.ref, facts, now()), facts.spec, now())
    tasks = tuple(
        TaskInstance(
            id=ids.task_id(run.id, "many", index),
            run_id=run.id,
            name="many",
            index=index,
            phase="main",
            kind="command",
            status=TaskStatus.PENDING,
            created_at=now(),
            guard=GUARDS[name],
        )
        for index in range(count)
    )
    await ports.runs.open(f"run/{name}", RunChange(run, create=tasks))
    return list(tasks)


def show(seconds: dict[str, list[float]]) -> None:
    """Show the median, and the fastest tenth, on which other load of the machine falls least."""
    plain = {name: share(seconds["nothing"], name) for name in ("p10", "p50", "p95")}
    for guard, found in seconds.items():
        parts = []
        for name, without in plain.items():
            value = share(found, name)
            parts.append(f"{name} {value * 1000:5.2f} ms ({(value - without) * 1000:+.2f})")
        print(f"{guard:26} {'  '.join(parts)}")


def share(found: list[float], name: str) -> float:
    return statistics.quantiles(found, n=100)[int(name[1:]) - 1]


def show_storm(tasks: int) -> None:
    """Show how many of the next attempts begin in the same tenth of a second."""
    policy = RetryPolicy(max_attempts=5)
    for attempt in (1, 2, 3, 4):
        waits = [
            policy.wait_after(attempt, chance=chance_of(f"task-{number}", attempt))
            for number in range(tasks)
        ]
        tenths = [int(wait.total_seconds() * 10) for wait in waits]
        most = max(map(tenths.count, set(tenths)))
        span = (max(waits) - min(waits)).total_seconds()
        print(f"after attempt {attempt}: spread over {span:.2f} s, at most {most} in 0.1 s")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--storm", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        async with servers(home) as addresses:
            url = Secret(addresses["database_url"])
            settings = Settings(home=home, database_url=url)
            async with wiring.open_ports(settings, pool_size=2) as ports:
                show(await measure(ports, options.tasks))
    show_storm(options.storm)


if __name__ == "__main__":
    asyncio.run(main())
