"""The keys of this machine: HMAC keys and accounts, apart from the secrets that tasks may read.

They are kept as secrets are: in the system's key store, or in an encrypted file of this home.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from activityctl.adapters.keystore.encrypted_file import EncryptedFile, KeySource
from activityctl.adapters.keystore.kept_values import KeptValues
from activityctl.adapters.keystore.own_folder import locked, read_own, require_own
from activityctl.domain.chain.keys import (
    HeldKey,
    HeldVersion,
    KeyKind,
    KeyVersion,
    KnownKey,
    fingerprint,
    key_text,
    next_number,
    rotated,
)
from activityctl.domain.chain.signatures import address_of
from activityctl.domain.values.known_secret import SecretStore
from activityctl.domain.values.secret_ref import is_secret_name
from activityctl.errors import ConflictError, InvalidInputError, NotFoundError
from activityctl.private_file import write_private

_KEY_BYTES: Final = 32


class KeyStores:
    """All keys of this machine; each call reads again, so a change counts at once."""

    def __init__(
        self,
        home: Path,
        *,
        store: str = "auto",
        key_file: str | None = None,
        on_read: Callable[[str], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`on_read` hears every secret text that is read, to mask it in the log of the process."""
        self._folder = home / "keys"
        self._store = store
        file = EncryptedFile(self._folder / "values", KeySource(self._folder / "key", key_file))
        self._values = KeptValues(f"activityctl keys {home}", file)
        self._on_read = on_read
        self._now = now

    async def read(self, name: str, kind: KeyKind) -> HeldKey:
        """Return the key with its secrets; see `ports.KeyReader`."""
        held = await self._held(self._listed(name))
        if held.kind is not kind:
            raise _other_kind(name, held.kind, kind)
        for version in held.versions:
            self._on_read(version.secret)
        return held

    def known(self) -> list[KnownKey]:
        """Return every key of this machine by name, without reading a secret."""
        entries = self._entries()
        return [entries[name] for name in sorted(entries)]

    def one(self, name: str) -> KnownKey:
        """Return the key without its secrets; NotFoundError if there is none."""
        return self._listed(name)

    async def create(
        self, name: str, kind: KeyKind, text: str | None = None, store: str | None = None
    ) -> HeldKey:
        """Keep a new key: made here by the system's random numbers, or read from the text.

        ConflictError if there is a key with this name or with this address.
        """
        self.require_free(name)
        async with locked(self._folder):
            self.require_free(name)
            held = HeldKey(name, kind, (self._new(name, kind, text, 1),))
            self._require_unknown(held.current)
            kept, place = await self._values.write(name, _packed(held), store or self._store)
            self._put(KnownKey(name, kind, kept, place, (held.current.shown,)))
        return held

    async def rotate(self, name: str, text: str | None, overlap: timedelta) -> HeldKey:
        """Give the key a new secret; the former one is accepted for the overlap."""
        async with locked(self._folder):
            listed = self._listed(name)
            held = await self._held(listed)
            new = self._new(name, held.kind, text, next_number(held.versions))
            self._require_unknown(new)
            until = new.shown.created_at + overlap
            return await self._keep(
                listed, replace(held, versions=rotated(held.kind, held.versions, new, until))
            )

    async def remove(self, name: str, number: int | None = None) -> None:
        """Forget the key, or one version of it that is not the current one."""
        async with locked(self._folder):
            listed = self._listed(name)
            if number is None:
                await self._values.remove(name, listed.store)
                self._replace({k: v for k, v in self._entries().items() if k != name})
                return
            if number == listed.current.number:
                raise ConflictError(
                    f"version {number} of key {name} is the current one",
                    hint=f"activityctl keys rotate {name} --overlap 0s",
                )
            held = await self._held(listed)
            left = tuple(each for each in held.versions if each.shown.number != number)
            if len(left) == len(held.versions):
                raise NotFoundError("version", f"{number} of key {name}")
            await self._keep(listed, replace(held, versions=left))

    async def check(self) -> str:
        """Return where a new key is kept; raise an error if what is kept cannot be read."""
        if any(key.store is SecretStore.FILE for key in self._entries().values()):
            self._values.require_readable()
        return (await self._values.chosen(self._store))[1]

    def require_free(self, name: str) -> None:
        """Raise an error if no key of this name can be made."""
        if not is_secret_name(name):
            raise InvalidInputError(
                f"{name!r} is not the name of a key",
                hint="use a-z, 0-9 and -, at most 63 characters, no - at either end",
            )
        if name in self._entries():
            raise ConflictError(
                f"key {name} exists already", hint=f"activityctl keys rotate {name}"
            )

    def _new(self, name: str, kind: KeyKind, text: str | None, number: int) -> HeldVersion:
        try:
            secret = os.urandom(_KEY_BYTES).hex() if text is None else key_text(kind, text)
            public = address_of(bytes.fromhex(secret)) if kind.is_account else fingerprint(secret)
        except ValueError as error:
            raise InvalidInputError(f"key {name} cannot be used: {error}") from None
        return HeldVersion(KeyVersion(number, public, self._now()), secret)

    def _require_unknown(self, new: HeldVersion) -> None:
        for key in self._entries().values():
            if any(version.public == new.shown.public for version in key.versions):
                raise ConflictError(f"key {key.name} is this key already: {new.shown.public}")

    async def _keep(self, listed: KnownKey, held: HeldKey) -> HeldKey:
        await self._values.write(held.name, _packed(held), listed.store)
        self._put(replace(listed, versions=tuple(each.shown for each in held.versions)))
        return held

    async def _held(self, listed: KnownKey) -> HeldKey:
        packed = await self._values.read(listed.name, listed.store)
        if packed is None:
            raise NotFoundError("key", listed.name, hint=f"activityctl keys remove {listed.name}")
        return _unpacked(listed.name, packed)

    def _listed(self, name: str) -> KnownKey:
        found = self._entries().get(name)
        if found is None:
            raise NotFoundError("key", name, hint="activityctl keys list")
        return found

    def _entries(self) -> dict[str, KnownKey]:
        if not self._folder.exists():
            return {}
        require_own(self._folder)
        path = self._folder / "names.json"
        try:
            content = json.loads(read_own(path) or b"{}")
            return {name: _known(name, fields) for name, fields in content.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInputError(
                f"{path} is damaged ({type(error).__name__})",
                hint="restore it from a backup of this home",
            ) from None

    def _put(self, key: KnownKey) -> None:
        self._replace({**self._entries(), key.name: key})

    def _replace(self, entries: Mapping[str, KnownKey]) -> None:
        fields = {name: _fields(key) for name, key in sorted(entries.items())}
        write_private(self._folder / "names.json", json.dumps(fields, indent=2) + "\n")


def _other_kind(name: str, found: KeyKind, wanted: KeyKind) -> ConflictError:
    return ConflictError(
        f"key {name} is of the kind {found}, but {wanted} is needed",
        hint="activityctl keys list",
    )


def _fields(key: KnownKey) -> dict[str, Any]:
    versions = [_version_fields(version) for version in key.versions]
    return {"kind": key.kind, "store": key.store, "place": key.place, "versions": versions}


def _known(name: str, fields: Mapping[str, Any]) -> KnownKey:
    versions = tuple(_version(each) for each in fields["versions"])
    if not versions:
        raise ValueError
    store = SecretStore(fields["store"])
    return KnownKey(name, KeyKind(fields["kind"]), store, str(fields["place"]), versions)


def _version_fields(version: KeyVersion) -> dict[str, Any]:
    ends = version.valid_until
    return {
        "number": version.number,
        "public": version.public,
        "created_at": version.created_at.isoformat(),
        "valid_until": None if ends is None else ends.isoformat(),
    }


def _version(fields: Mapping[str, Any]) -> KeyVersion:
    ends = fields["valid_until"]
    return KeyVersion(
        int(fields["number"]),
        str(fields["public"]),
        datetime.fromisoformat(fields["created_at"]),
        None if ends is None else datetime.fromisoformat(ends),
    )


def _packed(held: HeldKey) -> str:
    """Return all as one text: who changes the kind or the end of a key must hold its store."""
    versions = [{**_version_fields(each.shown), "secret": each.secret} for each in held.versions]
    return json.dumps({"kind": held.kind, "versions": versions})


def _unpacked(name: str, packed: str) -> HeldKey:
    try:
        fields = json.loads(packed)
        versions = tuple(
            HeldVersion(_version(each), str(each["secret"])) for each in fields["versions"]
        )
        held = HeldKey(name, KeyKind(fields["kind"]), versions)
        _ = held.current
    except (ValueError, KeyError, TypeError, IndexError):
        raise InvalidInputError(
            f"key {name} is damaged in its store", hint="restore it from a backup of this home"
        ) from None
    return held
