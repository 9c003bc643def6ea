"""Secrets: texts that never show, and references to where they are kept; adapters read them."""

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
    """A text that shows as `***` wherever it is printed by accident."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is kept; it belongs to the address that the same source gives."""

    setting: str
    store: Store
    name: str
    """`SERVICE/ENTRY` of a key store, a variable's name, or a file's absolute path."""
    source: str = ""
    """Which flag, variable or profile names it."""
    stray: str | None = None
    """The other source that the address comes from, when it is a profile's and is led astray."""
    found: Secret | None = None
    """What the variable held when the settings were resolved; None for other stores."""

    def __str__(self) -> str:
        return f"{self.store}:{self.name}"

    def require_own_address(self) -> None:
        """Raise NotAllowedError when the secret would travel to another source's address."""
        if self.stray is not None:
            raise NotAllowedError(
                f"{self.setting} of {self.source} belongs to the address beside it, "
                f"not to that of: {self.stray}",
                hint="unset the other address, or give the secret by the same source",
            )


def reference_of(
    setting: str, text: str, environment: Mapping[str, str], *, source: str, stray: str | None
) -> SecretReference:
    """Return the reference; InvalidInputError, which never shows the text, when it is none."""
    store, colon, place = text.partition(":")
    if not colon or store not in _NAME_PATTERNS or not _NAME_PATTERNS[store].fullmatch(place):
        raise InvalidInputError(f"{setting} ({source}) is no reference to a secret", hint=_FORMS)
    value = environment.get(place) if store == "env" else None
    return SecretReference(
        setting, cast("Store", store), place, source, stray, Secret(value) if value else None
    )


def has_password(database_url: str) -> bool:
    """Whether a database URL, or a libpq string of `key=value`, holds a password."""
    if "://" not in database_url:
        return re.search(r"(?i)\bpassword\s*=", database_url) is not None
    in_front = re.search(r"://[^:@/?#]*:[^?#]*@", database_url)
    return (in_front or re.search(r"(?i)[?&]password=", database_url)) is not None


def with_password(database_url: str, password: str) -> str:
    """Return the database URL, or libpq string, with the password in it."""
    if "://" not in database_url:
        escaped = password.replace("\\", "\\\\").replace("'", "\\'")
        return f"{database_url} password='{escaped}'"
    joint = "&" if "?" in database_url else "?"
    return f"{database_url}{joint}password={quote(password, safe='')}"
