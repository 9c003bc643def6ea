"""Measure streams of log entries: how late a new line reaches all who follow, and what it costs.

    python tests/benchmarks/streams.py [--followers 500] [--lines 100] [--only same]

The followers are raw sockets in a process of their own, so that their CPU is told apart. A delay is
the time from the commit of a line to the moment when a follower has read it.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import selectors
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from api import cpu, start
from bed import carry_out, shown

from activityctl import wiring
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.log import LogEntry
from activityctl.settings import load_settings

MESSAGE = re.compile(rb'"message": "line (\d+) ')
KINDS = {
    "same": "all follow one subscription",
    "each": "each follows one of its own, of which all get a line at the same moment",
    "other": "each follows one of its own, of which one gets a line",
    "all": "all follow all subscriptions",
    "grep": "all follow one subscription with another text each, which is in the line",
    "regex": "all follow one subscription with the same regular expression",
    "regexes": "all follow one subscription with a regular expression of their own",
}


def path_of(kind: str, number: int) -> str:
    match kind:
        case "same":
            return "/v1/subscriptions/s0/logs?tail=0"
        case "each" | "other":
            return f"/v1/subscriptions/s{number}/logs?tail=0"
        case "all":
            return "/v1/logs?tail=0"
        case "grep":
            return f"/v1/subscriptions/s0/logs?tail=0&grep=%20{number}%20"
        case "regexes":
            return f"/v1/subscriptions/s0/logs?tail=0&grep=%5Eline%20%28.%2A%7C{number}%29x%24%7Cx"
        case _:
            return "/v1/subscriptions/s0/logs?tail=0&grep=%5Eline%20"


def follow(port: int, token: str, kind: str, count: int, link: Any) -> None:
    """Follow with so many sockets; send each line's number and time of arrival when asked."""
    ready = selectors.DefaultSelector()
    ready.register(link, selectors.EVENT_READ, "link")
    rest: dict[socket.socket, bytes] = {}
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", port))
        head = f"GET {path_of(kind, number)} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += f"Authorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
        connection.sendall(head.encode())
        connection.setblocking(False)
        ready.register(connection, selectors.EVENT_READ, connection)
        rest[connection] = b""
    followed: set[socket.socket] = set()
    arrivals: list[tuple[int, float]] = []
    while True:
        for key, _ in ready.select():
            if key.data == "link":
                if link.recv() == "stop":
                    return
                link.send((len(followed), arrivals))
                arrivals = []
                continue
            received = key.data.recv(65_536)
            if not received:
                ready.unregister(key.data)  # the server has ended the stream
            data = rest[key.data] + received
            at = time.perf_counter()
            if b": the log follows" in data:
                followed.add(key.data)
            found = list(MESSAGE.finditer(data))
            arrivals += [(int(each[1]), at) for each in found]
            rest[key.data] = data[found[-1].end() :] if found else data[-200:]


def asked(link: Any) -> tuple[int, list[tuple[int, float]]]:
    link.send("how far")
    answer: tuple[int, list[tuple[int, float]]] = link.recv()
    return answer


async def subscribe(ports: wiring.Ports, count: int) -> list[str]:
    """Make subscriptions; return their ids."""
    definition = ActivityDefinition.model_validate_json(
        json.dumps(
            {
                "metadata": {"name": "followed"},
                "spec": {"tasks": [{"name": "note", "command": {"argv": ["true"]}}]},
            }
        )
    )
    names = [f"s{number}" for number in range(count)]
    manifests = {
        name: SubscriptionManifest.model_validate_json(
            json.dumps({"metadata": {"name": name}, "spec": {"activity": "followed"}})
        )
        for name in names
    }
    async with ports.catalog.changing():
        plan = plan_changes(
            Wanted({"followed": definition}, manifests), await ports.catalog.present()
        )
        await ports.catalog.write(plan, datetime.now(UTC))
    return [(await ports.catalog.find_subscription(name)).id for name in names]


