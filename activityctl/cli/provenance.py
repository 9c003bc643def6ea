"""Who calls the command line, and from which commit: the CI's word, else git's."""

import getpass
import socket
import subprocess
from pathlib import Path

from activityctl.domain.history import Origin
from activityctl.settings import Settings


def origin_of_call(settings: Settings) -> Origin:
    """Return the origin of changes made by this call; nothing here can fail it."""
    return Origin(
        actor=settings.actor or _local_user(), source_commit=settings.source_commit or _git_head()
    )


def origin_of_sync(settings: Settings, folder: Path) -> Origin:
    """Return the origin of changes that came with a folder: its own commit, as it is now."""
    actor = settings.actor or _local_user()
    return Origin(command="sync", actor=actor, source_commit=_git_head(folder))


def _local_user() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def _git_head(folder: Path | None = None) -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607  # the user's own git
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
