"""Keeps what a daemon process knows from the commands that it runs with the same account.

On Linux every process of an account can read the environment and the memory of the account's
other processes, unless they are not dumpable. Root can read them in any case.
"""

import ctypes
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from activityctl.secret import SecretReference, variable_of
from activityctl.settings import Settings

COMMANDS_AS_ROOT: Final = (
    "the worker runs as root, so commands without `user:` do as well and can read its secrets; "
    "run the worker as another account, or set `user:`"
)
_PR_SET_DUMPABLE: Final = 4
# proc(5): the positions of the environment's first and last address, after the command's name.
_ENV_START: Final = 47
_ENV_END: Final = 48
_ALWAYS_SECRET: Final = ("ACTIVITYCTL_DATABASE_URL", "TEMPORAL_API_KEY")


def protect_memory() -> None:
    """Make this process not dumpable: no debugger, no core file, no environment for others."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def secret_variables(settings: Settings) -> list[str]:
    """Return the names of the variables with secrets that the settings have read."""
    given = (variable_of(name) for name in settings.secret_variables)
    return [
        *_ALWAYS_SECRET,
        *given,
        *(name for ref in settings.references if (name := _variable(ref))),
    ]


def forget_variables(names: Iterable[str]) -> None:
    """Remove variables from the environment that children inherit and the kernel shows (Linux).

    `os.environ` keeps them in memory, so that logs and crash reports can mask their values.
    """
    present = [name for name in names if name in os.environ]
    for name in present:
        os.unsetenv(name)
    if present and sys.platform == "linux":
        with suppress(OSError, ValueError, IndexError):
            _overwrite([f"{name}=".encode() for name in present])


def runs_as_root() -> bool:
    """Return whether this process has all rights, which its commands then have as well."""
    return os.geteuid() == 0


def _variable(reference: SecretReference | None) -> str | None:
    return reference.name if reference is not None and reference.store == "env" else None


def _overwrite(prefixes: list[bytes]) -> None:
    """Overwrite the values of variables in the memory that the process was started with."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
    if not 0 < start < end:
        return
    at = start
    for entry in ctypes.string_at(start, end - start).split(b"\0"):
        for prefix in prefixes:
            if entry.startswith(prefix):
                ctypes.memset(at + len(prefix), ord("*"), len(entry) - len(prefix))
        at += len(entry) + 1