def text(number: int, followers: int, kind: str) -> str:
    """Return the message of a line of usual length; with the texts of all who search for one."""
    words = " ".join(map(str, range(followers))) if kind == "grep" else "x" * 60
    return f"line {number} {words} "


async def measure(home: Path, options: argparse.Namespace) -> None:
    count = options.followers
    settings = load_settings({"home": home}, dict(os.environ))
    async with wiring.open_ports(settings, pool_size=2) as ports:
        owners = await subscribe(ports, count)
        for kind in options.only or KINDS:
            process, url, _ = start(home)
            token = (home / "api-token").read_text("ascii").strip()
            try:
                await measure_kind(kind, ports, owners, (process.pid, url, token), options)
            finally:
                process.terminate()
                process.wait()


async def measure_kind(
    kind: str,
    ports: wiring.Ports,
    owners: list[str],
    server: tuple[int, str, str],
    options: argparse.Namespace,
) -> None:
    pid, url, token = server
    count = options.followers
    link, end = multiprocessing.Pipe()
    arguments = (int(url.rpartition(":")[2]), token, kind, count, end)
    reader = multiprocessing.get_context("fork").Process(target=follow, args=arguments, daemon=True)
    began, used = time.perf_counter(), cpu(pid)
    reader.start()
    while asked(link)[0] < count:
        await asyncio.sleep(0.2)
    opened = time.perf_counter() - began
    print(f"{kind}: {KINDS[kind]}", flush=True)
    print(f"  {count} streams open after {opened:.1f} s, CPU {cpu(pid) - used:.1f} s")
    await asyncio.sleep(2)
    used, used_by_reader = cpu(pid), cpu(reader.pid or 0)
    delays = [delay async for delay in write_lines(kind, ports, owners, link, options)]
    lines = options.lines
    used, used_by_reader = cpu(pid) - used, cpu(reader.pid or 0) - used_by_reader
    each = sorted(delay for _, delay in delays)
    numbers = range(lines)
    slowest = sorted(max(d for n, d in delays if n == number) for number in numbers)
    load = psutil.getloadavg()[0]
    print(f"  delay of each follower: {shown(each)}, most {max(each):.0f} ms; load {load:.1f}")
    print(f"  until the last has the line: {shown(slowest)}")
    memory = psutil.Process(pid).memory_info().rss / 2**20
    print(
        f"  CPU a line: server {used / lines * 1e3:.0f} ms, followers "
        f"{used_by_reader / lines * 1e3:.0f} ms; memory of the server {memory:.0f} MiB"
    )
    link.send("stop")
    reader.join()


async def write_lines(
    kind: str, ports: wiring.Ports, owners: list[str], link: Any, options: argparse.Namespace
) -> AsyncIterator[tuple[int, float]]:
    """Write lines one after the other; yield the number of each and each delay in ms."""
    count = options.followers
    written = owners if kind == "each" else owners[:1]
    expected = 1 if kind == "other" else count
    for number in range(options.lines):
        now = datetime.now(UTC)
        message = text(number, count, kind)
        await ports.logbook.append([LogEntry(o, None, message, "info", now) for o in written])
        committed = time.perf_counter()
        await asyncio.sleep(options.pause)
        arrived: list[tuple[int, float]] = []
        for _ in range(200):
            arrived += asked(link)[1]
            if len(arrived) >= expected:
                break
            await asyncio.sleep(0.05)
        assert len(arrived) == expected, f"{len(arrived)} of {expected} have line {number}"
        assert {each for each, _ in arrived} == {number}
        for each, at in arrived:
            yield each, (at - committed) * 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--followers", type=int, default=500)
    parser.add_argument("--lines", type=int, default=60)
    parser.add_argument("--pause", type=float, default=0.4, help="seconds between two lines")
    parser.add_argument("--only", choices=KINDS, action="append")
    carry_out(measure, parser)


if __name__ == "__main__":
    main()
