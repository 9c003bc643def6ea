"""Starter: asks the program in `guardian` for guardians, and starts it again if it ended."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from activityctl.executors import guardian

_MARKER: Final = "ACTIVITYCTL_SUPERVISED"
_EXIT_SECONDS: Final = 5.0


class Starter:
    """One program that forks guardians, started at the first request."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def start(self, descriptors: Sequence[int]) -> None:
        """Ask for a guardian with these descriptors (see `guardian`). Raises OSError."""
        try:
            socket.send_fds(self._connected(), [b"s"], descriptors)
        except (BrokenPipeError, ConnectionResetError):  # it was killed
            self.close()
            socket.send_fds(self._connected(), [b"s"], descriptors)

    def close(self) -> None:
        """End the program. Guardians that are at work continue."""
        if self._requests is not None:
            self._requests.close()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_SECONDS)
        self._process = self._requests = None

    def _connected(self) -> socket.socket:
        if self._requests is None:
            ours, theirs = socket.socketpair()
            with theirs:
                marker = os.environ.get(_MARKER)
                self._process = subprocess.Popen(  # noqa: S603  # our own program
                    [sys.executable, "-I", "-S", guardian.__file__, str(theirs.fileno())],
                    env={_MARKER: marker} if marker else {},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            self._requests = ours
        return self._requests
