"""What a command told, without what differs between two calls: ages and computed ids."""

import re
import subprocess
from typing import Final

AGE: Final = re.compile(r"\b\d+(\.\d+)?(ms|[smhd])\b")
"""How long ago something was, or how long it took, as tables say it."""
_RUN: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f-]{21}|\b[0-9a-f]{8}\b")

Told = tuple[int, str, str]
"""The exit code, stdout and stderr."""


def whole(done: subprocess.CompletedProcess[str]) -> Told:
    """Return what was printed; the ages in tables, which grow, and their widths are left out."""
    is_table = not done.stdout.startswith("{")
    ages = re.sub(r" +", " ", AGE.sub("AGE", done.stdout))
    return done.returncode, ages if is_table else done.stdout, done.stderr


def outcome(done: subprocess.CompletedProcess[str], mode: str) -> Told:
    """Return what was printed in this mode; its name, the ids of runs and widths are left out."""
    out, err = (
        re.sub(r" +", " ", _RUN.sub("RUN", text).replace(mode, "MODE"))
        for text in (done.stdout, done.stderr)
    )
    return done.returncode, out, err
