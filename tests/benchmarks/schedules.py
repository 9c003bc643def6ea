"""Measure how late schedules fire, and compare with the bare SDK; the cost of deciding a time.

    python tests/benchmarks/schedules.py [--schedules 300] [--rounds 3] [--task nothing]
        [--parts settle idle lone bursts]

N schedules of ours with N timings, and in turn N of the bare SDK, are due in the same second on an
idle server. Triggers that share one timing are measured by `shared_alarm.py`.

Our lag is the time from the nominal time to startedAt of the run. The bare SDK runs a workflow with
one local activity in the default (sandboxed) worker. Its lags are the times from the nominal time
to the start of the workflow and to its local activity, where ours writes the run.

Prints medians over the rounds, with ratios; the lag of a single schedule; the cost of deciding a
due time in Postgres (`settle`), also with 10,000 schedules present; and the CPU of idle processes
with 1,000 schedules that are not due.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.common import SearchAttributeKey
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from bed import SHARES, carry_out, now, percentile, processes, worker_of

    from activityctl import wiring
    from activityctl.domain.timing.firing import Ringing
    from activityctl.domain.values import ids
    from activityctl.settings import load_settings

HOUR = 3600
LEAD = timedelta(seconds=40)
"""The time in which all schedules of a round are created."""
PATIENCE = timedelta(seconds=150)
LONE_EVERY = 2
PRESENT = 10_000
PER_FILE = 2_000
PARTS = ("settle", "idle", "lone", "bursts")
TASKS = {
    "nothing": {"when": "false", "command": {"argv": ["true"]}},
    "command": {"command": {"argv": ["true"]}},
}
CLONES = """
    WITH owner AS (
        INSERT INTO subscriptions (id, name, definition, params, triggers, labels, annotations,
            status, created_at, updated_at)
        SELECT md5('clone' || n)::uuid::text, 'clone-' || n, definition, params, triggers, labels,
            annotations, 'active', created_at, updated_at
        FROM subscriptions, generate_series(1, %(count)s) n WHERE name = 'settled'
        RETURNING id)
    INSERT INTO schedules (id, subscription_id, trigger, kind, body, alarm_id, cursor, next_at)
    SELECT 'schedule/' || owner.id || '/ticks', owner.id, 'ticks', c.kind, c.body,
        'alarm/' || owner.id, clock_timestamp(), clock_timestamp() + random() * interval '1 day'
    FROM owner, schedules c JOIN subscriptions s ON s.id = c.subscription_id
    WHERE s.name = 'settled'"""


@dataclass
class Lags:
    """Lags in milliseconds after the nominal time, by nominal time."""

    found: dict[datetime, list[float]] = field(default_factory=dict)

    def add(self, nominal: datetime, moment: datetime) -> None:
        self.found.setdefault(nominal, []).append((moment - nominal).total_seconds() * 1000)


STARTS, CALLS = Lags(), Lags()
NOMINAL = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")


@activity.defn
async def raw_call(nominal: str, started: str) -> None:
    """Record the lags of the workflow's start and of this activity."""
    STARTS.add(datetime.fromisoformat(nominal), datetime.fromisoformat(started))
    CALLS.add(datetime.fromisoformat(nominal), now())


@workflow.defn
class RawFiring:
    """The smallest workflow of the bare SDK that records its firing."""

    @workflow.run
    async def run(self) -> None:
        info = workflow.info()
        nominal = info.typed_search_attributes[NOMINAL]
        await workflow.execute_local_activity(
            raw_call,
            args=[nominal.isoformat(), info.start_time.isoformat()],
            start_to_close_timeout=timedelta(seconds=10),
        )


