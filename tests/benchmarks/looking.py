"""Measure what a person who looks waits for: pages of a large log, and new lines of a log.

    python tests/benchmarks/looking.py [--rows 1000000] [--runs 1000000] [--lines 300]

Prints the time of `describe run` with 1,000 tasks (target 1 s), of `describe subscription` with
1,000,000 runs, of a reading of `top`, of `logs --tail 100` beyond that
of `logs --tail 0` (target 60 ms), of a page of 500 entries at the start, in the middle and at the
end of the log, of filters, and the time from the commit of a line to its print by `logs --follow`:
alone, and beside transactions that hold lines back for 20 ms (target p95 100 ms). Uses temporary
servers.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import psycopg
from bed import carry_out, now, shown

from activityctl import wiring
from activityctl.adapters.postgres.runs.at_work import AT_WORK_QUERIES
from activityctl.adapters.postgres.runs.facts import FACT_QUERIES
from activityctl.domain.runs.subscription_facts import WEEK
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter
from activityctl.operations.looking.what_is_at_work import what_is_at_work
from activityctl.operations.runs.follow_logs import read_logs
from activityctl.settings import Secret, Settings

MANIFESTS = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: noisy}
spec:
  tasks: [{name: note, command: {argv: ["true"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: noisy}
spec: {activity: noisy}
"""
FILL = """
    INSERT INTO log_entries (transaction, subscription_id, run_id, level, message, metadata,
        created_at)
    SELECT 3, %s, md5((n / 10)::text),
        CASE WHEN n %% 5000 = 0 THEN 'error' ELSE 'info' END,
        'task note: attempt 1 of the item ' || n || ' succeeded after 12 ms', '{"task": "note"}',
        now() - interval '1 second' * (%s - n)
    FROM generate_series(1, %s) AS n"""
RUN = """
    INSERT INTO runs (id, subscription_id, definition, revision_id, trigger, firing_key,
        workflow_id, due_at, status, params, context, state, payload, created_at, started_at,
        ended_at)
    SELECT 'many-tasks', s.id, s.definition, v.id, 'manual', 'many', 'run/many', now(), 'failed',
        '{}', '{}', '{}', '{}', now(), now(), now() + interval '60 s'
    FROM subscriptions s JOIN revisions v ON v.definition = s.definition"""
TASKS = """
    INSERT INTO tasks (id, run_id, name, index, phase, kind, status, attempts, input, output,
        created_at, started_at, ended_at)
    SELECT 'task-' || n, 'many-tasks', 'task-' || n, 0, 'main', 'command', 'succeeded', 2,
        '{"argv": ["true"]}', '{"stdout": "a line of output"}', now(),
        now() + interval '50 ms' * n, now() + interval '50 ms' * n + interval '1 s'
    FROM generate_series(1, 1000) AS n"""
ATTEMPTS = """
    INSERT INTO attempts (task_id, number, worker, started_at, outcome, ended_at, error)
    SELECT 'task-' || n, m, 'host/1', now() + interval '50 ms' * (n + 10 * m),
        CASE m WHEN 1 THEN 'failed' ELSE 'succeeded' END,
        now() + interval '50 ms' * (n + 10 * m + 5), CASE m WHEN 1 THEN 'no answer' END
    FROM generate_series(1, 1000) AS n, generate_series(1, 2) AS m"""
MANY_RUNS = """
    INSERT INTO runs (id, subscription_id, definition, revision_id, trigger, firing_key,
        workflow_id, due_at, status, params, context, state, payload, created_at, started_at,
        ended_at, reason)
    SELECT 'r-' || n, s.id, s.definition, v.id, 'often', n::text, 'w-' || n, at,
        CASE n % 50 WHEN 0 THEN 'failed' WHEN 1 THEN 'skipped' ELSE 'succeeded' END,
        '{}', '{}', '{}', '{}', at, at, at + interval '1 ms' * (n % 9000), NULL
    FROM generate_series(1, {rows}) AS n, subscriptions s
    JOIN revisions v ON v.definition = s.definition,
    LATERAL (SELECT now() - interval '0.6 s' * n AS at) AS x"""
