"""The names of the secrets of a home, with what is known of each; no value is here."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from activityctl.adapters.keystore.own_folder import read_own
from activityctl.domain.values.known_secret import SecretStore
from activityctl.errors import InvalidInputError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.private_file import write_private


@frozen_dataclass
class Entry:
    """What is known of a secret that was set on this machine."""

    store: SecretStore
    place: str
    """The name of the key store, the path of the file, or the reference."""
    hosts: tuple[str, ...]
    created_at: datetime
    rotated_at: datetime | None = None


class Names:
    """The file of the names; each call reads it again, each change replaces it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> dict[str, Entry]:
        """Return all entries by name. Raises InvalidInputError if the file is damaged."""
        content = read_own(self._path)
        if content is None:
            return {}
        try:
            return {name: _entry(fields) for name, fields in json.loads(content).items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInputError(
                f"{self._path} is damaged ({type(error).__name__})",
                hint=f"remove it, and set each secret again: rm {self._path}",
            ) from None

    def replace(self, entries: Mapping[str, Entry]) -> None:
        """Write all entries, atomically. The caller holds the lock."""
        fields = {name: asdict(entry) for name, entry in sorted(entries.items())}
        write_private(self._path, json.dumps(fields, indent=2, default=_text) + "\n")


class Uses:
    """When each secret was last used on this machine, to the minute."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def times(self) -> dict[str, datetime]:
        """Return the times by name; empty if the file is damaged: nothing depends on it."""
        try:
            content = json.loads(read_own(self._path) or b"{}")
            return {name: datetime.fromisoformat(text) for name, text in content.items()}
        except (ValueError, TypeError, AttributeError):
            return {}

    def replace(self, times: Mapping[str, datetime]) -> None:
        """Write all times, atomically. The caller holds the lock."""
        write_private(self._path, json.dumps(dict(times), default=_text) + "\n")


def rotated(entry: Entry, now: datetime) -> Entry:
    """Return the entry of a secret with a new value."""
    return replace(entry, rotated_at=now)


def _entry(fields: Mapping[str, object]) -> Entry:
    hosts = fields["hosts"]
    if not isinstance(hosts, list):
        raise TypeError
    at = fields["rotated_at"]
    return Entry(
        SecretStore(str(fields["store"])),
        str(fields["place"]),
        tuple(map(str, hosts)),
        _moment(str(fields["created_at"])),
        None if at is None else _moment(str(at)),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
