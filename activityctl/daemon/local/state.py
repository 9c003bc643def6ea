"""What a home knows of its daemon: the lock, `daemon.json` and whose processes still live.

Nothing here starts or ends a process.
"""

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

from activityctl.errors import ConflictError, NotAllowedError
from activityctl.settings import DAEMON_FILE

LOCK_FILE: Final = "daemon.lock"
LOCK_TRIES: Final = 6
LOCK_PAUSE_SECONDS: Final = 0.05
SAME_START_SECONDS: Final = 1.0


class ComponentState(StrEnum):
    """Where a component of the daemon stands."""

    STARTING = "starting"
    RUNNING = "running"
    SILENT = "silent"
    """Its process lives, but does not answer; never recorded, only found when one looks."""
    BACKOFF = "backoff"
    STOPPED = "stopped"
    FAILED = "failed"


class ProcessIdentity(BaseModel):
    """A process told from a later one with the same pid; `create_time` is Unix seconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    create_time: float


class ComponentStatus(BaseModel):
    """One component as `status` shows it; pid and create_time only while a process lives."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    state: ComponentState = ComponentState.STOPPED
    version: str = ""
    address: str | None = None
    pid: int | None = None
    create_time: float | None = None
    restarts: int = 0
    last_error: str | None = None

    @property
    def mark(self) -> ProcessIdentity | None:
        """The component's process, or None when it has none."""
        if self.pid is None or self.create_time is None:
            return None
        return ProcessIdentity(pid=self.pid, create_time=self.create_time)


class DaemonState(BaseModel):
    """The content of `daemon.json`; `addresses` is empty while no daemon serves."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    supervisor: ProcessIdentity | None = None
    components: tuple[ComponentStatus, ...] = ()
    addresses: Mapping[str, str] = {}
    ports: Mapping[str, int] = {}
    """Kept after a stop, so that the next start serves at the same places."""

    @property
    def ready(self) -> bool:
        """True when the addresses stand and every component runs."""
        running = all(part.state is ComponentState.RUNNING for part in self.components)
        return bool(self.addresses) and bool(self.components) and running


def open_home(home: Path) -> Path:
    """Create the home for its owner alone (0700) if it is absent, and return its real path.

    A folder that exists keeps its permissions: it may be shared, and all in it is private.
    Raises NotAllowedError when it cannot be written.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / LOCK_FILE).touch(0o600)
    except OSError as error:
        raise NotAllowedError(
            f"the home {home} cannot be used: {error.strerror}",
            hint="set ACTIVITYCTL_HOME to a folder of yours",
        ) from error
    return home.resolve()


def read_state(home: Path) -> DaemonState:
    """Return what `daemon.json` says; an absent or unreadable file reads as an empty state."""
    try:
        return DaemonState.model_validate_json((home / DAEMON_FILE).read_bytes())
    except (OSError, ValidationError):
        return DaemonState()


def write_state(home: Path, state: DaemonState) -> None:
    """Replace `daemon.json` in one step, readable by its owner alone (it holds a password)."""
    write_private(home / DAEMON_FILE, state.model_dump_json(indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically and durably with mode 0600."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames within a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class HomeLock:
    """The right to be the daemon of a home; the kernel frees it when its holder dies."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, or raise ConflictError naming the pid of its holder."""
        descriptor = os.open(self._home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        if not _locks(descriptor):
            pid = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise ConflictError(
                f"a daemon already runs for {self._home} (pid {pid or 'unknown'})",
                hint="activityctl status",
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; the file stays, for removing it would split the lock."""
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


def lock_is_held(home: Path) -> bool:
    """Tell whether a daemon of this home lives, whatever `daemon.json` says."""
    try:
        descriptor = os.open(home / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two askers never take each other for a daemon.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def lock_holder(home: Path) -> int | None:
    """Return the pid of the living daemon of this home, or None."""
    path = home / LOCK_FILE
    if not lock_is_held(home):
        return None
    try:
        mark = process_identity(int(path.read_text("ascii")))
        written = path.stat().st_mtime
    except (OSError, ValueError):
        return None
    # A process that began after the pid was written is no daemon, but heir to a killed one.
    heir = mark is not None and mark.create_time > written + SAME_START_SECONDS
    return None if mark is None or heir else mark.pid


def process_identity(pid: int) -> ProcessIdentity | None:
    """Return the mark of a living process, or None when it is gone."""
    process = _living(pid)
    return None if process is None else ProcessIdentity(pid=pid, create_time=process.create_time())


def find_process(mark: ProcessIdentity | None) -> psutil.Process | None:
    """Return the very process that was marked, or None when it is gone or its pid reused."""
    process = None if mark is None else _living(mark.pid)
    if mark is None or process is None:
        return None
    same = abs(process.create_time() - mark.create_time) <= SAME_START_SECONDS
    return process if same else None


def surviving_processes(state: DaemonState) -> tuple[psutil.Process, ...]:
    """Return the recorded processes of components that still live, in the recorded order."""
    found = (find_process(part.mark) for part in state.components)
    return tuple(process for process in found if process is not None)


def read_status(home: Path) -> list[ComponentStatus]:
    """Return each component as it is now: one whose process is gone shows as stopped."""
    state = read_state(home)
    supervised = find_process(state.supervisor) is not None
    return [_verified(part, supervised=supervised) for part in state.components]


def component_of(state: DaemonState, pid: int) -> ComponentStatus | None:
    """Return the component whose recorded process has this pid."""
    return next((part for part in state.components if part.pid == pid), None)


def all_stopped(components: Sequence[ComponentStatus]) -> tuple[ComponentStatus, ...]:
    """Return the components without processes; a failed one stays failed, with its reason."""
    return tuple(_without_process(part) for part in components)


def _verified(part: ComponentStatus, *, supervised: bool) -> ComponentStatus:
    waits = part.state in {ComponentState.STARTING, ComponentState.BACKOFF} and part.pid is None
    if (waits and supervised) or find_process(part.mark) is not None:
        return part
    return _without_process(part)


def _without_process(part: ComponentStatus) -> ComponentStatus:
    kept = part.state is ComponentState.FAILED
    state = ComponentState.FAILED if kept else ComponentState.STOPPED
    return part.model_copy(update={"state": state, "pid": None, "create_time": None})


def _locks(descriptor: int) -> bool:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_SECONDS)  # an asker holds it shared for an instant
        else:
            return True
    return False


def _living(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None