class Bench:
    """One home with its servers and our worker."""

    def __init__(self, home: Path, ports: wiring.Ports, client: Client, task: str) -> None:
        self.home = home
        self.ports = ports
        self.client = client
        self.task = TASKS[task]

    async def apply(
        self,
        prefix: str,
        count: int,
        every: int,
        offset: int = 0,
        *,
        wait: bool = True,
        due: datetime | None = None,
    ) -> float:
        """Apply a definition with an interval and its subscriptions; return the seconds.

        With `due`, each subscription has another interval, and all are due then.
        """
        head = {"apiVersion": "activityctl/v1"}
        trigger = {"name": "ticks", "interval": {"every": f"{every}s", "offset": f"{offset}s"}}
        spec = {"triggers": [trigger], "tasks": [{"name": "one", **self.task}]}
        documents: list[Mapping[str, Any]] = [
            {**head, "kind": "ActivityDefinition", "metadata": {"name": prefix}, "spec": spec}
        ]
        documents += [
            {
                **head,
                "kind": "Subscription",
                "metadata": {"name": prefix if count == 1 else f"{prefix}-{number}"},
                "spec": {"activity": prefix, "triggers": self.timing(every + number, due)},
            }
            for number in range(count)
        ]
        path = self.home / prefix
        path.mkdir(exist_ok=True)
        for first in range(0, len(documents), PER_FILE):
            some = documents[first : first + PER_FILE]
            text = "\n---\n".join(map(json.dumps, some))
            (path / f"{first}.yaml").write_text(text)
        waiting = ("--timeout", "120s") if wait else ("--no-wait",)
        start = time.perf_counter()
        await self.command("apply", "-f", str(path), *waiting)
        return time.perf_counter() - start

    def timing(self, every: int, due: datetime | None) -> Mapping[str, Any]:
        if due is None:
            return {}
        offset = int(due.timestamp()) % every
        return {"ticks": {"interval": {"every": f"{every}s", "offset": f"{offset}s"}}}

    async def command(self, *words: str) -> None:
        command = [sys.executable, "-m", "activityctl", "--home", str(self.home), *words]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()
        if process.returncode:
            raise SystemExit(f"{words}\n{errors.decode()[-2000:]}")

    async def schedule_raw(self, prefix: str, count: int, every: int, offset: int) -> None:
        """Create `count` interval schedules with the bare SDK."""
        interval = ScheduleIntervalSpec(timedelta(seconds=every), timedelta(seconds=offset))
        gate = asyncio.Semaphore(16)

        async def create(name: str) -> None:
            action = ScheduleActionStartWorkflow(RawFiring.run, id=name, task_queue="raw")
            policy = SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL)
            spec = ScheduleSpec(intervals=[interval])
            async with gate:
                await self.client.create_schedule(name, Schedule(action, spec=spec, policy=policy))

        await asyncio.gather(*(create(f"{prefix}-{number}") for number in range(count)))

    async def unschedule_raw(self, prefix: str, count: int) -> None:
        for number in range(count):
            await self.client.get_schedule_handle(f"{prefix}-{number}").delete()

    async def lags(self, prefix: str) -> Lags:
        """Return the lags of our runs."""
        query = """SELECT r.due_at, r.started_at FROM runs r
            WHERE r.definition = %(definition)s AND r.started_at IS NOT NULL"""
        found = Lags()
        for row in await self.fetch(query, definition=prefix):
            found.add(row["due_at"], row["started_at"])
        return found

    async def fetch(self, query: str, **values: object) -> list[dict[str, Any]]:
        database = self.ports.timetable._database
        return list(await database.fetch(query, **values))


async def deciding_costs(bench: Bench, count: int) -> None:
    """Measure deciding one due time after the other, with few and with many schedules.

    No worker runs meanwhile.
    """
    await bench.apply("settled", 1, 1, wait=False)
    owner = ids.subscription_id("settled")
    alone = await deciding_time(bench, owner, count)
    bare = await inserted(bench, count)
    await bench.fetch(CLONES, count=PRESENT)
    await bench.fetch("VACUUM ANALYZE")
    among = await deciding_time(bench, owner, count)
    start = time.perf_counter()
    for _ in range(20):
        await bench.ports.timetable.overdue(100)
    overdue = (time.perf_counter() - start) / 20 * 1000
    clones = "SELECT id FROM subscriptions WHERE name LIKE 'clone-%%'"
    await bench.fetch(f"DELETE FROM schedules WHERE subscription_id IN ({clones})")
    await bench.fetch("DELETE FROM subscriptions WHERE name LIKE 'clone-%%'")
    print(
        f"settling a firing: {alone:.1f} ms alone, {among:.1f} ms among {PRESENT} schedules "
        f"({among / alone:.2f}); a bare INSERT with its commit: {bare:.1f} ms; "
        f"the overdue scanner's look at {PRESENT}: {overdue:.1f} ms"
    )


async def deciding_time(bench: Bench, owner: str, count: int) -> float:
    """Return the median milliseconds of deciding the only due time."""
    schedule, found = ids.schedule_id(owner, "ticks"), []
    for _ in range(count):
        await bench.fetch("TRUNCATE firings CASCADE")
        due = now().replace(microsecond=0)
        query = "UPDATE schedules SET cursor = %(cursor)s, next_at = %(due)s WHERE id = %(id)s"
        await bench.fetch(query, cursor=due - timedelta(microseconds=1), due=due, id=schedule)
        ringing = Ringing("alarm/every 1s", due.isoformat())
        start = time.perf_counter()
        served = await bench.ports.timetable.served(ringing.alarm_id, 21)
        await bench.ports.timetable.ring(ringing, served, "benchmark")
        found.append((time.perf_counter() - start) * 1000)
    return statistics.median(found)


async def inserted(bench: Bench, count: int) -> float:
    await bench.fetch("CREATE TABLE bare (id int, text text)")
    found = []
    for number in range(count):
        start = time.perf_counter()
        await bench.fetch("INSERT INTO bare VALUES (%(id)s, 'text')", id=number)
        found.append((time.perf_counter() - start) * 1000)
    await bench.fetch("DROP TABLE bare")
    return statistics.median(found)


