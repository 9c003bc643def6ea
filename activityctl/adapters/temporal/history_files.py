"""Reads recorded workflow histories from files; many of them in processes of their own."""

import asyncio
import contextlib
import os
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from google.protobuf.json_format import ParseError
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History
from temporalio.client import WorkflowHistory

from activityctl.errors import ActivityctlError, InvalidInputError, reason_of

_MANY: Final = 150
"""So many files take longer to read than a process to start: JSON takes 6 ms of CPU a file."""
_MOST_PROCESSES: Final = 4
_FRAME: Final = struct.Struct(">III")
"""The lengths of the three parts of an answer: workflow id, events, or else what is wrong."""


async def read_histories(paths: Sequence[Path]) -> AsyncIterator[tuple[Path, WorkflowHistory]]:
    """Yield the history of each file, in order; InvalidInputError for a file that has none."""
    count = min((os.cpu_count() or 1) - 1, _MOST_PROCESSES)
    if len(paths) < _MANY or count < 1:
        for path in paths:
            yield path, read_history(path)
        return
    readers = [await _started(paths[number::count]) for number in range(count)]
    try:
        for number, path in enumerate(paths):
            yield path, await _answer(readers[number % count], path)
    finally:
        for reader in readers:
            with contextlib.suppress(ProcessLookupError):
                reader.kill()
            await reader.wait()


async def _started(paths: Sequence[Path]) -> Process:
    """Return a process that reads these files, in order."""
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", __name__), stdin=PIPE, stdout=PIPE
    )
    names = b"\0".join(os.fsencode(path.absolute()) for path in paths)
    if reader.stdin is not None:  # it is what PIPE asked for
        reader.stdin.write(names)
        reader.stdin.close()
    return reader


async def _answer(reader: Process, path: Path) -> WorkflowHistory:
    answers = reader.stdout or asyncio.StreamReader()
    try:
        sizes = _FRAME.unpack(await answers.readexactly(_FRAME.size))
        workflow_id, events, problem = [await answers.readexactly(size) for size in sizes]
    except asyncio.IncompleteReadError as error:
        raise ActivityctlError(f"the process that reads {path} has ended") from error
    if problem:
        message, _, hint = problem.decode().partition("\0")
        raise InvalidInputError(message, hint=hint or None)
    return WorkflowHistory(workflow_id.decode(), History.FromString(events).events)


def read_history(path: Path) -> WorkflowHistory:
    """Return the history of a file; InvalidInputError if it has none."""
    try:
        text = path.read_text("utf-8")
        history = WorkflowHistory.from_json(path.stem, text)
    except OSError as error:
        raise InvalidInputError(f"{path}: {reason_of(error)}") from error
    except (ValueError, ParseError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInputError(
            f"{path}: no recorded history of a workflow",
            hint="activityctl verify --save FOLDER records them",
        ) from error
    first = history.events[0] if history.events else None
    if first is None or first.event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
        raise InvalidInputError(f"{path}: the history does not have the start of a workflow")
    started = first.workflow_execution_started_event_attributes
    return WorkflowHistory(started.workflow_id or path.stem, history.events)


def main() -> None:
    """Read the files that stdin names, and write what is in them on stdout."""
    for name in sys.stdin.buffer.read().split(b"\0"):
        try:
            history = read_history(Path(os.fsdecode(name)))
        except InvalidInputError as error:
            parts = (b"", b"", f"{error.message}\0{error.hint or ''}".encode())
        else:
            events = History(events=history.events).SerializeToString()
            parts = (history.workflow_id.encode(), events, b"")
        sys.stdout.buffer.write(_FRAME.pack(*map(len, parts)) + b"".join(parts))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
