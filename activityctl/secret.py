"""Secrets, which are never printed, and references to where they are stored."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast
from urllib.parse import quote

from activityctl.errors import InvalidInputError, NotAllowedError

Store = Literal["keyring", "env", "file"]

_FORMS: Final = "write keyring:SERVICE/ENTRY, env:NAME or file:/PATH"
_NAME_PATTERNS: Final = {
    "keyring": re.compile(r"[^/\s]+/\S+"),
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    "file": re.compile(r"/.+"),
}


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that is printed as `***`."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is stored. It may be sent only to the address from the same source."""

    setting: str
    store: Store
    name: str
    """`SERVICE/ENTRY` of a key store, the name of a variable, or the absolute path of a file."""
    source: str = ""
    """The flag, variable or profile that names the secret."""
    address_source: str | None = None
    """The source of the address, if a profile names the secret and another source the address."""
    found: Secret | None = None
    """The value of the variable when the settings were resolved; None for other stores."""

    def __str__(self) -> str:
        return f"{self.store}:{self.name}"

    def require_own_address(self) -> None:
        """Raise NotAllowedError if the secret would be sent to an address from another source."""
        if self.address_source is not None:
            raise NotAllowedError(
                f"{self.setting} of {self.source} belongs to the address in the same place, "
                f"not to the address from {self.address_source}",
                hint="unset that address, or set the secret in the same place as the address",
            )


def reference_of(
    setting: str,
    text: str,
    environment: Mapping[str, str],
    *,
    source: str,
    address_source: str | None,
) -> SecretReference:
    """Parse a reference. Raises InvalidInputError, which does not show the text."""
    store, colon, name = text.partition(":")
    if not colon or store not in _NAME_PATTERNS or not _NAME_PATTERNS[store].fullmatch(name):
        raise InvalidInputError(f"{setting} ({source}) is not a reference to a secret", hint=_FORMS)
    value = environment.get(name) if store == "env" else None
    return SecretReference(
        setting,
        cast("Store", store),
        name,
        source,
        address_source,
        Secret(value) if value else None,
    )


def has_password(database_url: str) -> bool:
    """Return whether a database URL, or a libpq string of `key=value`, contains a password."""
    if "://" not in database_url:
        return re.search(r"(?i)\bpassword\s*=", database_url) is not None
    before_host = re.search(r"://[^:@/?#]*:[^?#]*@", database_url)
    return (before_host or re.search(r"(?i)[?&]password=", database_url)) is not None


def with_password(database_url: str, password: str) -> str:
    """Return the database URL, or the libpq string, with the password added."""
    if "://" not in database_url:
        escaped = password.replace("\\", "\\\\").replace("'", "\\'")
        return f"{database_url} password='{escaped}'"
    separator = "&" if "?" in database_url else "?"
    return f"{database_url}{separator}password={quote(password, safe='')}"
