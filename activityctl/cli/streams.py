"""The standard streams of a command: they stay usable whatever the caller made of them.

A stream may be closed, its disk may be full, and its encoding may lack a character. Then the
command does its work all the same, and what its output should have said is told on stderr.
"""

import codecs
import os
import select
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn, TextIO, cast

from activityctl.errors import OutputError, UsageError, reason_of

_REPLACEMENTS: Final = {
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{NO-BREAK SPACE}": " ",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    **dict(
        zip("…“”→←≤≥✓✗•", ("...", '"', '"', "->", "<-", "<=", ">=", "ok", "x", "*"), strict=True)
    ),
    **dict(zip("█▏░", "#|:", strict=True)),
    **dict(zip("─│▶◀▲▼┌┐└┘├┤┬┴┼", "-|><^v+++++++++", strict=True)),
}
_HANDLER: Final = "activityctl-readable"
_KEPT: Final = 8_192
"""How many characters of the output are kept to tell them on stderr, if they cannot be written."""


def _readable(error: UnicodeError) -> tuple[str, int]:
    """Write a character that the encoding lacks as similar ASCII, or as an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    escaped = (
        _REPLACEMENTS.get(char) or char.encode("ascii", "backslashreplace").decode("ascii")
        for char in lacking
    )
    return "".join(escaped), error.end


class SteadyStream:
    """A text stream that goes on when nothing can be written, and keeps what was lost.

    A broken pipe is not kept: the reader has seen enough, and the command ends.
    """

    def __init__(self, stream: TextIO, *, failure: OSError | None = None) -> None:
        self._stream = stream
        self._recent: list[str] = []
        self._size = 0
        self.failure = failure
        """Why nothing more can be written; None while all is well."""

    @property
    def lost(self) -> str:
        """The beginning of what may not have been written."""
        return "".join(self._recent)

    def write(self, text: str) -> int:
        """Write the text; once that fails, only keep its beginning."""
        if not isinstance(text, str):
            raise TypeError("this is a stream of text")  # how callers find that out
        if self._size < _KEPT:
            self._recent.append(text[: _KEPT - self._size])
            self._size += len(self._recent[-1])
        if self.failure is None:
            self._guarded(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Write each of the lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush; what was written until now is then no longer kept."""
        if self.failure is None:
            self._guarded(self._stream.flush)
        if self.failure is None:
            self._recent, self._size = [], 0

    def _guarded(self, write: Any) -> None:
        try:
            write()
        except BrokenPipeError:
            raise
        except OSError as error:
            self.failure = error
            # The interpreter flushes the stream once more at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def steady_streams() -> None:
    """Replace the standard streams by steady ones; open `/dev/null` in place of closed ones.

    A file or connection that is opened later could else get the number of a closed stream.
    """
    codecs.register_error(_HANDLER, _readable)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        failure = None
        if stream is None:
            failure = OSError("it is closed")
            stream = _null(descriptor)
        if name == "stdin":
            sys.stdin = cast("TextIO", _ClosedInput()) if failure else stream
            continue
        if not isinstance(stream, SteadyStream):
            with suppress(AttributeError):  # a stream of a test
                stream.reconfigure(errors=_HANDLER)
            setattr(sys, name, SteadyStream(stream, failure=failure))


def _null(descriptor: int) -> TextIO:
    mode = os.O_WRONLY if descriptor else os.O_RDONLY
    opened = os.open(os.devnull, mode)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)
    return os.fdopen(descriptor, "w" if descriptor else "r", encoding="utf-8", closefd=False)


class _ClosedInput:
    """In place of a standard input that is closed: to read it is an error of the caller."""

    def isatty(self) -> bool:
        """Return False: nobody can answer a question."""
        return False

    def __getattr__(self, name: str) -> Any:
        return self._refuse

    @property
    def buffer(self) -> "_ClosedInput":
        return self

    def _refuse(self, *_: object) -> NoReturn:
        raise UsageError("standard input is closed", hint="name a file, or redirect the input")


def lost_output() -> OutputError | None:
    """Return the error if the results could not be written to stdout; None if they were.

    What should have been written, as far as it is known, is written to stderr first.
    """
    stream = cast("SteadyStream", sys.stdout)
    if stream.failure is None or not stream.lost:
        return None
    sys.stderr.write(stream.lost)
    if not stream.lost.endswith("\n"):
        sys.stderr.write("\n")
    return OutputError(reason_of(stream.failure) if stream.failure.errno else "it is closed")


def output_has_failed() -> bool:
    """Return whether nothing can be written to stdout any more."""
    return isinstance(sys.stdout, SteadyStream) and sys.stdout.failure is not None


def raise_if_reader_has_gone() -> None:
    """Raise BrokenPipeError if stdout is a pipe that nobody reads any more.

    A command that waits for news would else notice only when it writes the next time.
    """
    if not hasattr(select, "poll"):
        return
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        return
    if any(events & select.POLLERR for _, events in poll.poll(0)):
        raise BrokenPipeError
