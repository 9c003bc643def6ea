"""Runs a command below its guardian, with pipes on the event loop.

asyncio's own subprocesses are not used: up to Python 3.11 their wait() also waits until a
grandchild closes the pipes, and each takes a thread.
"""

import asyncio
import functools
import json
import os
import signal
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field, fields, replace
from pathlib import Path
from typing import IO, Final, Self

from activityctl.executors.capture import Capture
from activityctl.executors.starter import Starter, is_stopped
from activityctl.executors.surroundings import remove_folder
from activityctl.frozen_dataclass import frozen_dataclass

DRAIN_SECONDS: Final = 1.0
"""How long the pipes may stay open after the command has ended."""
DEATH_SECONDS: Final = 5.0
"""How long killed processes may take to be gone."""
_WAKE_SECONDS: Final = 1.0
"""How often a guardian is woken, which its command may have stopped."""
_CHUNK_BYTES: Final = 64 * 1024
_MARK: Final = "ACTIVITYCTL_PROCESS"
"""The variable that tells the processes of one call from those of all others on the machine. Tasks
of two databases may have the same id, if their subscriptions have the same names."""


@frozen_dataclass
class ProcessSpec:
    """What the guardian starts."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    """The fresh folder of the attempt; the guardian removes it in the end."""
    directory: str | None = None
    """The working folder, relative to `folder`; None for `folder` itself."""
    account: tuple[Sequence[int], int, int] | None = None
    """Groups, group and user to run as; None for our own."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Resource limits of each process, by their names in the module `resource`."""


class GuardianLostError(Exception):
    """The guardian ended without a report; its command was killed as far as it could be found."""

    def __init__(self) -> None:
        super().__init__("the process that guards the command was killed")


