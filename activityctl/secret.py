"""Secrets, which are never printed, and references to where they are stored."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Final, Literal, cast
from urllib.parse import quote, unquote

from activityctl.errors import InvalidInputError, NotAllowedError
from activityctl.frozen_dataclass import frozen_dataclass

Store = Literal["keyring", "env", "file"]

_FORMS: Final = "write keyring:SERVICE/ENTRY, env:NAME or file:/PATH"
_SECRET_VARIABLE: Final = re.compile(
    r"(?i).*(?:password|passwd|passphrase|secret|token|credential|(?:api|access|private)_?key)"
    r"|activityctl_secret_.*"
)
_SCHEMES: Final = frozenset({"postgresql", "postgres"})
_LEAST_MASKED: Final = 4
_NAME_PATTERNS: Final = {
    "keyring": re.compile(r"[^/\s]+/\S+"),
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    "file": re.compile(r"/.+"),
}


VARIABLE: Final = "ACTIVITYCTL_SECRET_"
"""The beginning of the variables that give secrets for tasks."""


@frozen_dataclass
class Secret:
    """A text that is printed as `***`."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"


@frozen_dataclass
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


def has_secret_name(variable: str) -> bool:
    """Return whether a variable of this name usually holds a secret."""
    return _SECRET_VARIABLE.fullmatch(variable) is not None


def passwords_in(database_url: str) -> set[str]:
    """Return every text that may be the password of a database URL, or a part of it.

    The URL may be malformed: a password with an @ that is not escaped has several parts.
    """
    found = set(re.findall(r"(?is)[?&][a-z]*password=([^&]+)", database_url))
    found |= set(re.findall(r"(?is)\bpassword\s*=\s*'?([^'&\s]+)", database_url))
    for whole in re.findall(r"(?s)/{2}[^:@/]*:(.*)@", database_url):
        found |= {whole, *whole.split("@")}
    return found | {unquote(part) for part in found}


def secrets_in(
    environment: Mapping[str, str],
    database_url: Secret | None,
    references: Sequence[SecretReference],
) -> tuple[str, ...]:
    """Return the secrets to mask in logs and crash reports, longest first."""
    found = {value for name, value in environment.items() if has_secret_name(name)}
    found |= {each.found.value for each in references if each.found}
    urls = [value for name, value in environment.items() if name.endswith("DATABASE_URL")]
    urls += [database_url.value] if database_url else []
    found |= {part for url in urls for part in (url, *passwords_in(url))}
    return tuple(sorted((part for part in found if len(part) >= _LEAST_MASKED), key=len)[::-1])


def masked_url(url: str) -> str:
    """Return a database URL with its password masked; `***` if it is not a URL."""
    if "://" not in url:
        return "***"
    hidden = re.sub(r"(?s)(?<=://)([^:@/]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)(?<=[?&])([a-z]*password[a-z]*)=[^&]*", r"\1=***", hidden)


def require_sound_url(database_url: str) -> None:
    """Raise InvalidInputError, which does not show the URL, if its password is not escaped.

    An @ or a / in a password would make its end a part of the host, which error messages show.
    Raises it also for the URL of another kind of database.
    """
    scheme, separator, rest = database_url.partition("://")
    if not database_url.isprintable():
        raise malformed_url()
    if not separator or "=" in scheme:
        return
    if re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) and scheme not in _SCHEMES:
        raise InvalidInputError(
            f"the database URL begins with {scheme}://, but activityctl needs PostgreSQL",
            hint="write postgresql://USER@HOST:PORT/NAME",
        )
    authority, slash, path = rest.partition("?")[0].partition("/")
    if authority.count("@") > 1 or "@" in slash + path:
        raise malformed_url()


def malformed_url() -> InvalidInputError:
    """Return the error for a database URL that cannot be read; it does not show the URL."""
    return InvalidInputError(
        "the database URL is malformed; it is not shown, because it may have a password",
        hint="write postgresql://USER:PASSWORD@HOST:PORT/NAME; in the password write %40 for @, "
        "%2F for /, %3A for :, %23 for #, %25 for % and %20 for a space",
    )


def with_password(database_url: str, password: str) -> str:
    """Return the database URL, or the libpq string, with the password added."""
    if "://" not in database_url:
        escaped = password.replace("\\", "\\\\").replace("'", "\\'")
        return f"{database_url} password='{escaped}'"
    separator = "&" if "?" in database_url else "?"
    return f"{database_url}{separator}password={quote(password, safe='')}"


def variable_of(name: str) -> str:
    """Return the environment variable that gives a secret of this name."""
    return f"{VARIABLE}{name.upper().replace('-', '_')}"


def name_of(variable: str) -> str | None:
    """Return the name of the secret that a variable gives; None if it gives none."""
    if not variable.startswith(VARIABLE) or not variable.removeprefix(VARIABLE):
        return None
    return variable.removeprefix(VARIABLE).lower().replace("_", "-")
