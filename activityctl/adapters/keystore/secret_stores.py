"""The secrets of this machine: finds each by its name, and keeps those that are set here.

A variable wins over the mounted folder, and both win over what was set here.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from activityctl.adapters.keystore import system_keyring
from activityctl.adapters.keystore.encrypted_file import EncryptedFile, KeySource
from activityctl.adapters.keystore.kept_values import KeptValues
from activityctl.adapters.keystore.names import Entry, Names, Uses, rotated
from activityctl.adapters.keystore.own_folder import (
    locked,
    locked_in_thread,
    require_own,
    secrets_folder,
)
from activityctl.adapters.keystore.secret_file import file_reason_of, read_text
from activityctl.domain.values.known_secret import KnownSecret, SecretStore, value_of
from activityctl.domain.values.secret_hosts import read_host
from activityctl.domain.values.secret_ref import is_secret_name
from activityctl.errors import (
    ActivityctlError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnreachableError,
)
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import FoundSecret
from activityctl.secret import Secret, SecretReference, variable_of

_USE_PRECISION: Final = timedelta(minutes=1)


@frozen_dataclass
class SecretPlaces:
    """Where secrets are looked for and kept, as the settings say."""

    home: Path
    store: str = "auto"
    """`keyring`, `file`, or `auto`: the key store if this system has one, else the file."""
    folder: Path | None = None
    key_file: str | None = None
    variables: Mapping[str, Secret] | None = None
    """The secrets of variables, by the name of the secret."""
    hosts: Mapping[str, tuple[str, ...]] | None = None
    """The hosts of secrets from variables."""


class SecretStores:
    """All secrets of this machine; each call reads again, so a change counts at once."""

    def __init__(
        self,
        places: SecretPlaces,
        *,
        on_read: Callable[[str], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`on_read` hears every value that is read, to mask it in the log of the process."""
        folder = secrets_folder(places.home)
        self._places = places
        self._folder = folder
        self._names = Names(folder / "names.json")
        self._uses = Uses(folder / "used.json")
        file = EncryptedFile(folder / "values", KeySource(folder / "key", places.key_file))
        self._values = KeptValues(f"activityctl {places.home}", file)
        self._on_read = on_read
        self._now = now
        self._noted: dict[str, datetime] = {}

    async def read(self, name: str) -> FoundSecret:
        """Return the secret; see `ports.SecretReader`."""
        found = await self._found(name)
        self._on_read(found.value)
        at = self._now()
        before = self._noted.get(name)
        if (before is None or at - before >= _USE_PRECISION) and self._folder.exists():
            self._noted[name] = at
            asyncio.get_running_loop().run_in_executor(None, self._note_use, name, at)
        return found

    def known(self) -> list[KnownSecret]:
        """Return every secret of this machine by name, without reading a value."""
        used = self._uses.times() if self._folder.exists() else {}
        found: dict[str, KnownSecret] = {}
        for name, entry in self._entries().items():
            found[name] = KnownSecret(
                name, entry.store, entry.place, entry.hosts, entry.created_at, entry.rotated_at
            )
        for name, path in self._mounted().items():
            hosts = self._hosts_of_mounted(path)
            found[name] = KnownSecret(name, SecretStore.FOLDER, str(path), hosts)
        for name in self._places.variables or {}:
            hosts = (self._places.hosts or {}).get(name, ())
            found[name] = KnownSecret(name, SecretStore.ENVIRONMENT, variable_of(name), hosts)
        return [_with_use(found[name], used.get(name)) for name in sorted(found)]

    async def set(
        self, name: str, text: str, hosts: tuple[str, ...] = (), store: str | None = None
    ) -> KnownSecret:
        """Keep a new secret. ConflictError if there is one with this name."""
        self._require_new(name)
        value = _checked(name, text)
        async with locked(self._folder):
            self._require_new(name)
            kept = await self._values.write(
                name, _packed(value, hosts), store or self._places.store
            )
            self._put(name, Entry(*kept, hosts, self._now()))
        return self._one(name)

    async def refer(self, name: str, reference: str, hosts: tuple[str, ...]) -> KnownSecret:
        """Keep where a secret is: `file:/PATH` or `keyring:SERVICE/ENTRY`; its value is tried."""
        self._require_new(name)
        await self._read_reference(name, reference)
        async with locked(self._folder):
            self._require_new(name)
            self._put(name, Entry(SecretStore.REFERENCE, reference, hosts, self._now()))
        return self._one(name)

    async def rotate(self, name: str, text: str) -> KnownSecret:
        """Replace the value of a secret that was set here; its hosts stay."""
        value = _checked(name, text)
        async with locked(self._folder):
            entry = self.entry_to_rotate(name)
            await self._values.write(name, _packed(value, entry.hosts), entry.store)
            self._put(name, rotated(entry, self._now()))
        return self._one(name)

    def entry_to_rotate(self, name: str) -> Entry:
        """Return the entry; raise an error if its value is not kept by us."""
        entry = self._entries().get(name)
        if entry is None:
            raise self._elsewhere(name) or _missing(name)
        if entry.store is SecretStore.REFERENCE:
            raise ConflictError(
                f"secret {name} is read from {entry.place}, which activityctl does not write",
                hint="change it there; the next attempt reads it again",
            )
        return entry

    async def remove(self, name: str) -> None:
        """Forget a secret that was set here, with its value."""
        async with locked(self._folder):
            entries = self._entries()
            entry = entries.pop(name, None)
            if entry is None:
                raise self._elsewhere(name) or _missing(name)
            await self._values.remove(name, entry.store)
            self._names.replace(entries)

    async def check(self) -> str:
        """Return where a new secret is kept; raise an error if what is kept cannot be read."""
        if any(entry.store is SecretStore.FILE for entry in self._entries().values()):
            self._values.require_readable()
        return (await self._values.chosen(self._places.store))[1]

    def require_free(self, name: str) -> None:
        """Raise an error if no secret of this name can be set here."""
        self._require_new(name)

    async def _found(self, name: str) -> FoundSecret:
        if (variable := (self._places.variables or {}).get(name)) is not None:
            hosts = (self._places.hosts or {}).get(name, ())
            return FoundSecret(_checked(name, variable.value), SecretStore.ENVIRONMENT, hosts)
        if (path := self._mounted().get(name)) is not None:
            text = _read_file(name, path)
            return FoundSecret(
                _checked(name, text), SecretStore.FOLDER, self._hosts_of_mounted(path)
            )
        entry = self._entries().get(name)
        if entry is None:
            raise _missing(name)
        if entry.store is SecretStore.REFERENCE:
            value = await self._read_reference(name, entry.place)
            return FoundSecret(value, entry.store, entry.hosts)
        packed = await self._values.read(name, entry.store)
        if packed is None:
            raise NotFoundError("secret", name, hint=f"activityctl secrets rotate {name}")
        value, hosts = _unpacked(name, packed)
        return FoundSecret(value, entry.store, hosts)

    async def _read_reference(self, name: str, reference: str) -> str:
        kind, _, place = reference.partition(":")
        if kind == "file" and place.startswith("/"):
            return _checked(name, _read_file(name, Path(place)))
        if kind == "keyring" and "/" in place:
            found = await system_keyring.read_keyring(
                SecretReference(f"secret {name}", "keyring", place)
            )
            return _checked(name, found.value)
        raise InvalidInputError(
            f"secret {name}: {reference!r} is not a reference",
            hint="write file:/PATH or keyring:SERVICE/ENTRY",
        )

    def _entries(self) -> dict[str, Entry]:
        if not self._folder.exists():
            return {}
        require_own(self._folder)
        return self._names.entries()

    def _mounted(self) -> dict[str, Path]:
        """Return the files of the mounted folder by name; what has no such name is left out."""
        folder = self._places.folder
        if folder is None:
            return {}
        try:
            paths = sorted(folder.iterdir())
        except OSError:
            return {}
        return {path.name: path for path in paths if is_secret_name(path.name) and path.is_file()}

    def _hosts_of_mounted(self, path: Path) -> tuple[str, ...]:
        beside = path.with_name(f"{path.name}.hosts")
        if not beside.exists():
            return ()
        text = _read_file(path.name, beside)
        return hosts_of(path.name, text)

    def _put(self, name: str, entry: Entry) -> None:
        self._names.replace({**self._entries(), name: entry})

    def _one(self, name: str) -> KnownSecret:
        return next(secret for secret in self.known() if secret.name == name)

    def _require_new(self, name: str) -> None:
        if not is_secret_name(name):
            raise InvalidInputError(
                f"{name!r} is not the name of a secret",
                hint="use a-z, 0-9 and -, at most 63 characters, no - at either end",
            )
        if (elsewhere := self._elsewhere(name)) is not None:
            raise elsewhere
        if name in self._entries():
            raise ConflictError(
                f"secret {name} exists already", hint=f"activityctl secrets rotate {name}"
            )

    def _elsewhere(self, name: str) -> ActivityctlError | None:
        if name in (self._places.variables or {}):
            return ConflictError(
                f"secret {name} comes from the variable {variable_of(name)}",
                hint="change it where that variable is set",
            )
        if (path := self._mounted().get(name)) is not None:
            return ConflictError(f"secret {name} comes from {path}", hint="change it there")
        return None

    def _note_use(self, name: str, at: datetime) -> None:
        """Remember that the secret was used; a failure must not fail the task."""
        with suppress(ActivityctlError, OSError), locked_in_thread(self._folder, seconds=1):
            self._uses.replace({**self._uses.times(), name: at})