MANY_LETTERS = """
    INSERT INTO dead_letters (id, run_id, subscription_id, reason, created_at)
    SELECT 'l-' || id, id, subscription_id, 'no answer', created_at FROM runs
    WHERE status = 'failed'"""
OPEN_RUNS = """
    INSERT INTO runs (id, subscription_id, definition, revision_id, trigger, firing_key,
        workflow_id, due_at, status, params, context, state, payload, created_at, started_at)
    SELECT 'open-' || n, s.id, s.definition, v.id, 'often', 'open-' || n, 'open-' || n, now(),
        'running', '{}', '{}', '{}', '{}', now(), now()
    FROM generate_series(1, 1000) AS n, subscriptions s
    JOIN revisions v ON v.definition = s.definition"""
COMMAND = str(Path(sys.executable).parent / "activityctl")
REPEATS = 7


async def milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def command(home: Path, *arguments: str) -> str:
    """Return the medians of a command: of the time, and of its own CPU time."""
    taken, used = [], []
    for _ in range(REPEATS):
        start, before = time.perf_counter(), cpu_of_children()
        subprocess.run(
            [COMMAND, "--home", str(home), *arguments], check=True, stdout=subprocess.DEVNULL
        )
        taken.append((time.perf_counter() - start) * 1000)
        used.append(cpu_of_children() - before)
    return f"{statistics.median(taken):.0f} ms, CPU {statistics.median(used):.0f} ms"


async def pages(ports: wiring.Ports, owner: str, rows: int) -> None:
    """Print the times of pages at different places, and of filters."""
    wanted = LogFilter((owner,))

    async def tail() -> None:
        assert len([entry async for entry in read_logs(ports.logbook, wanted, tail=100)]) == 100

    print(f"  tail of 100, within the program: {await milliseconds(tail):.1f} ms")
    first, _ = await ports.logbook.page(wanted, Cursor(), limit=1)
    for share in (0.0, 0.5, 0.999):
        place = Cursor(3, first[0].id + int(rows * share))

        async def page(place: Cursor = place) -> None:
            found, _ = await ports.logbook.page(wanted, place, limit=500)
            assert len(found) == 500

        print(f"  page of 500 after {share:.1%} of the log: {await milliseconds(page):.1f} ms")
    for text, narrowed in {
        "--level error --tail 20": LogFilter((owner,), level="error"),
        "--since 2h --tail 20": LogFilter((owner,), since=now() - timedelta(hours=2)),
        "--grep 'item [0-9]*7 ' --tail 20": LogFilter((owner,), text="item [0-9]*7 "),
        "--grep 'of the item 7777 ' (one line)": LogFilter((owner,), text="of the item 7777 "),
        "--task note --tail 20": LogFilter((owner,), task="note"),
    }.items():

        async def narrow(narrowed: LogFilter = narrowed) -> None:
            found = [entry async for entry in read_logs(ports.logbook, narrowed, tail=20)]
            assert len(found) in {1, 20}

        print(f"  {text}: {await milliseconds(narrow):.1f} ms")


async def follow(home: Path, ports: wiring.Ports, owner: str, lines: int) -> list[float]:
    """Return the sorted milliseconds from the commits of lines until they are printed."""
    following = await asyncio.create_subprocess_exec(
        *(COMMAND, "--home", str(home), "logs", "noisy", "--follow", "--tail", "1", "-o", "jsonl"),
        stdout=subprocess.PIPE,
    )
    assert following.stdout is not None
    await following.stdout.readline()
    committed: dict[str, float] = {}
    taken = []
    for number in range(lines):
        entry = LogEntry(owner, None, f"line {number}", "info", now())
        await ports.logbook.append([entry])
        committed[entry.message] = time.perf_counter()
        line = json.loads(await following.stdout.readline())
        taken.append((time.perf_counter() - committed[line["message"]]) * 1000)
        await asyncio.sleep(0.01)
    following.terminate()
    await following.wait()
    return sorted(taken)


