"""A key as it is kept and listed: its kind, its versions, and the rules for its text.

An HMAC key signs hooks. An executor and a relayer are accounts; they are known by their addresses.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from activityctl.domain.values.known_secret import SecretStore
from activityctl.frozen_dataclass import frozen_dataclass

_HMAC: Final = re.compile("[0-9a-fA-F]{64}")
_PRIVATE: Final = re.compile("(?:0x)?([0-9a-fA-F]{64})")


class KeyKind(StrEnum):
    """What a key is for; it is used for nothing else."""

    HMAC = "hmac"
    """Signs requests to an executor's service, and checks its responses."""
    EXECUTOR = "executor"
    """Signs executables, when activityctl signs for the executor (autosign)."""
    RELAYER = "relayer"
    """Sends transactions, and pays for their gas."""

    @property
    def is_account(self) -> bool:
        """Whether the key has an address."""
        return self is not KeyKind.HMAC


@frozen_dataclass
class KeyVersion:
    """One version of a key, without its secret."""

    number: int
    public: str
    """The address; for an HMAC key the beginning of its SHA-256, to compare it on both sides."""
    created_at: datetime
    valid_until: datetime | None = None
    """Until when it is still used after a rotation; None for the current version."""


@frozen_dataclass
class KnownKey:
    """A key on this machine, without its secret."""

    name: str
    kind: KeyKind
    store: SecretStore
    place: str
    versions: tuple[KeyVersion, ...]
    """The current one first."""

    @property
    def current(self) -> KeyVersion:
        """The version that signs."""
        return self.versions[0]


@frozen_dataclass
class HeldVersion:
    """One version of a key with its secret; it is never stored elsewhere and never printed."""

    shown: KeyVersion
    secret: str = field(repr=False)
    """The hex text: 64 digits; of an account without 0x, in lower case."""

    @property
    def private_key(self) -> bytes:
        """The 32 bytes of an account's key."""
        return bytes.fromhex(self.secret)


@frozen_dataclass
class HeldKey:
    """A key with the secrets of its versions, the current one first."""

    name: str
    kind: KeyKind
    versions: tuple[HeldVersion, ...]

    @property
    def current(self) -> HeldVersion:
        """The version that signs."""
        return self.versions[0]

    def valid(self, now: datetime) -> tuple[HeldVersion, ...]:
        """Return the versions that are accepted now, the current one first."""
        return tuple(version for version in self.versions if _is_valid(version, now))


def key_text(kind: KeyKind, text: str) -> str:
    """Return the hex of a key as it is kept; ValueError, which does not quote it, for another text.

    The text of an HMAC key stays as it is: its characters are the key, not the bytes they stand
    for. Whether an account's number is in range is seen when its address is computed.
    """
    given = text.strip()
    if kind is KeyKind.HMAC:
        if not _HMAC.fullmatch(given):
            raise ValueError("an HMAC key has 64 hex digits (32 bytes), without 0x")
        return given
    match = _PRIVATE.fullmatch(given)
    if match is None:
        raise ValueError("a private key has 64 hex digits (32 bytes)")
    return match[1].lower()


def fingerprint(secret: str) -> str:
    """Return what an HMAC key is listed by: it tells keys apart, and gives nothing away."""
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()[:16]}"


def rotated(
    kind: KeyKind, versions: Sequence[HeldVersion], new: HeldVersion, until: datetime
) -> tuple[HeldVersion, ...]:
    """Return the versions after a rotation: the former current one is valid until the moment.

    Older ones end no later. Those that are over are forgotten, except keys of accounts: somebody
    may still send money to an old address.
    """
    now = new.shown.created_at
    older = tuple(replace(each, shown=_ending(each.shown, until)) for each in versions)
    return (new, *(each for each in older if kind.is_account or _is_valid(each, now)))


def next_number(versions: Sequence[HeldVersion]) -> int:
    """Return the number of the next version."""
    return 1 + max((version.shown.number for version in versions), default=0)


def _ending(version: KeyVersion, until: datetime) -> KeyVersion:
    ends = until if version.valid_until is None else min(version.valid_until, until)
    return replace(version, valid_until=ends)


def _is_valid(version: HeldVersion, now: datetime) -> bool:
    return version.shown.valid_until is None or now < version.shown.valid_until
