"""Starter: gives out guardians, each for one command at a time.

Guardians that are idle wait here for further commands: to fork one for each costs more than most
commands do.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from activityctl.executors import guardian as program
from activityctl.executors.inherited import inherited_from

_MARKER: Final = "ACTIVITYCTL_SUPERVISED"
_EXIT_SECONDS: Final = 5.0
_IDLE_SECONDS: Final = 10.0
"""So long a guardian waits for a command before it ends."""


@dataclass
class Guardian:
    """What is known here of a guardian."""

    control: socket.socket
    pid: int | None = None
    """None until it has told it."""
    idle_since: float = 0.0

    def wake(self) -> None:
        """Let it go on, if a command has stopped it."""
        if self.pid is not None:
            wake(self.pid)


class Starter:
    """One program that forks guardians, started at the first request; see `guardian`."""

    def __init__(self, *, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._inherited: Hashable = None
        """What guardians pass on to commands, as it was when the program started."""
        self._idle: deque[Guardian] = deque()
        """The guardians without a command, the last one that ended last."""
        self._ending: asyncio.TimerHandle | None = None
        self._is_closed = False

    def start(self, descriptors: Sequence[int]) -> Guardian:
        """Ask a guardian for a command with these descriptors.

        Raises OSError. Give it back when it has no command any more, or close its control socket.
        """
        while self._idle:
            idle = self._idle.pop()
            idle.wake()
            try:
                socket.send_fds(idle.control, [b"c"], descriptors)
            except OSError:  # it was killed
                idle.control.close()
            else:
                return idle
        control = self._new_guardian()
        try:
            socket.send_fds(control, [b"c"], descriptors)
        except BaseException:
            control.close()
            raise
        return Guardian(control)

    def give_back(self, idle: Guardian) -> None:
        """Take the guardian back, which has said that nothing is left of its command.

        It ends if its command has changed what it passes on, such as its limits or its priority.
        """
        if self._is_closed or idle.pid is None or inherited_from(idle.pid) != self._inherited:
            idle.control.close()
            return
        loop = asyncio.get_running_loop()
        idle.idle_since = loop.time()
        self._idle.append(idle)
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
            self._idle.pop().control.close()
        if self._requests is not None:
            self._requests.close()
        if self._process is not None:
            wake(self._process.pid)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_SECONDS)
        self._process = self._requests = self._ending = None

    def _end_idle(self) -> None:
        """End the guardians that have waited long enough."""
        loop = asyncio.get_running_loop()
        while self._idle and loop.time() - self._idle[0].idle_since >= self._idle_seconds:
            self._idle.popleft().control.close()
        self._ending = None
        if self._idle:
            at = self._idle[0].idle_since + self._idle_seconds
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
        """Return the socket of the program, which is started anew if a command has changed it."""
        if self._process is not None:
            wake(self._process.pid)
            if inherited_from(self._process.pid) != self._inherited:
                self._end_program()
        if self._requests is None:
            ours, theirs = socket.socketpair()
            with theirs:
                marker = os.environ.get(_MARKER)
                self._process = subprocess.Popen(  # noqa: S603  # our own program
                    [sys.executable, "-I", "-S", program.__file__, str(theirs.fileno())],
                    env={_MARKER: marker} if marker else {},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            self._requests = ours
            self._inherited = inherited_from(self._process.pid)
        return self._requests


def is_stopped(pid: int) -> bool:
    """Return whether a command has stopped the process (Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"
    except OSError:
        return False


def wake(pid: int) -> None:
    """Let a process go on that a command has stopped."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGCONT)
