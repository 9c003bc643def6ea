"""Start a process, wait until it is ready, restart it when it ends, and stop it."""

import asyncio
import errno
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final

import psutil

from activityctl.daemon.local.log_files import LOG_BYTES, move_away
from activityctl.daemon.local.own_files import open_own, require_own_folder
from activityctl.daemon.local.state import ComponentState, ComponentStatus
from activityctl.errors import UnreachableError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.process_identity import process_identity
from activityctl.settings import LOCAL_RIGHTS

LOGGER = logging.getLogger(__name__)

MARKER: Final = "ACTIVITYCTL_SUPERVISED"
"""The environment variable that marks our processes and all that they start."""
# Below the range that kernels use for outgoing connections: a client that retries a port in
# that range can connect to itself, and then the server cannot have the port.
PORTS_FROM: Final = 20_000
PORTS_UNTIL: Final = 32_000
DROPPED_VARIABLES: Final = (
    "ACTIVITYCTL_DATABASE_URL",
    "ACTIVITYCTL_TEMPORAL_ADDRESS",
    "ACTIVITYCTL_PROFILE",
    MARKER,
)
FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 10.0
HEALTHY_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.03
ANSWER_SECONDS: Final = 5.0
HURRIED_SECONDS: Final = 1.0

Endings = tuple[tuple[signal.Signals, float], ...]
"""Signals in the order in which they are sent, each with the seconds to wait after it."""
GENTLE: Final[Endings] = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


async def _prepare_nothing() -> None:
    """Do nothing: the default of `LaunchSpec.prepare`."""


@frozen_dataclass
class LaunchSpec:
    """How to start one process, how to know that it is ready, and how to end it."""

    name: str
    home: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]]
    """Called until it returns true; an exception, or no answer for five seconds, means not yet."""
    ready_within: float = 90.0
    prepare: Callable[[], Awaitable[None]] = _prepare_nothing
    """Awaited before every start; raises ActivityctlError when the process cannot be started."""
    endings: Endings = GENTLE
    umask: int = -1
    """The umask of the process; -1 inherits ours."""
    version: str = ""
    address: str | None = None

    @property
    def log(self) -> Path:
        """The file to which the process writes its output."""
        return log_path(self.home, self.name)


class SupervisedProcess:
    """Keeps a process running until it is stopped; reports every change of its status."""

    def __init__(self, launch: LaunchSpec, report: Callable[[ComponentStatus], None]) -> None:
        self._launch = launch
        self._report = report
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._status = ComponentStatus(
            name=launch.name, version=launch.version, address=launch.address
        )

    async def start(self) -> None:
        """Start the process and wait until it is ready, then keep it running.

        Raises UnreachableError, with the last line of its log, when it ends or is not ready in
        time; then none of its processes is left running.
        """
        try:
            await self._begin()
        except Exception as error:  # whatever it is, nothing stays half started
            await self._end(asyncio.Event())
            self._change(state=ComponentState.FAILED, pid=None, last_error=str(error))
            raise
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self._launch.name}")

    async def stop(self, hurry: asyncio.Event) -> None:
        """End the process and what it started; once `hurry` is set, wait at most a second."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        await self._end(hurry)
        if self._status.state is not ComponentState.FAILED:
            self._change(state=ComponentState.STOPPED, pid=None)

    async def _begin(self) -> None:
        launch = self._launch
        self._change(state=ComponentState.STARTING, pid=None)
        await launch.prepare()
        self._process = process = await _spawn(launch)
        self._change(state=ComponentState.STARTING, pid=process.pid)
        reason = await self._not_ready(process)
        if reason is None:
            self._change(state=ComponentState.RUNNING, pid=process.pid)
            return
        line = last_error(launch.log)
        raise UnreachableError(
            f"{launch.name} {reason}" + (f": {line}" if line else ""), hint=f"read {launch.log}"
        )

    async def _not_ready(self, process: asyncio.subprocess.Process) -> str | None:
        deadline = time.monotonic() + self._launch.ready_within
        while time.monotonic() < deadline:
            if process.returncode is not None:
                return f"ended while it was starting ({_exit_text(process.returncode)})"
            if await self._is_ready():
                return None
            await asyncio.sleep(POLL_SECONDS)
        return f"was not ready within {self._launch.ready_within:.0f} s"

    async def _is_ready(self) -> bool:
        try:
            return await asyncio.wait_for(self._launch.ready(), ANSWER_SECONDS)
        except Exception:  # noqa: BLE001 - a request to a starting server may fail in any way
            return False

    async def _keep(self) -> None:
        delay = FIRST_DELAY
        while True:
            if (process := self._process) is not None:
                since = time.monotonic()
                await process.wait()
                delay = FIRST_DELAY if time.monotonic() - since > HEALTHY_SECONDS else delay
                self._back_off(f"ended with {_exit_text(process.returncode)}")
            await asyncio.sleep(delay)
            delay = min(LONGEST_DELAY, delay * 2)
            await self._end(asyncio.Event())  # end what the failed process had started
            try:
                await self._begin()
            except Exception as error:  # noqa: BLE001 - a daemon's outermost loop
                await self._end(asyncio.Event())
                self._back_off(str(error))

    def _back_off(self, reason: str) -> None:
        LOGGER.warning("%s %s, restarting", self._launch.name, reason)
        restarts = self._status.restarts + 1
        state = ComponentState.BACKOFF
        self._change(state=state, pid=None, restarts=restarts, last_error=reason)

    async def _end(self, hurry: asyncio.Event) -> None:
        process = self._process
        if process is not None:
            for number, seconds in self._launch.endings:
                if process.returncode is not None:
                    break
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                await _wait_for_exit(process, seconds, hurry)
            self._process = None
        await asyncio.to_thread(self._end_orphans)

    def _end_orphans(self) -> None:
        found = orphan_processes(self._launch.home).items()
        end_processes([process for process, name in found if name == self._launch.name])

    def _change(self, *, state: ComponentState, pid: int | None, **fields: Any) -> None:
        identity = None if pid is None else process_identity(pid)
        changed = self._status.model_copy(update={"state": state, **fields})
        self._status = changed.with_process(identity)
        self._report(self._status)


def child_environment(home: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return a child's environment: the user's variables, the home, the local daemon's rights.

    Variables that select another database or another Temporal are left out.
    """
    dropped = {key for key in environment if key.startswith("TEMPORAL_")} | {*DROPPED_VARIABLES}
    kept = {key: value for key, value in environment.items() if key not in dropped}
    rights = {f"ACTIVITYCTL_{name.upper()}": value for name, value in LOCAL_RIGHTS.items()}
    return {**rights, **kept, "ACTIVITYCTL_HOME": str(home)}


