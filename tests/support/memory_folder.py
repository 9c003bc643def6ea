"""The folder of a run's files: in memory where there is enough, so that no disk is waited for.

The tests make some 2,000 databases of 600 files each, and dozens of homes of daemons. On a disk,
to copy a database takes 50 to 160 ms of CPU, the more the more files were deleted lately; in
memory it takes 20 ms, and no server waits until its data is on the disk. What a failed run leaves
is deleted by the next run.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

MEMORY: Final = Path("/dev/shm")
_ENOUGH: Final = 8 << 30  # a whole run leaves 2 GB
_PREFIX: Final = "activityctl-tests-"


def use_memory(config: pytest.Config) -> None:
    """Let pytest keep the files of this run in memory, unless `--basetemp` names a folder."""
    if config.option.basetemp is None and _is_large():
        for folder in _left_over():
            shutil.rmtree(folder, ignore_errors=True)
        config.option.basetemp = str(MEMORY / f"{_PREFIX}{os.getpid()}")


def free_memory(config: pytest.Config) -> None:
    """Delete the files of this run if they are in memory."""
    if (folder := Path(config.option.basetemp or "")).name == f"{_PREFIX}{os.getpid()}":
        shutil.rmtree(folder, ignore_errors=True)


def _is_large() -> bool:
    """Return whether the folder in memory can run programs, and both have enough space."""
    if not MEMORY.is_dir() or not hasattr(os, "ST_NOEXEC"):
        return False
    state = os.statvfs(MEMORY)
    free = min(state.f_bavail * state.f_frsize, psutil.virtual_memory().available)
    return free > _ENOUGH and not state.f_flag & os.ST_NOEXEC and os.access(MEMORY, os.W_OK)


def _left_over() -> Iterator[Path]:
    """Yield the folders of runs that have ended."""
    for folder in MEMORY.glob(f"{_PREFIX}*"):
        with contextlib.suppress(ValueError):
            if not psutil.pid_exists(int(folder.name.removeprefix(_PREFIX))):
                yield folder