class TaskProcess:
    """A running command with all that it started. The caller must await `end`."""

    def __init__(
        self,
        starter: Starter,
        spec: ProcessSpec,
        stdin: bytes | None,
        captures: tuple[Capture, Capture] | None = None,
    ) -> None:
        """Start a guardian. Raises OSError, or ValueError for a NUL in an argument."""
        self.stdout, self.stderr = captures or (Capture(), Capture())
        self.exit_code: int | None = None
        self._left: tuple[int, ...] = ()
        self._mark = {_MARK: uuid.uuid4().hex}
        spec = replace(spec, environment={**spec.environment, **self._mark})
        self._spec = spec
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._exited = asyncio.Event()
        self._drained = asyncio.Event()
        self._gone = asyncio.Event()
        self._is_gone = False
        self._is_free = False
        """Whether the guardian can take another command."""
        self._is_ended = False
        self._starter = starter
        self._releases: dict[int, Callable[[], None]] = {}
        self._outputs = 0
        self._lines = b""
        self._start(starter, spec, stdin)

    @classmethod
    async def start(
        cls,
        starter: Starter,
        spec: ProcessSpec,
        stdin: bytes | None,
        grace_seconds: float,
        captures: tuple[Capture, Capture] | None = None,
    ) -> Self:
        """Start the command; if this is cancelled, stop it as `stop` does.

        `captures` get what it writes to stdout and stderr.
        Raises OSError if it cannot be started, ValueError for a NUL, and GuardianLostError; the
        folder is removed then.
        """
        try:
            process = cls(starter, spec, stdin, captures)
        except BaseException:
            remove_folder(spec.folder)
            raise
        try:
            await process._started
        except asyncio.CancelledError:
            try:
                await process.stop(grace_seconds)
            finally:
                await process.end()
            raise
        except BaseException:  # also a cancellation: no process is left
            await process.end()
            remove_folder(spec.folder)
            raise
        return process

    async def exited(self) -> None:
        """Wait until the command has ended; its own children may still run.

        Raises GuardianLostError if nobody can tell.
        """
        await self._exited.wait()
        if self.exit_code is None:
            raise GuardianLostError

    async def drained(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until every process has closed the outputs, at most this long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._drained.wait()

    async def stop(self, grace_seconds: float) -> None:
        """Send SIGTERM to all processes, and wait until they are gone, at most this long."""
        self._order(b"term\n")
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._gone.wait()
                await self._drained.wait()

    async def end(self) -> None:
        """Kill what is left and wait until it is gone, at most DEATH_SECONDS; free all resources.

        If this is cancelled, the guardian goes on alone.
        """
        try:
            if not self._gone.is_set() and not self._is_ended:
                self._order(b"kill\n")
                with suppress(TimeoutError):
                    async with asyncio.timeout(DEATH_SECONDS):
                        await self._gone.wait()
                self._end_stopped_guardian()
        finally:
            for release in list(self._releases.values()):
                release()
            if not self._is_ended:
                self._leave_guardian()
            self._is_ended = True

    def _leave_guardian(self) -> None:
        """Give the guardian to other commands, if it has no command any more; else leave it."""
        if self._is_free:
            self._starter.give_back(self._guardian)
        else:
            self._control.close()

    def _keep_awake(self) -> None:
        self._guardian.wake()
        self._waking = self._loop.call_later(_WAKE_SECONDS, self._keep_awake)

    def _end_stopped_guardian(self) -> None:
        """Kill a guardian that is stopped again and again, and its command in its place."""
        pid = self._guardian.pid
        if not self._is_gone and pid is not None and is_stopped(pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            self._lose_guardian()

    def take_left(self) -> tuple[int, ...]:
        """Return the processes that did not end after SIGKILL, the first time it is asked."""
        left, self._left = self._left, ()
        return left

    def _order(self, order: bytes) -> None:
        if not self._is_ended:  # else it may be at work for others
            self._guardian.wake()
            with suppress(OSError):  # the guardian has ended
                self._control.send(order)

    def _start(self, starter: Starter, spec: ProcessSpec, stdin: bytes | None) -> None:
        """Ask for the command, and watch its guardian and the pipes of the command."""
        pipes: list[int] = []
        try:
            with _document(spec) as document:
                theirs = [os.open(os.devnull, os.O_RDONLY)] if stdin is None else []
                pipes += theirs
                ours = []
                for place in (("in",) if stdin is not None else ()) + ("out", "err"):
                    ends = os.pipe()
                    pipes += ends
                    read, write = ends
                    theirs.append(read if place == "in" else write)
                    ours.append(write if place == "in" else read)
                self._guardian = starter.start([document.fileno(), *theirs])
                self._control = self._guardian.control
        except BaseException:  # also a cancellation: no pipe is left open
            for descriptor in pipes:
                os.close(descriptor)
            raise
        for descriptor in theirs:
            os.close(descriptor)
        self._watch(ours, stdin)

    def _watch(self, pipes: Sequence[int], stdin: bytes | None) -> None:
        self._loop.add_reader(self._control.fileno(), self._listen)
        self._releases[self._control.fileno()] = self._release_control
        self._waking = self._loop.call_later(_WAKE_SECONDS, self._keep_awake)
        for descriptor in pipes:
            os.set_blocking(descriptor, False)
            self._releases[descriptor] = functools.partial(self._release, descriptor)
        self._outputs = 2
        for descriptor, capture in zip(pipes[-2:], (self.stdout, self.stderr), strict=True):
            self._loop.add_reader(descriptor, self._read, descriptor, capture)
        if stdin is not None:
            self._unwritten = memoryview(stdin)
            self._loop.add_writer(pipes[0], self._write, pipes[0])

    def _release(self, descriptor: int) -> None:
        del self._releases[descriptor]
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)
        os.close(descriptor)

    def _release_control(self) -> None:
        self._releases.pop(self._control.fileno(), None)
        self._loop.remove_reader(self._control.fileno())
        self._waking.cancel()

    def _listen(self) -> None:
        """Read what the guardian reports."""
        try:
            data = self._control.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self._lines = (self._lines + data).split(b"\n")
        for line in lines:
            self._note(line.decode("utf-8", "replace"))
        if not data:
            self._release_control()
            self._is_free = False
            self._lose_guardian()

    def _note(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        match word:
            case "guardian":
                self._guardian.pid = int(rest)
            case "started":
                self._settle()
            case "failed":
                number, _, file = rest.partition(" ")
                code = int(number)
                error = OSError(code, os.strerror(code), file) if code else ValueError(file)
                self._settle(error)
            case "exited":
                self.exit_code = int(rest)
                self._exited.set()
            case "left":
                self._left = tuple(map(int, rest.split()))
            case "gone":
                self._left = ()
                self._is_gone = self._is_free = True
                self._gone.set()

    def _settle(self, failure: Exception | None = None) -> None:
        if self._started.done():
            return
        if failure is not None:
            self._is_gone = True
            self._started.set_exception(failure)
        else:
            self._started.set_result(None)

    def _lose_guardian(self) -> None:
        """Note that the guardian has ended; if it was killed, end its command in its place."""
        if not self._is_gone:
            self._is_gone = True
            kill_marked(self._mark)
            remove_folder(self._spec.folder)
            self._settle(GuardianLostError())
        self._exited.set()
        self._gone.set()

    def _read(self, descriptor: int, capture: Capture) -> None:
        try:
            data = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return
        capture.add(data)
        if not data:
            self._releases[descriptor]()
            self._outputs -= 1
            if self._outputs == 0:
                self._drained.set()

    def _write(self, descriptor: int) -> None:
        try:
            written = os.write(descriptor, self._unwritten[:_CHUNK_BYTES])
        except BlockingIOError:
            return
        except BrokenPipeError:  # the program does not read its input
            written = len(self._unwritten)
        self._unwritten = self._unwritten[written:]
        if not self._unwritten:
            self._releases[descriptor]()


def kill_marked(marks: Mapping[str, str]) -> None:
    """Kill the processes whose environment has all of these variables (Linux)."""
    wanted = {f"{name}={value}".encode() for name, value in marks.items()}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                os.kill(int(folder.name), signal.SIGKILL)


def exit_reason(exit_code: int) -> str:
    """Return how a process ended, for people: `ended with exit code 3`, `was killed by SIGKILL`."""
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-exit_code}"


def _document(spec: ProcessSpec) -> IO[bytes]:
    """Return an open file with the spec; it has no name, because the spec can have secrets."""
    texts = [*spec.arguments, *spec.environment, *spec.environment.values(), spec.directory or ""]
    for text in texts:
        if b"\0" in os.fsencode(text):
            raise ValueError("embedded null byte")
    content = json.dumps({each.name: getattr(spec, each.name) for each in fields(spec)}).encode()
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("command"), "w+b")
    else:
        file = tempfile.TemporaryFile("w+b")  # noqa: SIM115  # the caller closes it
    file.write(content)
    file.flush()
    return file
