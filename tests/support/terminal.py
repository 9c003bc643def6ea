"""Runs a command on a pseudo-terminal, as a person would see it."""

import os
import pty
import re
import subprocess
from collections.abc import Mapping, Sequence

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
    assert process.wait(30) == 0
    text = shown.decode("utf-8", "replace")
    return text if raw else _ESCAPE.sub("", text)