def choose_ports(wanted: Mapping[str, int | None], taken: Mapping[str, int]) -> dict[str, int]:
    """Return a free loopback port for each name: the wanted port if it is free, else another.

    All ports are different, and none is one that `taken` has for another name.
    """
    chosen: dict[str, int] = {}
    for name, port in wanted.items():
        others = {*chosen.values(), *(value for key, value in taken.items() if key != name)}
        candidates = chain(() if port is None else (port,), _random_ports())
        chosen[name] = next(
            number for number in candidates if number not in others and is_free(number)
        )
    return chosen


def is_free(port: int) -> bool:
    """Return whether a loopback port is free to listen on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _random_ports() -> Iterator[int]:
    while True:
        yield PORTS_FROM + secrets.randbelow(PORTS_UNTIL - PORTS_FROM)


_ERROR_LINES: Final = 50


def log_path(home: Path, name: str) -> Path:
    """Return the log file of a component."""
    return home / "logs" / f"{name}.log"


def open_log(path: Path) -> int:
    """Open a log for appending and return its descriptor; first rename a log over 10 MiB.

    NotAllowedError if the log or its folder is a link, or belongs to somebody else.
    """
    with suppress(FileExistsError):
        path.parent.mkdir(mode=0o700)
    require_own_folder(path.parent)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        move_away(path)
    return open_own(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def _usable_log(path: Path) -> int:
    """Open a log; `/dev/null` while its disk is full, because some servers end if they cannot log.

    The log is opened again when the process is started next.
    """
    try:
        log = open_log(path)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
    else:
        if os.fstatvfs(log).f_bavail:
            return log
        os.close(log)
    LOGGER.warning("the disk of %s is full, so %s is started without a log", path, path.stem)
    return os.open(os.devnull, os.O_WRONLY)


def last_error(path: Path) -> str:
    """Return the last line of a log; the error before it, if the line is the hint of an error."""
    lines = last_lines(path, _ERROR_LINES).splitlines()
    if lines and lines[-1].startswith("hint: "):
        errors = [line for line in lines if line.startswith("error: ")]
        return (errors or lines)[-1].removeprefix("error: ")
    return lines[-1].removeprefix("error: ") if lines else ""


def last_lines(path: Path, count: int) -> str:
    """Return the last non-empty lines of a log; an empty string when there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def process_marker(home: Path, name: str) -> str:
    """Return the value of MARKER in the processes of one component of a home."""
    return f"{name}@{home}"


def orphan_processes(home: Path) -> dict[psutil.Process, str]:
    """Return the running processes of this home's components, each with the component's name.

    The environment is inherited, so this also finds processes that a killed worker left behind.
    The caller and its ancestors are left out.
    """
    excluded = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            value = "" if process.pid in excluded else process.environ().get(MARKER, "")
            name, _, marked_home = value.partition("@")
            if marked_home == str(home):
                found[process] = name
    return found


def end_processes(
    processes: Iterable[psutil.Process], first: signal.Signals = signal.SIGTERM, patience: float = 5
) -> None:
    """Signal each process, wait up to `patience` seconds for all, then kill those still running."""
    living = list(processes)
    for number, seconds in ((first, patience), (signal.SIGKILL, 5.0)):
        for process in living:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        deadline = time.monotonic() + seconds
        while (living := [p for p in living if _lives(p)]) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def _lives(process: psutil.Process) -> bool:
    """Return whether a process runs; a zombie, as left in some containers, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def _spawn(launch: LaunchSpec) -> asyncio.subprocess.Process:
    log = _usable_log(launch.log)
    try:
        # A session of its own, so that Ctrl-C in the terminal reaches only the supervisor.
        return await asyncio.create_subprocess_exec(
            *launch.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**launch.environment, MARKER: process_marker(launch.home, launch.name)},
            cwd=launch.home,
            umask=launch.umask,
            start_new_session=True,
        )
    finally:
        os.close(log)


async def _wait_for_exit(
    process: asyncio.subprocess.Process, seconds: float, hurry: asyncio.Event
) -> None:
    ended = asyncio.ensure_future(process.wait())
    hurried = asyncio.ensure_future(hurry.wait())
    try:
        await asyncio.wait({ended, hurried}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if hurry.is_set():
            await asyncio.wait({ended}, timeout=min(seconds, HURRIED_SECONDS))
    finally:
        ended.cancel()
        hurried.cancel()


def _exit_text(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


async def await_all(*starts: Awaitable[None]) -> None:
    """Await all; on the first failure, cancel the others and raise that failure itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(_awaited(start))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _awaited(start: Awaitable[None]) -> None:
    await start
