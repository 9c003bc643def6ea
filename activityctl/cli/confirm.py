"""Ask for confirmation; the command that asks has listed what it will do."""

import sys

from activityctl.errors import RefusedError


def require_yes(what: str, question: str) -> None:
    """Ask the question on a terminal.

    RefusedError for any answer but yes, and if standard input is no terminal.
    """
    if not sys.stdin.isatty():
        raise RefusedError(f"{what} needs confirmation", hint="add --yes")
    sys.stderr.write(f"{question} [y/N]: ")  # typer's prompt writes a space to stdout
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise RefusedError("nothing was changed")
