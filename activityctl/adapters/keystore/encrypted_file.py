"""The encrypted file of secrets: for machines without a key store.

AES-256-GCM over all entries at once. A wrong key and a changed byte give an error, never a value.
"""

import base64
import binascii
import json
import os
import stat
from pathlib import Path
from typing import Final

from activityctl.adapters.keystore.own_folder import read_own
from activityctl.errors import InvalidInputError, NotAllowedError, UnreachableError, reason_of
from activityctl.private_file import write_private

_HEAD: Final = b"activityctl secrets, version 1, AES-256-GCM\n"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_MAKE_KEY: Final = "make a key with: openssl rand -base64 32"


class KeySource:
    """The key: of the home, made when it is first needed, or of a file or descriptor (`fd:3`)."""

    def __init__(self, own: Path, given: str | None) -> None:
        self._own = own
        self._given = given
        self._read: bytes | None = None

    @property
    def place(self) -> str:
        """Where the key is, for people."""
        return self._given or str(self._own)

    def key(self, *, create: bool) -> bytes | None:
        """Return the key; None if there is none yet and it must not be created."""
        if self._given is None:
            return self._own_key(create=create)
        if self._given.startswith("fd:"):
            # A descriptor can be read only once.
            self._read = self._read or self._decoded(_read_descriptor(self._given))
            return self._read
        return self._decoded(_read_key_file(Path(self._given)))

    def _own_key(self, *, create: bool) -> bytes | None:
        text = read_own(self._own)
        if text is None and create:
            text = base64.b64encode(os.urandom(_KEY_BYTES))
            write_private(self._own, text.decode() + "\n")
        return None if text is None else self._decoded(text)

    def _decoded(self, text: bytes) -> bytes:
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (ValueError, binascii.Error):
            key = b""
        if len(key) != _KEY_BYTES:
            raise InvalidInputError(
                f"the key of the secrets ({self.place}) is not 32 bytes in base64", hint=_MAKE_KEY
            )
        return key


class EncryptedFile:
    """All entries of the file; each call reads it again, each change replaces it."""

    def __init__(self, path: Path, key: KeySource) -> None:
        self.path = path
        self._key = key

    def entries(self) -> dict[str, str]:
        """Return the entries. Raises InvalidInputError for another key and for changed bytes."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        content = read_own(self.path)
        if content is None:
            return {}
        key = self._key.key(create=False)
        if key is None:
            raise UnreachableError(
                f"the key of {self.path} is missing: {self._key.place}",
                hint="restore that file, or set ACTIVITYCTL_SECRETS_KEY_FILE to the key",
            )
        nonce, sealed = content[len(_HEAD) :][:_NONCE_BYTES], content[len(_HEAD) + _NONCE_BYTES :]
        head = content[: len(_HEAD)]  # authenticated: a changed one fits no key
        try:
            entries = json.loads(AESGCM(key).decrypt(nonce, sealed, head))
        except (InvalidTag, ValueError):
            raise InvalidInputError(
                f"{self.path} cannot be decrypted with the key {self._key.place}: it is the key "
                "of another file, or the file was changed",
                hint="restore the key or the file from a backup; or remove the file and set each "
                "secret again",
            ) from None
        return dict(entries)

    def replace(self, entries: dict[str, str]) -> None:
        """Write all entries, atomically. The caller holds the lock."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._key.key(create=True)
        if key is None:
            raise AssertionError  # a key was asked for
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, json.dumps(entries).encode(), _HEAD)
        write_private(self.path, _HEAD + nonce + sealed)


def _read_descriptor(given: str) -> bytes:
    number = given.removeprefix("fd:")
    try:
        with os.fdopen(os.dup(int(number)), "rb") as file:
            return file.read(1024)
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else "it is not a number"
        raise UnreachableError(
            f"the key of the secrets cannot be read from descriptor {number}: {reason}",
            hint="open it for this process, such as 3</path/of/the/key",
        ) from None


def _read_key_file(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UnreachableError(
            f"the key of the secrets cannot be read from {path}: {reason_of(error)}",
            hint="set ACTIVITYCTL_SECRETS_KEY_FILE to the file of the key",
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise InvalidInputError(f"{path}, the key of the secrets, is not a regular file")
        if info.st_mode & 0o007:
            raise NotAllowedError(
                f"all users may read {path}, the key of the secrets", hint=f"chmod 600 {path}"
            )
        return file.read(1024)
