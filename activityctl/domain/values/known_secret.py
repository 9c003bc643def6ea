"""A secret as it is listed: its name, where it is kept, and the rules for its value."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Final

from activityctl.domain.values.masking import LEAST_SECRET
from activityctl.frozen_dataclass import frozen_dataclass

LARGEST: Final = 64 * 1024
"""In bytes of UTF-8."""
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class SecretStore(StrEnum):
    """Where a secret is kept."""

    KEYRING = "keyring"
    """The key store of the system."""
    FILE = "file"
    """The encrypted file of this home."""
    REFERENCE = "reference"
    """A file or an entry of the key store that somebody else writes."""
    ENVIRONMENT = "environment"
    """A variable of the process."""
    FOLDER = "folder"
    """A folder with one file for each secret, as Kubernetes mounts it."""

    @property
    def text(self) -> str:
        """What people call it; a place follows."""
        return _TEXTS[self]


_TEXTS: Final = {
    SecretStore.KEYRING: "key store",
    SecretStore.FILE: "encrypted file",
    SecretStore.REFERENCE: "reference",
    SecretStore.ENVIRONMENT: "variable",
    SecretStore.FOLDER: "mounted file",
}


@frozen_dataclass
class KnownSecret:
    """A secret on this machine, without its value."""

    name: str
    store: SecretStore
    place: str
    """Where exactly, for people: a path, the name of a variable, the name of a key store."""
    hosts: tuple[str, ...] = ()
    created_at: datetime | None = None
    rotated_at: datetime | None = None
    last_used_at: datetime | None = None


def value_of(text: str) -> str:
    """Return the value of a secret without line ends at its end; ValueError if it cannot be one."""
    value = text.rstrip("\r\n")
    if len(value) < LEAST_SECRET:
        raise ValueError(f"it has fewer than {LEAST_SECRET} characters, so it could not be masked")
    if _CONTROL.search(value):
        raise ValueError("it has control characters, or it is not text")
    if len(value.encode()) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST // 1024} KiB")
    return value