async def idle(bench: Bench, worker: int, seconds: float = 30) -> Mapping[str, float]:
    """Return percent of a core by component, while nothing is due and the server is idle."""
    await asyncio.sleep(45)
    before, start = processes(bench.home, worker), time.perf_counter()
    await asyncio.sleep(seconds)
    after, taken = processes(bench.home, worker), time.perf_counter() - start
    return {name: (after[name] - before[name]) / taken * 100 for name in after}


async def idle_costs(bench: Bench, worker: int) -> None:
    without = await idle(bench, worker)
    await bench.apply("idle", 1000, 24 * 3600, seconds_ago())
    among = await idle(bench, worker)
    for name in among:
        print(
            f"idle CPU, {name}: {without[name]:.1f} % of a core without schedules, "
            f"{among[name]:.1f} % with 1,000 not due"
        )


def seconds_ago() -> int:
    """Return the offset into the day, in seconds, of the time a minute ago."""
    moment = datetime.now(UTC) - timedelta(minutes=1)
    return moment.hour * 3600 + moment.minute * 60 + moment.second


async def lone_lags(bench: Bench) -> None:
    await bench.apply("lone", 1, LONE_EVERY)
    await bench.schedule_raw("raw-lone", 1, LONE_EVERY, 1)
    await asyncio.sleep(90)
    await bench.command("pause", "lone")
    await bench.unschedule_raw("raw-lone", 1)
    sides = (await bench.lags("lone"), STARTS, CALLS)
    show(
        "a lone schedule", *([percentile(flat(lags), share) for share in SHARES] for lags in sides)
    )
    STARTS.found.clear()
    CALLS.found.clear()


def flat(lags: Lags) -> list[float]:
    return sorted(value for values in lags.found.values() for value in values)


async def bursts(bench: Bench, count: int, rounds: int) -> None:
    """Let all schedules be due at one moment, ours and then those of the bare SDK."""
    sides: list[list[list[float]]] = [[], [], []]
    for number in range(rounds):
        due = next_due()
        await bench.apply("burst", count, HOUR, due=due)
        sides[0].append(await whole(lambda: bench.lags("burst"), due, count))
        due = next_due()
        await bench.schedule_raw(f"raw-{number}", count, HOUR, seconds_into_hour(due))
        sides[2].append(await whole(lambda: asyncio.sleep(0, CALLS), due, count))
        sides[1].append(sorted(STARTS.found[due]))
        await bench.unschedule_raw(f"raw-{number}", count)
        last = [side[-1][-1] for side in sides]
        print(f"  round: the last of ours after {last[0]:.0f} ms, of the bare SDK's {last[2]:.0f}")
    figures = [
        [statistics.median(percentile(lags, share) for lags in side) for share in SHARES]
        for side in sides
    ]
    show(f"{count} in the same second", *figures)


def next_due() -> datetime:
    return (now() + LEAD).replace(microsecond=0)


def seconds_into_hour(moment: datetime) -> int:
    return moment.minute * 60 + moment.second


async def whole(read: Callable[[], Awaitable[Lags]], due: datetime, count: int) -> list[float]:
    """Return the lags of one moment, sorted, once all firings have come; then wait a moment."""
    deadline = due + PATIENCE
    while len(found := (await read()).found.get(due, [])) < count:
        if now() > deadline:
            raise SystemExit(f"of {count} firings due at {due} came {len(found)}")
        await asyncio.sleep(0.5)
    await asyncio.sleep(3)
    return sorted(found)


def show(what: str, ours: Sequence[float], starts: Sequence[float], calls: Sequence[float]) -> None:
    for number, share in enumerate(SHARES):
        print(
            f"{what}, p{share * 100:.0f}: ours {ours[number]:.0f} ms; bare SDK's workflow start "
            f"{starts[number]:.0f} ms (ratio {ours[number] / starts[number]:.2f}), its local "
            f"activity {calls[number]:.0f} ms ({ours[number] / calls[number]:.2f})"
        )


async def measure(home: Path, options: argparse.Namespace) -> None:
    settings = load_settings({"home": home}, dict(os.environ))
    client = await Client.connect(settings.required_temporal_address())
    async with wiring.open_ports(settings, pool_size=4) as ports:
        bench = Bench(home, ports, client, options.task)
        print(f"load average {os.getloadavg()[0]:.1f}")
        if "settle" in options.parts:
            await deciding_costs(bench, 200)
            await bench.command("pause", "settled")
        raw = Worker(client, task_queue="raw", workflows=[RawFiring], activities=[raw_call])
        async with worker_of(home, ports) as worker:
            if "idle" in options.parts:
                await idle_costs(bench, worker)
            async with raw:
                if "lone" in options.parts:
                    await lone_lags(bench)
                if "bursts" in options.parts:
                    await bursts(bench, options.schedules, options.rounds)
        print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--task", choices=sorted(TASKS), default="nothing")
    carry_out(measure, parser)
