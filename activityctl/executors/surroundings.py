"""What a command finds around it: a fresh folder, an account, and the variables for both."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Final

from activityctl.errors import TaskError
from activityctl.frozen_dataclass import frozen_dataclass

PREFIX: Final = "activityctl-task-"
"""How the names of the folders of attempts begin."""


@frozen_dataclass
class Account:
    """An account of this machine, with all its groups."""

    name: str
    number: int
    group: int
    groups: Sequence[int]
    shell: str


def find_account(name: str | None) -> Account | None:
    """Return the account to run as, or None for the worker's own.

    Raises TaskError if there is no such account, or if the worker may not run as it.
    """
    if name is None:
        return None
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError) as error:
        message = f"user: there is no account {name!r} on this machine"
        raise TaskError(message, code="not_allowed", retryable=False) from error
    if os.geteuid() == entry.pw_uid:
        return None
    if os.geteuid() != 0:
        raise TaskError(
            f"user: only a worker that runs as root can run commands as {name}",
            code="not_allowed",
            retryable=False,
        )
    groups = os.getgrouplist(name, entry.pw_gid)
    return Account(name, entry.pw_uid, entry.pw_gid, groups, entry.pw_shell)


def make_folder(account: Account | None) -> str:
    """Make a fresh folder for an attempt, readable only by the account. Raises OSError."""
    folder = tempfile.mkdtemp(prefix=PREFIX)
    if account is not None:
        os.chown(folder, account.number, account.group)
    return folder


def remove_folder(folder: str) -> None:
    """Remove the folder of an attempt, if the guardian did not do it."""
    shutil.rmtree(folder, ignore_errors=True)


def variables_of(folder: str, account: Account | None) -> Mapping[str, str]:
    """Return the variables that say where the command is and who it is."""
    own = {"HOME": folder, "TMPDIR": folder}
    if account is None:
        return own
    return {**own, "USER": account.name, "LOGNAME": account.name, "SHELL": account.shell}