async def hold_back(url: str) -> None:
    """Keep a transaction open for 20 ms, again and again."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        while True:
            async with connection.transaction():
                await connection.execute("SELECT pg_current_xact_id()")
                await asyncio.sleep(0.02)


def describe(home: Path, connection: psycopg.Connection) -> None:
    """Print the times of `describe run` with 1,000 tasks of two attempts each."""
    for statement in (RUN, TASKS, ATTEMPTS):
        connection.execute(statement.encode())
    for more in ((), ("--timeline",), ("-o", "html"), ("-o", "json")):
        taken = command(home, "describe", "run", "many-tasks", *more)
        print(f"describe run, 1,000 tasks {' '.join(more)}: {taken} (target 1000)")


async def subscription_and_top(
    home: Path, connection: psycopg.Connection, ports: wiring.Ports, owner: str, rows: int
) -> None:
    """Print the times of `describe subscription` and of a reading of `top` among many runs."""
    start = time.perf_counter()
    for statement in (MANY_RUNS.replace("{rows}", str(rows)), MANY_LETTERS, OPEN_RUNS):
        connection.execute(statement.encode())
    connection.execute("VACUUM ANALYZE")
    print(f"{rows:,} runs, a fiftieth with a dead letter: {time.perf_counter() - start:.0f} s")

    async def facts() -> None:
        await ports.facts.of_subscription(owner, now())

    async def at_work() -> None:
        await what_is_at_work(ports.facts, ports.workers)

    print(f"version: {command(home, 'version')}")
    print(f"describe sub: {command(home, 'describe', 'sub', 'noisy')}")
    print(f"  its facts, within the program: {await milliseconds(facts):.1f} ms")
    print(f"a reading of top, 1,000 open runs: {await milliseconds(at_work):.1f} ms")
    for found, queries, values in (
        (
            "facts",
            FACT_QUERIES,
            {
                "owner": owner,
                "now": now(),
                "since": now() - WEEK,
                "paused_at": None,
                "within": timedelta(minutes=1),
            },
        ),
        ("top", AT_WORK_QUERIES, {"text": None}),
    ):
        parts = []
        for name, query in queries.items():
            began = time.perf_counter()
            connection.execute(query.encode(), values).fetchall()
            parts.append(f"{name} {(time.perf_counter() - began) * 1000:.1f}")
        print(f"  statements of {found}, ms: {', '.join(parts)}")


async def measure(home: Path, options: argparse.Namespace) -> None:
    (home / "noisy.yaml").write_text(MANIFESTS)
    state = json.loads((home / "daemon.json").read_text())
    url = state["addresses"]["database_url"]
    applying = [COMMAND, "--home", str(home), "apply", "-f", str(home / "noisy.yaml"), "--no-wait"]
    await asyncio.to_thread(subprocess.run, applying, check=True)
    settings = Settings(home=home, database_url=Secret(url))
    async with wiring.open_ports(settings, pool_size=4) as ports:
        owner = (await ports.catalog.find_subscription("noisy")).id
        with psycopg.connect(url, autocommit=True) as connection:
            start = time.perf_counter()
            connection.execute(FILL, (owner, options.rows, options.rows))
            print(f"{options.rows:,} rows in {time.perf_counter() - start:.0f} s")
            connection.execute("VACUUM ANALYZE log_entries")
            describe(home, connection)
            await subscription_and_top(home, connection, ports, owner, options.runs)
        print(f"load {os.getloadavg()[0]:.1f}")
        nothing = command(home, "logs", "noisy", "--tail", "0")
        hundred = command(home, "logs", "noisy", "--tail", "100")
        print(f"logs --tail 100: {hundred}, --tail 0: {nothing} (target 60 more)")
        await pages(ports, owner, options.rows)
        alone = await follow(home, ports, owner, options.lines)
        print(f"a new line, alone: {shown(alone)} (target p95 100)")
        holding = asyncio.create_task(hold_back(url))
        beside = await follow(home, ports, owner, options.lines)
        holding.cancel()
        await asyncio.wait([holding])
        print(f"a new line, beside transactions of 20 ms: {shown(beside)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--lines", type=int, default=300)
    carry_out(measure, parser)


if __name__ == "__main__":
    main()
