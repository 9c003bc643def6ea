"""Measure what the HTTP API costs: batches of events, single events, and its start.

    python tests/benchmarks/api.py [--batches 50] [--singles 300] [--starts 3]

Each figure stands beside that of a bare application on the same server (uvicorn with our
connections) that reads the body and answers a constant, measured in turns in the same run: the
ratio says what our part costs, whatever else the machine does. CPU is that of the process of the
server, without Postgres.
"""

import argparse
import json
import multiprocessing
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvicorn

from activityctl.api.connection import Deadlines, connections
from activityctl.api.places import Places
from activityctl.daemon.local.detached import start_detached
from activityctl.daemon.local.supervisor import stop_daemon

COMMAND = Path(sys.executable).parent / "activityctl"
SERVERS = (
    "import asyncio, os, sys, pathlib\n"
    "from activityctl.daemon.local.supervisor import Hooks, supervise\n"
    "from activityctl import wiring\n"
    "hooks = Hooks(migrate=lambda url: asyncio.to_thread(wiring.migrate, url))\n"
    "asyncio.run(supervise(pathlib.Path(sys.argv[1]), [], hooks, os.environ))\n"
)
BATCH = 100
ANSWER = b'{"apiVersion": "activityctl/v1", "kind": "List", "items": []}'


def event(name: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": name,
        "source": "https://shop.example/orders",
        "type": "order.created",
        "subject": "customer/17",
        "time": "2026-05-01T12:00:00.123Z",
        "data": {"amount": 12.5, "customer": {"id": 17}, "note": "x" * 60},
    }


async def constant(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and answer always the same."""
    if scope["type"] == "lifespan":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


def serve_constant(listener: socket.socket) -> None:
    made: Any = connections(Places(1_000), Deadlines())
    config = uvicorn.Config(constant, http=made, ws="none", lifespan="off", log_level="error")
    uvicorn.Server(config).run(sockets=[listener])


def cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def post(
    url: str, token: str, pid: int, bodies: list[bytes], kind: str
) -> tuple[float, list[float]]:
    """Return the CPU seconds of the server, and the seconds of each request."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    taken = []
    with httpx.Client(headers=headers, timeout=60, trust_env=False) as client:
        before = cpu(pid)
        for body in bodies:
            began = time.perf_counter()
            assert client.post(f"{url}/v1/events", content=body).status_code == 200
            taken.append(time.perf_counter() - began)
    return cpu(pid) - before, taken


def post_beside(url: str, token: str, pid: int, bodies: list[bytes], kind: str) -> float:
    """Return the seconds until two clients, which send at the same time, have all answers."""
    began = time.perf_counter()
    with ThreadPoolExecutor(2) as senders:
        halves = [
            senders.submit(post, url, token, pid, bodies[first::2], kind) for first in range(2)
        ]
        for half in halves:
            half.result()
    return time.perf_counter() - began


def share(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] * 1_000


def start(home: Path) -> tuple[subprocess.Popen[str], str, float]:
    """Return a server, its URL, and after how many seconds it answered."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(COMMAND), "serve", "--port", "0", "--rate", "1000000"],
        env={**os.environ, "ACTIVITYCTL_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    found = re.search(r"http://[\d.:]+", process.stderr.readline())
    assert found is not None
    httpx.get(f"{found[0]}/healthz", timeout=60, trust_env=False).raise_for_status()
    return process, found[0], time.perf_counter() - began


def measure(home: Path, batches: int, singles: int, starts: int) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    bare = multiprocessing.get_context("fork").Process(target=serve_constant, args=(listener,))
    bare.start()
    own = [start(home) for _ in range(starts)]
    process, url, _ = own[-1]
    for other, _, _ in own[:-1]:
        other.terminate()
    ready = [(seconds, cpu(each.pid)) for each, _, seconds in own[-1:]]
    token = (home / "api-token").read_text("ascii").strip()
    plain = f"http://127.0.0.1:{listener.getsockname()[1]}"
    label = os.getpid()
    many = [
        json.dumps([event(f"{label}-{number}-{one}") for one in range(BATCH)]).encode()
        for number in range(batches)
    ]
    others = [
        json.dumps([event(f"{label}-other-{number}-{one}") for one in range(BATCH)]).encode()
        for number in range(batches)
    ]
    few = [json.dumps(event(f"{label}-one-{number}")).encode() for number in range(singles)]
    print(f"serve ready: {statistics.median(s for _, _, s in own):.2f} s, CPU {ready[0][1]:.2f} s")
    for name, bodies, kind, size in (
        ("batches of 100", many, "application/cloudevents-batch+json", BATCH),
        ("single events", few, "application/cloudevents+json", 1),
    ):
        post(url, token, process.pid, bodies[:2], kind)  # known: duplicates
        assert bare.pid is not None
        used, taken = post(url, token, process.pid, bodies[2:], kind)
        idle, least = post(plain, token, bare.pid, bodies[2:], kind)
        count = len(bodies[2:]) * size
        print(
            f"{name}: {count / sum(taken):,.0f} a second; CPU of the server "
            f"{used / count * 1e6:,.0f} us an event, bare {idle / count * 1e6:,.0f} us; "
            f"request p50 {share(taken, 0.5):.1f} ms, p99 {share(taken, 0.99):.1f} ms, "
            f"bare p50 {share(least, 0.5):.1f} ms, p99 {share(least, 0.99):.1f} ms"
        )
    taken_beside = post_beside(
        url, token, process.pid, others, "application/cloudevents-batch+json"
    )
    print(f"batches of two clients: {batches * BATCH / taken_beside:,.0f} a second")
    process.terminate()
    process.wait()
    bare.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--singles", type=int, default=300)
    parser.add_argument("--starts", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        start_detached(home, [sys.executable, "-c", SERVERS, str(home)], os.environ)
        try:
            measure(home, options.batches, options.singles, options.starts)
        finally:
            stop_daemon(home)


if __name__ == "__main__":
    main()
