"""Opens the input of events: a regular file or standard input.

Only regular files are opened, as for manifests. To read a pipe, use standard input (`-`).
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from activityctl.adapters.manifests.event_stream import read_events
from activityctl.adapters.manifests.files import OPEN_FLAGS, STDIN_NAME, irregular, unread_reason
from activityctl.domain.events.input import InvalidEvent, ParsedEvent
from activityctl.errors import InvalidInputError
from activityctl.frozen_dataclass import frozen_dataclass

_HINT = "give a regular file, or - for standard input"


@frozen_dataclass
class EventSource:
    """An open input of events."""

    name: str
    stream: BinaryIO
    size: int | None
    """In bytes; None for standard input."""

    def events(self) -> Iterator[ParsedEvent | InvalidEvent]:
        """Yield each event of the input, in order. Blocks while standard input blocks."""
        return read_events(self.stream, self.name)

    @property
    def position(self) -> int:
        """How many bytes have been read from the file."""
        return 0 if self.stream.closed else self.stream.tell()


@contextmanager
def open_source(path: str) -> Iterator[EventSource]:
    """Open a file, or standard input for `-`.

    Raises InvalidInputError with the reason when the file cannot be opened.
    """
    if path == "-":
        # Unbuffered: a thread that waits in read() would hold the lock of the buffer at exit.
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stream:
            yield EventSource(STDIN_NAME, stream, None)
        return
    with os.fdopen(_open_regular(path), "rb", buffering=0) as stream:
        yield EventSource(path, stream, os.fstat(stream.fileno()).st_size)


def read_text(path: str, limit: int) -> bytes:
    """Return the content of a file, or of standard input for `-`.

    Raises InvalidInputError when it cannot be read or has more than `limit` bytes.
    """
    with open_source(path) as source:
        content = b""
        while len(content) <= limit and (part := source.stream.read(limit + 1 - len(content))):
            content += part
    if len(content) > limit:
        raise InvalidInputError(f"{source.name}: larger than {limit:,} bytes")
    return content


def _open_regular(path: str) -> int:
    """Return a descriptor. Check the kind of file first: opening a FIFO would wake its writer."""
    try:
        if reason := irregular(Path(path).stat()):
            raise InvalidInputError(f"{path}: {reason}", hint=_HINT)
        descriptor = os.open(path, OPEN_FLAGS)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path}: {unread_reason(error)}", hint=_HINT) from None
    if reason := irregular(os.fstat(descriptor)):
        os.close(descriptor)
        raise InvalidInputError(f"{path}: {reason}", hint=_HINT)
    return descriptor
