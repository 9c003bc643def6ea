"""ProcessIdentity: knows a process again, also after its pid was reused or the clock was set."""

from functools import cache
from pathlib import Path
from typing import Final

import psutil
from pydantic import BaseModel, ConfigDict

SAME_START_SECONDS: Final = 1.0
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_START_TICKS_AFTER_NAME: Final = 19
"""The place of field 22 of /proc/PID/stat behind the name, which may have blanks in it."""


class ProcessIdentity(BaseModel):
    """Identifies a process.

    Linux derives the time of day at which a process was created from the time of the boot, which
    changes whenever the clock is set. So `start_key`, where the system has one, decides.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    create_time: float
    """In Unix seconds, as the clock was when the identity was taken."""
    start_key: str | None = None
    """The boot and the tick since then at which it was created; None if it is not known."""


def process_identity(pid: int) -> ProcessIdentity | None:
    """Return the identity of a running process, or None when it has ended."""
    process = _running(pid)
    if process is None:
        return None
    return ProcessIdentity(pid=pid, create_time=process.create_time(), start_key=_start_key(pid))


def find_process(identity: ProcessIdentity | None) -> psutil.Process | None:
    """Return the process with this identity, or None when it has ended or its pid is reused."""
    process = None if identity is None else _running(identity.pid)
    if identity is None or process is None:
        return None
    key = None if identity.start_key is None else _start_key(identity.pid)
    if key is not None:
        return process if key == identity.start_key else None
    is_same = abs(process.create_time() - identity.create_time) <= SAME_START_SECONDS
    return process if is_same else None


def _running(pid: int) -> psutil.Process | None:
    """Return the process, or None when it has ended; a zombie has ended."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def _start_key(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return f"{_boot_id()} {int(fields[_START_TICKS_AFTER_NAME])}"
    except (OSError, ValueError, IndexError):  # not Linux, or the process has just ended
        return None


@cache
def _boot_id() -> str:
    return _BOOT_ID.read_text("ascii").strip()
