"""EvaluatorProcess: one evaluator process, seen from its parent."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Final

from activityctl.adapters.evaluator.wire import LENGTH

_MOST_ANSWER: Final = 256 << 20
_EXTRA_WALL_SECONDS: Final = 10.0
"""Added to ten times the CPU time: the machine may be busy, and a new process has to start."""

_INHERITED: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONUSERBASE",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "ACTIVITYCTL_SUPERVISED",
)
"""What Python needs to find our package; commands of tasks could read everything else here."""


class OverrunError(Exception):
    """The evaluation took more than its CPU time or wall clock time."""


class CrashedError(Exception):
    """The process ended during the evaluation, for example for lack of memory."""


class EvaluatorProcess:
    """A process that evaluates one request at a time; after an error it is dead."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        number = theirs.fileno()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "activityctl.adapters.evaluator.child", str(number)],
                env={name: os.environ[name] for name in _INHERITED if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(number,),
            )
        self._socket = ours

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Return the answer; `seconds` is the CPU time that it may take.

        Raises OverrunError or CrashedError; the process is dead then.
        """
        deadline = time.monotonic() + 10 * seconds + _EXTRA_WALL_SECONDS
        try:
            self._socket.settimeout(deadline - time.monotonic())
            pickle.Pickler(self, 5).dump({**request, "seconds": seconds})
            (length,) = LENGTH.unpack(self._receive(LENGTH.size, deadline))
            if length > _MOST_ANSWER:
                raise CrashedError("its answer is too long")
            answer: dict[str, Any] = json.loads(self._receive(length, deadline))
        except TimeoutError:
            self.kill()
            raise OverrunError from None
        except OSError as error:
            self.kill()
            if self._process.returncode == -signal.SIGPROF:
                raise OverrunError from None
            raise CrashedError(f"it ended with code {self._process.returncode}") from error
        return answer

    def write(self, data: bytes) -> int:
        """Send a part of the pickle; between two parts, other threads of Python can run."""
        self._socket.sendall(data)
        return len(data)

    def _receive(self, length: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            part = self._socket.recv(min(length - len(parts), 1 << 16))
            if not part:
                raise ConnectionError
            parts += part
        return bytes(parts)

    def kill(self) -> None:
        """Kill the process and wait for its end; nothing happens if it has ended."""
        self._socket.close()
        if self._process.returncode is None and self._process.poll() is None:
            try:
                self._process.wait(0.05)  # it may be ending by itself, with a code that tells why
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
