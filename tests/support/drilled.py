"""A daemon whose processes a drill kills, and a server that records what its tasks send."""

import asyncio
import json
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg
from psycopg.rows import dict_row
from temporalio.api.enums.v1 import EventType

from activityctl import wiring
from activityctl.daemon.local.detached import start_detached
from activityctl.daemon.local.embedded_postgres import processes_of
from activityctl.daemon.local.state import read_state
from activityctl.daemon.local.supervised_process import orphan_processes
from activityctl.daemon.local.supervisor import stop_daemon
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.errors import UnreachableError
from activityctl.operations.gitops.apply import apply
from activityctl.process_identity import find_process
from activityctl.settings import load_settings
from support.link import Link
from support.prepared_home import prepare

_Answer = TypeVar("_Answer")
Row = Mapping[str, Any]


class Receiver(ThreadingHTTPServer):
    """Records each request of a task: its path, its idempotency key and its body."""

    daemon_threads = True
    request_queue_size = 256  # a burst of tasks connects at once

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.received: list[tuple[str, str, Any]] = []
        self.broken: set[str] = set()
        """The paths that answer 503."""
        self.refused: list[tuple[str, str]] = []
        """The path and the key of each request that was answered so."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Receive(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        if len(body) < size:  # the sender was killed while it sent
            return
        assert isinstance(self.server, Receiver)
        if (path := self.path.strip("/")) in self.server.broken:
            self.server.refused.append((path, self.headers["Idempotency-Key"]))
            self.send_response(503)
            self.end_headers()
            return
        request = (
            path,
            self.headers["Idempotency-Key"],
            json.loads(body or b"null"),
        )
        self.server.received.append(request)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write no log."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        try:
            yield receiver
        finally:
            receiver.shutdown()


def seed() -> int:
    """Return and print the seed of the drill's random choices, so that a drill can be repeated."""
    chosen = int(os.environ.get("DRILL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"DRILL_SEED={chosen}")
    return chosen


class Drill:
    """A home directory, and the daemon that `up` runs in it."""

    def __init__(self, home: Path, chance: random.Random) -> None:
        self.home = home
        self.chance = chance
        self._kept: psycopg.AsyncConnection[Row] | None = None
        self._turn = asyncio.Lock()

    def up(self) -> None:
        if not (self.home / "postgres").exists():
            prepare(self.home)
        command = [sys.executable, "-m", "activityctl", "--home", str(self.home), "up"]
        start_detached(self.home, command, os.environ)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the daemon during the block; leave no process behind."""
        self.up()
        try:
            yield
        finally:
            if self._kept is not None:
                self._kept.pgconn.finish()
            stop_daemon(self.home)
            for process in self.processes():
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    @property
    def database_url(self) -> str:
        return read_state(self.home).addresses["database_url"]

    def process_of(self, component: str) -> psutil.Process:
        (part,) = (part for part in read_state(self.home).components if part.name == component)
        process = find_process(part.identity)
        assert process is not None
        return process

    def _find_temporal(self) -> psutil.Process | None:
        """Return its process; None while it is down, which a drill may have caused."""
        parts = read_state(self.home).components
        found = next((part for part in parts if part.name == "temporal"), None)
        return None if found is None else find_process(found.identity)

    @contextmanager
    def without_restarts(self) -> Iterator[None]:
        """Suspend the supervisor, so that it does not restart what is killed."""
        state = read_state(self.home)
        assert state.supervisor is not None
        supervisor = psutil.Process(state.supervisor.pid)
        supervisor.suspend()
        try:
            yield
        finally:
            supervisor.resume()

    def copy_temporal(self, folder: Path) -> None:
        """Copy Temporal's files as they are at one moment, as a power cut would leave them."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        temporal = self._find_temporal()
        with suppress(psutil.NoSuchProcess):
            if temporal is not None:
                temporal.suspend()
            for path in self.home.glob("temporal.db*"):
                shutil.copy(path, folder)
            if temporal is not None:
                temporal.resume()

    def put_back_temporal(self, folder: Path) -> None:
        """Kill Temporal, if it is there, and start it again with the files of this folder."""
        with self.without_restarts():
            temporal = self._find_temporal()
            with suppress(psutil.NoSuchProcess):
                if temporal is not None:
                    temporal.kill()
                    while temporal.status() != psutil.STATUS_ZOMBIE:  # its parent is suspended
                        time.sleep(0.02)
            for path in self.home.glob("temporal.db*"):
                path.unlink()
            for path in folder.iterdir():
                shutil.copy(path, self.home)

    def processes(self) -> list[psutil.Process]:
        """Return every process of the daemon that still runs."""
        return [*orphan_processes(self.home), *processes_of(self.home / "postgres")]


class PortsDrill(Drill):
    """A daemon that is also used through its ports, while some of its processes are down."""

    @asynccontextmanager
    async def ports(self) -> AsyncIterator[wiring.Ports]:
        async with wiring.open_ports(load_settings({"home": self.home}, {})) as ports:
            yield ports

    async def apply_specs(self, specs: Mapping[str, Mapping[str, Any]]) -> None:
        """Apply a definition with each of these specs, and a subscription of the same name."""
        definitions, subscriptions = {}, {}
        for name, spec in specs.items():
            named = {"metadata": {"name": name}}
            definitions[name] = ActivityDefinition.model_validate_json(
                json.dumps({**named, "spec": spec})
            )
            subscriptions[name] = SubscriptionManifest.model_validate(
                {**named, "spec": {"activity": name}}
            )
        manifests = ManifestSet(definitions, subscriptions, {})
        async with self.ports() as ports:
            catalog, register, workers = ports.catalog, ports.register, ports.workers
            await apply(manifests, catalog, register, workers, _now, timeout_seconds=60)

    def worker_behind(self, link: Link) -> dict[str, str]:
        """Return the environment of another worker, which reaches Postgres through the link."""
        addresses = read_state(self.home).addresses
        kept = {key: text for key, text in os.environ.items() if "ACTIVITYCTL_" not in key}
        return {
            **kept,
            "ACTIVITYCTL_HOME": str(self.home.with_name("second")),
            "ACTIVITYCTL_DATABASE_URL": link.url(addresses["database_url"]),
            "TEMPORAL_ADDRESS": addresses["temporal_address"],
            "ACTIVITYCTL_ALLOW_COMMANDS": "true",
            "ACTIVITYCTL_ALLOW_HTTP": "true",
            "ACTIVITYCTL_ALLOWED_NETWORKS": "127.0.0.0/8",
        }

    async def fetch(self, query: str) -> list[Row]:
        """Return the rows; a drill asks often, so one connection is kept while it lives."""
        async with self._turn:
            if self._kept is not None and not self._kept.closed:
                with suppress(psycopg.OperationalError):  # the server has ended it meanwhile
                    return list(await (await self._kept.execute(query.encode())).fetchall())
            self._kept = await psycopg.AsyncConnection.connect(
                self.database_url, autocommit=True, row_factory=dict_row
            )
            return list(await (await self._kept.execute(query.encode())).fetchall())

    async def wait_for_temporal(self, seconds: float) -> None:
        """Wait until Temporal has no open workflow; say what the open ones did last."""
        deadline = time.monotonic() + seconds
        while left := await self.retry_while_down(self._open_workflows):
            assert time.monotonic() < deadline, "\n".join(left)
            await asyncio.sleep(0.5)

    async def _open_workflows(self) -> list[str]:
        client = await wiring.connect_temporal(load_settings({"home": self.home}, {}))
        found = []
        async for workflow in client.list_workflows('ExecutionStatus = "Running"'):
            handle = client.get_workflow_handle(workflow.id, run_id=workflow.run_id)
            events = (await handle.fetch_history()).events[-8:]
            last = [EventType.Name(event.event_type) for event in events]
            found.append(f"{workflow.id} since {workflow.start_time}: {last}")
        return found

    async def retry_while_down(
        self, ask: Callable[[], Awaitable[_Answer]], seconds: float = 90
    ) -> _Answer:
        """Call `ask` again until the servers answer."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return await ask()
            except (UnreachableError, psycopg.OperationalError, KeyError):
                assert time.monotonic() < deadline, "the servers did not come back"
                await asyncio.sleep(0.2)

    async def until(self, holds: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.02)


def _now() -> datetime:
    return datetime.now(UTC)
