"""Runs commands with the real executor, and looks for their processes."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from activityctl.errors import TaskError
from activityctl.executors.command import CommandBody, CommandExecutor
from activityctl.ports import ExecutorOutcome, TaskCall

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/",
    "LANG": "C.UTF-8",
}
SHOW_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


async def silent(_level: str, _message: str, _metadata: Mapping[str, Any]):
    pass


def a_call(timeout_seconds: float = 60.0) -> TaskCall:
    return TaskCall(
        run_id="run-1",
        task_id="task-1",
        name="compute",
        index=0,
        attempt=2,
        idempotency_key="key-1",
        timeout_seconds=timeout_seconds,
        log=silent,
    )


def an_executor(grace_seconds: float = 5.0) -> CommandExecutor:
    return CommandExecutor(allowed=True, base_environment=ENVIRONMENT, grace_seconds=grace_seconds)


async def run(
    call: TaskCall | None = None, grace_seconds: float = 5.0, **body: Any
) -> ExecutorOutcome:
    executor = an_executor(grace_seconds)
    try:
        return await executor.execute(CommandBody.model_validate(body), call or a_call())
    finally:
        await executor.close()


async def failing(
    call: TaskCall | None = None, grace_seconds: float = 5.0, **body: Any
) -> TaskError:
    with pytest.raises(TaskError) as caught:
        await run(call, grace_seconds, **body)
    return caught.value


def content_of(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def exists(path: str) -> bool:
    return os.path.lexists(path)


def has_folder(path: Path) -> bool:
    """Tell whether the folder exists whose path was written to the file."""
    return Path(content_of(path)).exists()


async def written(path: Path) -> int:
    """Wait until a child process has written its pid to the file, and return it."""
    async with asyncio.timeout(60):
        while not content_of(path):
            await asyncio.sleep(0.01)
    return int(content_of(path))


def open_descriptors() -> int:
    return psutil.Process().num_fds()


async def is_gone(number: int, tries: int = 6000) -> bool:
    for _ in range(tries):
        if not is_at_work(number):
            return True
        await asyncio.sleep(0.01)
    return False


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Check that no process runs on, and that each new thread and open file ends soon."""
    descriptors = open_descriptors()
    threads = set(threading.enumerate())  # those of the tests before may just be ending
    children = set(psutil.Process().children())  # the session's servers, which start others
    yield
    assert set(psutil.Process().children()) <= children
    deadline = time.monotonic() + 60
    while (left := set(threading.enumerate()) - threads) or open_descriptors() > descriptors:
        assert time.monotonic() < deadline, left or "files are open"
        time.sleep(0.01)


def is_at_work(pid: int) -> bool:
    """Return whether the process runs; a zombie, which nobody has reaped yet, does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
