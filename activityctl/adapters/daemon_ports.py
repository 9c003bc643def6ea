"""The ports on which the processes of a home's local daemon listen, as the system knows them.

Temporal opens some ports at random at each start, so no file has all of them.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil
from pydantic import ValidationError

from activityctl.errors import UnreachableError, reason_of
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.process_identity import ProcessIdentity, find_process
from activityctl.settings import daemon_document

KEPT_SECONDS: Final = 1.0
"""How long an answer is used while no process of the daemon starts or ends."""
_WORKER: Final = "worker"
"""It listens nowhere. What its tasks open does not belong to the daemon."""
_STORED: Final = frozenset({"supervisor", "postgres", "api"})
"""Their ports are all in `ports` of daemon.json. Linux lets nobody but root look at them."""


@frozen_dataclass
class _Reading:
    ports: frozenset[int]
    document: Mapping[str, Any]
    at: float


class DaemonPorts:
    """Finds the ports of the local daemon of a home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = asyncio.Lock()
        self._kept: _Reading | None = None

    async def listening(self) -> frozenset[int]:
        """Return the ports; UnreachableError or InvalidInputError if they cannot be found out."""
        async with self._lock:
            return await asyncio.to_thread(self._read)

    def _read(self) -> frozenset[int]:
        document = daemon_document(self._home) or {}
        processes, is_complete = _processes(document)
        kept, now = self._kept, time.monotonic()
        if is_complete and kept and kept.document == document and now - kept.at < KEPT_SECONDS:
            return kept.ports
        stored = document.get("ports")
        ports = set(stored.values()) if isinstance(stored, dict) else set()
        for process, name in processes.items():
            ports.update(_ports_of(process, name))
        self._kept = _Reading(frozenset(ports), document, now) if is_complete else None
        return frozenset(ports)


def _processes(document: Mapping[str, Any]) -> tuple[dict[psutil.Process, str], bool]:
    """Return the daemon's processes with their names, and whether all of them are there to stay.

    While one starts or was just restarted, daemon.json may not have it yet. Then the children of
    the supervisor are processes of the daemon, whatever daemon.json says.
    """
    parts = [dict(part) for part in document.get("components") or ()]
    is_complete = bool(parts)
    found: dict[psutil.Process, str] = {}
    for part in parts:
        process = _find(part)
        is_complete = is_complete and process is not None and part.get("state") == "running"
        if process is not None:
            found[process] = str(part.get("name"))
    supervisor = _find(document.get("supervisor") or {})
    if supervisor is not None:
        others = () if is_complete else _children(supervisor)
        found = {supervisor: "supervisor", **dict.fromkeys(others, "unknown"), **found}
    return {process: name for process, name in found.items() if name != _WORKER}, is_complete


def _find(identity: Mapping[str, Any]) -> psutil.Process | None:
    """Return the process that was stored, or None when it has ended or its pid is reused."""
    with suppress(psutil.NoSuchProcess, ValidationError):
        return find_process(ProcessIdentity.model_validate(identity))
    return None


def _children(supervisor: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [child for child in supervisor.children() if child.pid != os.getpid()]
    return []


def _ports_of(process: psutil.Process, name: str) -> Iterator[int]:
    try:
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                yield connection.laddr.port
    except psutil.NoSuchProcess:
        return
    except (psutil.Error, OSError) as error:
        if name not in _STORED:
            reason = reason_of(error) if isinstance(error, OSError) else str(error)
            raise UnreachableError(
                f"the ports of process {process.pid} ({name}) of the local daemon are not known, "
                f"and tasks must not call them: {reason}",
                hint="run the worker with the account of the daemon",
            ) from error
