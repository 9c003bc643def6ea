"""The state of the local daemon in its home: the lock, `daemon.json` and running processes.

Nothing here starts or ends a process.
"""

import errno
import fcntl
import os
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from activityctl.daemon.local.own_files import open_own, require_own_folder, require_safe_parents
from activityctl.daemon.local.start_steps import StartStep
from activityctl.errors import ConflictError, NotAllowedError, reason_of
from activityctl.private_file import write_private
from activityctl.process_identity import (
    SAME_START_SECONDS,
    ProcessIdentity,
    find_process,
    process_identity,
)
from activityctl.settings import DAEMON_FILE

LOCK_FILE: Final = "daemon.lock"
LOCK_TRIES: Final = 6
LOCK_PAUSE_SECONDS: Final = 0.05


class ComponentState(StrEnum):
    """The state of a component of the daemon."""

    STARTING = "starting"
    RUNNING = "running"
    SILENT = "silent"
    """Its process runs but does not answer. Never stored, only found by a health check."""
    BACKOFF = "backoff"
    STOPPED = "stopped"
    FAILED = "failed"


class ComponentStatus(BaseModel):
    """One component as `status` shows it; the fields of its process are set while it runs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    state: ComponentState = ComponentState.STOPPED
    version: str = ""
    address: str | None = None
    pid: int | None = None
    create_time: float | None = None
    start_key: str | None = None
    restarts: int = 0
    last_error: str | None = None

    @property
    def identity(self) -> ProcessIdentity | None:
        """The identity of the component's process, or None when it has none."""
        if self.pid is None or self.create_time is None:
            return None
        return ProcessIdentity(pid=self.pid, create_time=self.create_time, start_key=self.start_key)

    def with_process(self, identity: ProcessIdentity | None) -> Self:
        """Return the status with another process, or with none."""
        names = ProcessIdentity.model_fields
        return self.model_copy(update={name: getattr(identity, name, None) for name in names})


class DaemonState(BaseModel):
    """The content of `daemon.json`; `addresses` is empty while no daemon runs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    supervisor: ProcessIdentity | None = None
    components: tuple[ComponentStatus, ...] = ()
    addresses: Mapping[str, str] = {}
    ports: Mapping[str, int] = {}
    """Kept after a stop, so that the next start uses the same ports."""
    steps: tuple[StartStep, ...] = ()
    """The steps of the latest start."""

    @property
    def ready(self) -> bool:
        """Whether the addresses are known and every component runs."""
        running = all(part.state is ComponentState.RUNNING for part in self.components)
        return bool(self.addresses) and bool(self.components) and running


def open_home(home: Path) -> Path:
    """Create the home with mode 0700 if it is absent, and return its real path.

    An existing folder keeps its permissions; our files in it are private. Raises NotAllowedError
    when it cannot be written, is not ours, or others may write it.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_safe_parents(home)
        require_own_folder(home.resolve())
        os.close(open_own(home / LOCK_FILE, os.O_RDWR | os.O_CREAT))
    except OSError as error:
        raise NotAllowedError(
            f"the home {home} cannot be used: {reason_of(error)}",
            hint="set ACTIVITYCTL_HOME to a folder that you can write",
        ) from error
    return home.resolve()


def read_state(home: Path) -> DaemonState:
    """Return the content of `daemon.json`; an empty state if it is absent or cannot be read."""
    try:
        return DaemonState.model_validate_json((home / DAEMON_FILE).read_bytes())
    except (OSError, ValidationError):
        return DaemonState()


def write_state(home: Path, state: DaemonState) -> None:
    """Replace `daemon.json` in one step, readable only by its owner, because it has a password."""
    write_private(home / DAEMON_FILE, state.model_dump_json(indent=2) + "\n")


class HomeLock:
    """The lock of the daemon of a home; the kernel releases it when the process ends."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; ConflictError with the pid of the holder if another process has it."""
        descriptor = open_own(self._home / LOCK_FILE, os.O_RDWR | os.O_CREAT)
        if not _try_lock(descriptor):
            pid, _, _ = os.read(descriptor, 256).decode("ascii", "replace").partition("\n")
            os.close(descriptor)
            raise ConflictError(
                f"a daemon already runs for {self._home} (pid {pid or 'unknown'})",
                hint="activityctl status",
            )
        os.ftruncate(descriptor, 0)
        holder = process_identity(os.getpid())
        key = (holder and holder.start_key) or ""
        os.write(descriptor, f"{os.getpid()}\n{key}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock; keep the file, because removing it could let two processes lock."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


UNSUPERVISED: Final = "the supervisor is not running, so a component that ends is not started again"
RESTART: Final = "activityctl down && activityctl up -d"
"""What `status` and `doctor` say of components that have outlived their supervisor."""


def lock_is_held(home: Path) -> bool:
    """Return whether a daemon of this home runs; `daemon.json` is not read."""
    try:
        descriptor = os.open(home / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ELOOP}:  # `open_home` refuses the link
            return False
        raise
    try:
        # A shared lock, so that two processes that check do not block each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def lock_holder(home: Path) -> int | None:
    """Return the pid of the running daemon of this home, or None."""
    path = home / LOCK_FILE
    if not lock_is_held(home):
        return None
    try:
        pid, _, key = path.read_text("ascii").partition("\n")
        holder = process_identity(int(pid))
        written = path.stat().st_mtime
    except (OSError, ValueError):
        return None
    key = key.strip()
    if holder is None or (key and key != holder.start_key):
        return None
    # Without a key: a process that started after the pid was written has a reused pid.
    is_reused = not key and holder.create_time > written + SAME_START_SECONDS
    return None if is_reused else holder.pid


def surviving_processes(state: DaemonState) -> tuple[psutil.Process, ...]:
    """Return the stored processes of components that still run, in the stored order."""
    found = (find_process(part.identity) for part in state.components)
    return tuple(process for process in found if process is not None)


def read_status(home: Path) -> list[ComponentStatus]:
    """Return the current status of each component; without a process it is stopped."""
    state = read_state(home)
    is_supervised = find_process(state.supervisor) is not None
    return [_verified(part, is_supervised=is_supervised) for part in state.components]


def component_of(state: DaemonState, pid: int) -> ComponentStatus | None:
    """Return the component whose stored process has this pid, or None."""
    return next((part for part in state.components if part.pid == pid), None)


def all_stopped(components: Sequence[ComponentStatus]) -> tuple[ComponentStatus, ...]:
    """Return the components as stopped; a failed component stays failed, with its reason."""
    return tuple(_without_process(part) for part in components)


def _verified(part: ComponentStatus, *, is_supervised: bool) -> ComponentStatus:
    waits = part.state in {ComponentState.STARTING, ComponentState.BACKOFF} and part.pid is None
    if (waits and is_supervised) or find_process(part.identity) is not None:
        return part
    return _without_process(part)


def _without_process(part: ComponentStatus) -> ComponentStatus:
    has_failed = part.state is ComponentState.FAILED
    state = ComponentState.FAILED if has_failed else ComponentState.STOPPED
    return part.with_process(None).model_copy(update={"state": state})


def _try_lock(descriptor: int) -> bool:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_SECONDS)  # `lock_is_held` of another process has it for a moment
        else:
            return True
    return False
