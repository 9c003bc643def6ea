"""Runs a child process with its process group and pipes on the event loop.

asyncio's own subprocesses are not used: up to Python 3.11 their wait() also waits until a
grandchild closes the pipes, and each takes a thread.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Final

OUTPUT_BYTES: Final = 64 * 1024
"""How many bytes are kept of each output; the others are only counted."""
DRAIN_SECONDS: Final = 1.0
"""How long the pipes may stay open after the child has ended."""
_DEATH_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02
_CHUNK_BYTES: Final = 64 * 1024


class Capture:
    """The beginning and the end of an output, and its total number of bytes."""

    def __init__(self, limit: int = OUTPUT_BYTES) -> None:
        self.total = 0
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
        free = self._half - len(self._head)
        self._head += data[:free]
        self._tail += data[free:]
        del self._tail[: -self._half]

    def text(self) -> str:
        """Return the text. Invalid UTF-8 becomes U+FFFD; a line says how many bytes are missing."""
        if self.is_whole:
            return (self._head + self._tail).decode("utf-8", errors="replace")
        left_out = self.total - len(self._head) - len(self._tail)
        head = self._head.decode("utf-8", errors="replace").rstrip("\ufffd")
        tail = self._tail.decode("utf-8", errors="replace").lstrip("\ufffd")
        return f"{head}\n[... {left_out} bytes left out ...]\n{tail}"


class TaskProcess:
    """A running child process. The caller must call `close` in the end.

    The child is not reaped before `close`. Until then its pid, which is also the id of the group,
    cannot be given to another process.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: str | None,
        stdin: bytes | None,
    ) -> None:
        """Start the process. Raises OSError, or ValueError for a NUL in an argument."""
        self.stdout = Capture()
        self.stderr = Capture()
        self._loop = asyncio.get_running_loop()
        self._exited = asyncio.Event()
        self._drained = asyncio.Event()
        self._releases: dict[int, Callable[[], None]] = {}
        self._outputs = 0
        self._poller: asyncio.Task[None] | None = None
        self._process = subprocess.Popen(  # noqa: S603 - the user's command; the settings allow it
            arguments,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        try:
            self._connect(stdin)
        except BaseException:
            self.close()
            raise

    async def exited(self) -> None:
        """Wait until the child has ended; its own children may still run."""
        await self._exited.wait()

    async def drained(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until every process has closed the outputs, at most this long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._drained.wait()

    async def stop(self, grace_seconds: float) -> None:
        """Send SIGTERM to the group, and SIGKILL after the grace period."""
        self._signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._exited.wait()
                await self._drained.wait()
        self._signal(signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(_DEATH_SECONDS):
                await self._exited.wait()

    def close(self) -> int:
        """Kill what is left of the group, free all resources, return the exit code or -signal."""
        self._signal(signal.SIGKILL)
        if self._poller is not None:
            self._poller.cancel()
        for release in list(self._releases.values()):
            release()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_DEATH_SECONDS)
        return self._process.returncode

    def _signal(self, number: signal.Signals) -> None:
        with suppress(
            ProcessLookupError, PermissionError
        ):  # ended, or runs as another user (setuid)
            os.killpg(self._process.pid, number)

    def _connect(self, stdin: bytes | None) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                self._register(stream)
        self._watch_exit()
        for stream, capture in (
            (self._process.stdout, self.stdout),
            (self._process.stderr, self.stderr),
        ):
            if stream is not None:
                self._outputs += 1
                self._loop.add_reader(stream.fileno(), self._read, stream.fileno(), capture)
        if self._process.stdin is not None:
            descriptor = self._process.stdin.fileno()
            self._unwritten = memoryview(stdin or b"")
            self._loop.add_writer(descriptor, self._write, descriptor)

    def _register(self, stream: IO[bytes]) -> None:
        descriptor = stream.fileno()
        os.set_blocking(descriptor, False)

        def release() -> None:
            del self._releases[descriptor]
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
            stream.close()

        self._releases[descriptor] = release

    def _watch_exit(self) -> None:
        if not hasattr(os, "pidfd_open"):  # macOS
            self._poller = self._loop.create_task(self._poll())
            return
        descriptor = os.pidfd_open(self._process.pid)

        def release() -> None:
            del self._releases[descriptor]
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
            self._exited.set()

        self._releases[descriptor] = release
        self._loop.add_reader(descriptor, release)

    async def _poll(self) -> None:
        while self._process.poll() is None:  # noqa: ASYNC110 - no event is available
            await asyncio.sleep(_POLL_SECONDS)
        self._exited.set()

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
