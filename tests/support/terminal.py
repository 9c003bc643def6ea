"""Runs a command on a pseudo-terminal, as a person would see it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Any

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


def in_terminal(
    command: Sequence[str], environment: Mapping[str, str], *, raw: bool = False
) -> str:
    """Return what the command shows on a terminal; it must end well.

    Colours and other escape sequences are left out, unless it is wanted raw.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=dict(environment), close_fds=True
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65_536):
            shown += chunk
    except OSError:  # Linux: the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(60) == 0
    text = shown.decode("utf-8", "replace")
    return text if raw else _ESCAPE.sub("", text)


class Conversation:
    """A command on a pseudo-terminal that asks, and gets answers as a person types them."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=dict(environment),
            close_fds=True,
            start_new_session=True,
            # So that Ctrl-C reaches the command.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # one thread
        )
        os.close(theirs)
        self._seen = 0
        self.shown = ""
        self.raw = b""

    def type(self, text: str) -> None:
        """Type the text and Enter; `\\x03` alone is Ctrl-C."""
        os.write(self._ours, text.encode() + (b"" if text == "\x03" else b"\n"))

    def press(self, keys: str) -> None:
        """Press keys, without Enter."""
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal this size; the command hears of it."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def send(self, number: int) -> None:
        """Send a signal to the command."""
        self._process.send_signal(number)

    def modes(self) -> list[Any]:
        """Return the modes of the terminal, such as whether it echoes what is typed."""
        return termios.tcgetattr(self._ours)

    def answers(self, question: str, text: str, seconds: float = 120) -> None:
        """Wait until the question is shown after the last one, and type the text."""
        self.wait_for(question, seconds)
        self.type(text)

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Wait until the text is shown, after what was waited for before."""
        deadline = time.monotonic() + seconds
        while text not in self.shown[self._seen :]:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} is not shown:\n{self.shown}"
            assert self._read(left), f"{text!r} was not shown before the end:\n{self.shown}"
        self._seen = self.shown.index(text, self._seen) + len(text)

    def end(self, seconds: float = 120) -> int:
        """Wait for the end and return the exit code."""
        deadline = time.monotonic() + seconds
        while self._read(max(deadline - time.monotonic(), 0.1)):
            pass
        os.close(self._ours)
        return self._process.wait(60)

    def _read(self, seconds: float) -> bool:
        """Read what is shown next; return False at the end."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        try:
            chunk = os.read(self._ours, 65_536)
        except OSError:  # Linux: the other end is closed
            return False
        self.raw += chunk
        self.shown += _ESCAPE.sub("", chunk.decode("utf-8", "replace"))
        return bool(chunk)
