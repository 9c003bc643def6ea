"""kill -9 of the worker while it looks up the context of a run: it is looked up again, once.

    DRILL_SEED=7 pytest tests/drills/test_lookups.py -rP

The drill has its own servers, started as `up` does.
"""

import asyncio
import json
import os
import random
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.operations.gitops.apply import apply
from support.drilled import PortsDrill, seed


class SlowServer(ThreadingHTTPServer):
    """Answers with JSON once `go` is set; counts the requests and keeps their idempotency keys."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.go = Event()
        self.keys: list[str] = []


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, SlowServer)
        self.server.keys.append(self.headers["Idempotency-Key"])
        self.server.go.wait(120)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"active": true}')

    def log_message(self, *_: object) -> None:
        """Write no log."""


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def server() -> Iterator[SlowServer]:
    with SlowServer() as made:
        Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.go.set()
        made.shutdown()


@pytest.fixture
def drill(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PortsDrill]:
    made = PortsDrill(tmp_path / "home", random.Random(f"{request.node.name} {seed()}"))
    with made.running():
        yield made


async def apply_slow(drill: PortsDrill, url: str) -> None:
    named = {"metadata": {"name": "slow"}}
    spec = {
        "context": [{"name": "it", "http": {"url": url}, "timeout": "2m"}],
        "rules": [{"when": "context.it.active"}],
        "tasks": [{"name": "a", "command": {"argv": ["true"]}}],
    }
    definition = ActivityDefinition.model_validate_json(json.dumps({**named, "spec": spec}))
    wanted = SubscriptionManifest.model_validate({**named, "spec": {"activity": "slow"}})
    manifests = ManifestSet({"slow": definition}, {"slow": wanted}, {})
    async with drill.ports() as ports:
        catalog, register, workers = ports.catalog, ports.register, ports.workers
        await apply(manifests, catalog, register, workers, now, timeout_seconds=10)


@pytest.mark.slow
@pytest.mark.timeout(200)
async def test_a_lookup_is_repeated_after_its_worker_was_killed(
    drill: PortsDrill, server: SlowServer
) -> None:
    await apply_slow(drill, f"http://127.0.0.1:{server.server_address[1]}/")
    request = FiringRequest(ids.subscription_id("slow"), "manual", "drill/1", now())
    async with drill.ports() as ports:
        await ports.outbox.add([request], now())
    await drill.until(lambda: len(server.keys) == 1, 30)
    os.kill(drill.process_of("worker").pid, signal.SIGKILL)
    await drill.until(lambda: len(server.keys) == 2, 60)
    server.go.set()
    async with asyncio.timeout(60), drill.ports() as ports:
        while not (state := await ports.runs.load(request.ref.run_id)) or not state.run.has_ended:
            await asyncio.sleep(0.1)
    assert (state.run.status, state.run.context) == ("succeeded", {"it": {"active": True}})
    assert len(set(server.keys)) == 1, "both lookups have the same idempotency key"
    log = await drill.fetch("SELECT message FROM log_entries ORDER BY id")
    messages = [entry["message"] for entry in log]
    assert messages[0] == "run started by manual; its context is being looked up"
    assert messages[1].startswith("its context is looked up again")
    assert messages.count("run succeeded") == 1
