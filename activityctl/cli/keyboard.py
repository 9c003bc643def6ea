"""Keyboard: the keys that a person presses, one by one; the terminal is restored afterwards."""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

_KEYS: Final = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x1b": "escape",
    "\x03": "quit",
    "\x04": "quit",
}
_ONE_KEY: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z~]|\x1bO[A-Za-z]|.", re.DOTALL)
_AT_ONCE: Final = 1_024


def keys_in(text: str) -> Iterator[str]:
    """Yield the keys: a name such as `up` for a special one, else its character.

    A sequence without a name is left out, as are other control characters.
    """
    for found in _ONE_KEY.findall(text):
        if found in _KEYS:
            yield _KEYS[found]
        elif len(found) == 1 and found.isprintable():
            yield found


def can_read_keys() -> bool:
    """Return whether keys can be read one by one: stdin is a terminal of a known kind, and ours.

    It belongs to others if the process runs in the background, as under `timeout`.
    """
    try:
        import termios  # noqa: F401  # some systems do not have it
    except ImportError:
        return False
    if not sys.stdin.isatty() or os.environ.get("TERM") in {None, "", "dumb"}:
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # it is not the terminal that controls the process
        return True


class Keyboard:
    """Puts each key into `pressed`, within a `with` block in a running event loop.

    Nothing that is typed is echoed meanwhile, and Ctrl-Z does not stop the process.
    """

    def __init__(self) -> None:
        self.pressed: asyncio.Queue[str] = asyncio.Queue()
        self._file = sys.stdin.fileno()
        self._saved: list[Any] = []

    def __enter__(self) -> Self:
        import termios

        self._saved = termios.tcgetattr(self._file)
        changed = [*self._saved[:6], list(self._saved[6])]
        changed[3] &= ~(termios.ICANON | termios.ECHO)
        for special in (termios.VSUSP, termios.VQUIT):
            changed[6][special] = b"\0"
        termios.tcsetattr(self._file, termios.TCSADRAIN, changed)
        asyncio.get_running_loop().add_reader(self._file, self._read)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import termios

        asyncio.get_running_loop().remove_reader(self._file)
        termios.tcsetattr(self._file, termios.TCSADRAIN, self._saved)

    def _read(self) -> None:
        try:
            typed = os.read(self._file, _AT_ONCE)
        except OSError:  # the terminal has gone
            typed = b""
        if not typed:
            asyncio.get_running_loop().remove_reader(self._file)
            self.pressed.put_nowait("quit")
            return
        for key in keys_in(typed.decode("utf-8", "ignore")):
            self.pressed.put_nowait(key)
