"""Where the events of an input come from: a regular file or standard input; reading is elsewhere.

Only regular files are opened, as for manifests: what is a pipe goes through standard input.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from activityctl.adapters.manifests.event_stream import read_events
from activityctl.adapters.manifests.files import OPEN_FLAGS, STDIN_NAME, irregular, reason_of
from activityctl.domain.events.input import InvalidEvent, ParsedEvent
from activityctl.errors import InvalidInputError

_HINT = "name a regular file, or - for standard input"


@dataclass(frozen=True, slots=True)
class EventSource:
    """An input that is open."""

    name: str
    stream: BinaryIO
    size: int | None
    """In bytes; None when nobody knows."""

    def events(self) -> Iterator[ParsedEvent | InvalidEvent]:
        """Yield each event of the input in its order; blocks while standard input does."""
        return read_events(self.stream, self.name)

    @property
    def position(self) -> int:
        """How many bytes of a file have been read."""
        return 0 if self.stream.closed else self.stream.tell()


@contextmanager
def open_source(path: str) -> Iterator[EventSource]:
    """Open a file, or standard input for `-`; InvalidInputError says why it cannot be."""
    if path == "-":
        # Without a buffer: its lock would be held by a thread that waits as the program ends.
        with open(0, "rb", buffering=0, closefd=False) as stream:
            yield EventSource(STDIN_NAME, stream, None)
        return
    with os.fdopen(_opened(path), "rb", buffering=0) as stream:
        yield EventSource(path, stream, os.fstat(stream.fileno()).st_size)


def read_text(path: str, limit: int) -> bytes:
    """Return the content of a file, or of standard input for `-`.

    InvalidInputError when it cannot be read or is longer than the limit, in bytes.
    """
    with open_source(path) as source:
        content = b""
        while len(content) <= limit and (part := source.stream.read(limit + 1 - len(content))):
            content += part
    if len(content) > limit:
        raise InvalidInputError(f"{source.name}: larger than {limit:,} bytes")
    return content


def _opened(path: str) -> int:
    """Return a descriptor; a FIFO is looked at before it is opened, which would wake its writer."""
    try:
        if reason := irregular(Path(path).stat()):
            raise InvalidInputError(f"{path}: {reason}", hint=_HINT)
        descriptor = os.open(path, OPEN_FLAGS)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path}: {reason_of(error)}", hint=_HINT) from None
    if reason := irregular(os.fstat(descriptor)):
        os.close(descriptor)
        raise InvalidInputError(f"{path}: {reason}", hint=_HINT)
    return descriptor
