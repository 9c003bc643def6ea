"""The token of the local daemon: a file of its home that only this user can read."""

import secrets
from pathlib import Path
from typing import Final

from activityctl.private_file import read_private, write_private
from activityctl.secret import Secret

TOKEN_FILE: Final = "api-token"  # noqa: S105  # a file's name
_PREFIX: Final = "actl_local_"
_BYTES: Final = 32
_LONGEST: Final = 1_000


def read_local_token(home: Path) -> Secret | None:
    """Return the token of the home; None if there is none.

    Raises NotAllowedError if the file is a link, or if others can read it.
    """
    text = read_private(home / TOKEN_FILE, _LONGEST)
    found = None if text is None else text.decode("ascii", "replace").strip()
    return Secret(found) if found and found.startswith(_PREFIX) else None


def make_local_token(home: Path) -> None:
    """Write a token if the home has none."""
    if read_local_token(home) is None:
        write_private(home / TOKEN_FILE, f"{_PREFIX}{secrets.token_urlsafe(_BYTES)}\n")
