"""Starter: gives out guardians, each for one command at a time.

Guardians that are idle wait here for further commands: to fork one for each costs more than most
commands do.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from activityctl.executors import guardian

_MARKER: Final = "ACTIVITYCTL_SUPERVISED"
_EXIT_SECONDS: Final = 5.0
_IDLE_SECONDS: Final = 10.0
"""So long a guardian waits for a command before it ends."""


class Starter:
    """One program that forks guardians, started at the first request; see `guardian`."""

    def __init__(self, *, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._idle: deque[tuple[float, socket.socket]] = deque()
        """The control sockets of idle guardians and since when, the last one that ended last."""
        self._ending: asyncio.TimerHandle | None = None
        self._is_closed = False

    def start(self, descriptors: Sequence[int]) -> socket.socket:
        """Ask a guardian for a command with these descriptors; return its control socket.

        Raises OSError. Give the socket back when the guardian has no command any more, or close it.
        """
        while self._idle:
            _, control = self._idle.pop()
            try:
                socket.send_fds(control, [b"c"], descriptors)
            except OSError:  # it was killed
                control.close()
            else:
                return control
        control = self._new_guardian()
        try:
            socket.send_fds(control, [b"c"], descriptors)
        except BaseException:
            control.close()
            raise
        return control

    def give_back(self, control: socket.socket) -> None:
        """Take the guardian back, which has said that nothing is left of its command."""
        if self._is_closed:
            control.close()
            return
        loop = asyncio.get_running_loop()
        self._idle.append((loop.time(), control))
        if self._ending is None:
            self._ending = loop.call_later(self._idle_seconds, self._end_idle)

    def close(self) -> None:
        """End the program and the idle guardians. Guardians that are at work continue."""
        self._is_closed = True
        self._end_program()

    def _end_program(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        while self._idle:
            self._idle.pop()[1].close()
        if self._requests is not None:
            self._requests.close()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_SECONDS)
        self._process = self._requests = self._ending = None

    def _end_idle(self) -> None:
        """End the guardians that have waited long enough."""
        loop = asyncio.get_running_loop()
        while self._idle and loop.time() - self._idle[0][0] >= self._idle_seconds:
            self._idle.popleft()[1].close()
        self._ending = None
        if self._idle:
            at = self._idle[0][0] + self._idle_seconds
            self._ending = loop.call_at(at, self._end_idle)

    def _new_guardian(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._send(theirs.fileno())
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        return ours

    def _send(self, descriptor: int) -> None:
        try:
            socket.send_fds(self._connected(), [b"g"], [descriptor])
        except (BrokenPipeError, ConnectionResetError):  # it was killed
            self._end_program()
            socket.send_fds(self._connected(), [b"g"], [descriptor])

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