def hosts_of(name: str, text: str) -> tuple[str, ...]:
    """Return the hosts of a list; InvalidInputError for what is no host."""
    try:
        return tuple(read_host(host) for host in text.replace(",", " ").split())
    except ValueError as error:
        raise InvalidInputError(f"the hosts of secret {name}: {error}") from None


def _with_use(secret: KnownSecret, at: datetime | None) -> KnownSecret:
    return replace(secret, last_used_at=at)


def _missing(name: str) -> NotFoundError:
    return NotFoundError("secret", name, hint=f"activityctl secrets set {name}")


def _checked(name: str, text: str) -> str:
    try:
        return value_of(text)
    except ValueError as error:
        raise InvalidInputError(f"the value of secret {name} cannot be used: {error}") from None


def _read_file(name: str, path: Path) -> str:
    try:
        return read_text(str(path))
    except (OSError, ValueError) as error:
        raise UnreachableError(
            f"secret {name} cannot be read from {path}: {file_reason_of(error)}", hint=f"fix {path}"
        ) from None


def _packed(value: str, hosts: tuple[str, ...]) -> str:
    """Return value and hosts as one text: who changes the hosts of a secret must hold its store."""
    return json.dumps({"value": value, "hosts": hosts})


def _unpacked(name: str, packed: str) -> tuple[str, tuple[str, ...]]:
    try:
        fields = json.loads(packed)
        return str(fields["value"]), tuple(map(str, fields["hosts"]))
    except (ValueError, KeyError, TypeError):
        raise InvalidInputError(
            f"secret {name} is damaged in its store", hint=f"activityctl secrets rotate {name}"
        ) from None
