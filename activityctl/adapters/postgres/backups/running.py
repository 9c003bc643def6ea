"""Runs the programs of PostgreSQL: reads what they say, and leaves none behind."""

import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final

from activityctl.errors import ActivityctlError, NotAllowedError, RefusedError, UnreachableError

_PREFIX: Final = re.compile(r"^[a-z_]+: (?:error: )?")
_PSQL: Final = re.compile(r"^psql:<stdin>:\d+: (?:ERROR|FATAL): +")
_OUTAGE: Final = re.compile(
    r"connection to server .* failed|server closed the connection|terminating connection"
    r"|could not (?:connect|receive data)"
)
_KEPT_LINES: Final = 20


class Program:
    """A program that runs; its messages are read while it works."""

    def __init__(self, process: subprocess.Popen[bytes], hear: Callable[[str], None]) -> None:
        self._process = process
        self._hear = hear
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def stdin(self) -> IO[bytes]:
        """The pipe into the program."""
        return _pipe(self._process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        """The pipe out of the program."""
        return _pipe(self._process.stdout)

    def finish(self) -> None:
        """Wait for its end; raise the error that it reports."""
        code = self._process.wait()
        self._reader.join()
        if code:
            raise self._error(code)

    def stop(self) -> None:
        """End it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what was not written cannot be written any more
                    continue
        self._process.wait()

    def _read(self) -> None:
        with _pipe(self._process.stderr) as stderr:
            for line in stderr:
                text = line.decode("utf-8", "replace").rstrip()
                self._said.append(text)
                self._hear(text)

    def _error(self, code: int) -> ActivityctlError:
        name = str(self._process.args[0]).rpartition("/")[2]  # type: ignore[index]  # a list
        failures = [line for line in self._said if "error: " in line or "ERROR: " in line]
        line = (failures or list(self._said) or [f"it ended with {code}"])[0]
        text = _PREFIX.sub("", _PSQL.sub("", line))
        if _OUTAGE.search(line) or any("FATAL" in said for said in self._said):
            return UnreachableError(f"{name}: {text}", hint="activityctl doctor")
        if "permission denied" in text or "must be owner" in text:
            return NotAllowedError(
                f"the login may not do this: {text}",
                hint="use the login that owns the schema",
            )
        return RefusedError(f"{name}: {text}")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("the program was started without this pipe")
    return pipe


@contextmanager
def running(
    command: Sequence[str],
    *,
    stdin: Any = subprocess.DEVNULL,
    stdout: Any = subprocess.DEVNULL,
    hear: Callable[[str], None] = lambda _: None,
) -> Iterator[Program]:
    """Run a program during the block; end it when the block is left by an exception."""
    process = subprocess.Popen(  # noqa: S603  # a program of PostgreSQL
        list(command),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C comes to us, and we end it
    )
    program = Program(process, hear)
    try:
        yield program
    finally:
        program.stop()
