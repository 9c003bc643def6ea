"""Capture: what is kept of an output of a command."""

from collections.abc import Callable
from typing import Final

from activityctl.domain.values.masking import Mask

OUTPUT_BYTES: Final = 64 * 1024
"""How many bytes are kept of each output; the others are only counted."""


class Capture:
    """The beginning and the end of an output, and its total number of bytes."""

    def __init__(self, limit: int = OUTPUT_BYTES) -> None:
        self.total = 0
        self.mask = Mask()
        """Masks the secrets that the program was given, also where the middle was left out."""
        self.heard: Callable[[], None] = lambda: None
        """Called for each output."""
        self.added: Callable[[bytes], None] = lambda _: None
        """Called with the bytes of each output."""
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out."""
        return self.total == len(self._head) + len(self._tail)

    def add(self, data: bytes) -> None:
        """Add the next bytes."""
        self.total += len(data)
        self.heard()
        self.added(data)
        free = self._half - len(self._head)
        self._head += data[:free]
        self._tail += data[free:]
        del self._tail[: -self._half]

    def text(self) -> str:
        """Return the text. Invalid UTF-8 becomes U+FFFD; a line says how many bytes are missing."""
        if self.is_whole:
            return self.mask.text((self._head + self._tail).decode("utf-8", errors="replace"))
        left_out = self.total - len(self._head) - len(self._tail)
        head = self._head.decode("utf-8", errors="replace").rstrip("\ufffd")
        tail = self._tail.decode("utf-8", errors="replace").lstrip("\ufffd")
        head, tail = self.mask.beginning(head), self.mask.end(tail)
        return f"{head}\n[... {left_out} bytes left out ...]\n{tail}"
