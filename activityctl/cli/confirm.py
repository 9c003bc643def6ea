"""Asking before something is deleted; what is deleted is listed by the command that asks."""

import sys

from activityctl.errors import RefusedError


def require_yes(what: str, question: str) -> None:
    """Ask on a terminal; RefusedError for any other answer, and where nobody can answer."""
    if not sys.stdin.isatty():
        raise RefusedError(f"{what} needs a yes", hint="add --yes")
    sys.stderr.write(f"{question} [y/N]: ")  # typer's prompt leaves a space on stdout
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise RefusedError("nothing was changed")
