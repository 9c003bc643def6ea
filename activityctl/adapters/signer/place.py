"""Where the signer of a home listens, and whether it is needed."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from activityctl.adapters.keystore.own_folder import read_own, require_own
from activityctl.errors import ActivityctlError

_NAME: Final = "signer.sock"
_LONGEST: Final = 100
"""In bytes; the address of a socket has room for 104 on macOS and 108 on Linux."""
_ACCOUNTS: Final = frozenset({"executor", "relayer"})


def socket_path(home: Path) -> Path:
    """Return the path of the socket: in the home, or in a folder of ours if that is too long."""
    path = home.resolve() / _NAME
    if len(os.fsencode(path)) <= _LONGEST:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"activityctl-{os.geteuid()}-{digest}" / _NAME


def prepare_folder(path: Path) -> None:
    """Make the folder of the socket, if it is not the home; refuse one of somebody else."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_own(path.parent)


def mark_path(home: Path) -> Path:
    """Return the file that says that somebody has asked for a signer."""
    return home / "signer.needed"


def is_needed(home: Path) -> bool:
    """Return whether this home has a key of an account, or a worker has asked for a signer.

    It loads nothing of what reads keys.
    """
    if mark_path(home).exists():
        return True
    try:
        content: Any = json.loads(read_own(home / "keys" / "names.json") or b"{}")
        return any(fields["kind"] in _ACCOUNTS for fields in content.values())
    except (OSError, ActivityctlError, ValueError, TypeError, KeyError, AttributeError):
        return False  # who uses the keys says what is wrong with the file
