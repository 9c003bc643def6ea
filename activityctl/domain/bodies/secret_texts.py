"""Knows a text of a manifest that is a secret, by the names of its fields and by known forms.

`literal_secrets` refuses such texts, and what shows manifests masks them: both ask here.
"""

import re
from collections.abc import Sequence
from typing import Final

from activityctl.domain.cel.expression import has_expression
from activityctl.domain.values.credentials import MASK, credential_in_query, is_credential
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

_FORMS: Final = (
    ("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----"),
    ("an AWS access key", r"(?<![A-Za-z0-9])A[KS]IA[0-9A-Z]{16}(?![A-Za-z0-9])"),
    ("a GitHub token", r"(?<![A-Za-z0-9])(?:gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_\w{22,})"),
    ("a GitLab token", r"(?<![A-Za-z0-9])gl(?:pat|dt|rt|cbt)-[\w-]{20,}"),
    ("a Slack token", r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("a Stripe key", r"(?<![A-Za-z0-9])[rs]k_live_[A-Za-z0-9]{16,}"),
    ("a Google API key", r"(?<![A-Za-z0-9])AIza[\w-]{35}"),
    ("an API key", r"(?<![\w-])sk-[A-Za-z0-9_-]*[A-Za-z0-9]{20}"),
    ("an npm token", r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}"),
    ("a PyPI token", r"(?<![A-Za-z0-9])pypi-AgE[\w-]{20,}"),
    ("a SendGrid key", r"(?<![A-Za-z0-9])SG\.[\w-]{22}\.[\w-]{43}"),
    ("a JSON Web Token", r"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    (
        "an Authorization header",
        r"(?i:authorization:\s*(?:bearer|basic|token)\s+)(?!\*)[\w.~+/=-]{6,}",
    ),
    ("a password in a URL", r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@?#\"'$]*:[^\s/@$\"'<>{}]+@"),
)
_URL_WITH_USER: Final = re.compile(r"(?i)https?://[^/?#\s$]*@")
_ANY_FORM: Final = re.compile("|".join(f"({form})" for _, form in _FORMS))
_SHORTEST_FORM: Final = 15
"""Every form has as many characters, or the `://` of a URL."""
_SCHEMA_VALUES: Final = frozenset({"default", "const", "enum", "examples"})
"""Fields of a JSON Schema whose values are values of the property."""


@frozen_dataclass
class Secret:
    """What a text is, as the beginning of a reason; `offset` is where it is in the text."""

    what: str
    offset: int | None = None


def secret_in(keys: Sequence[str], value: str | float) -> Secret | None:
    """Return why a value is a literal secret; None if it is none.

    `keys` are the names above it; items of a list have the names of the list. A value with an
    expression is no literal.
    """
    if (name := _credential_name(keys)) and value != "" and not has_expression(str(value)):
        return Secret(f"{name} must not be a literal secret")
    if not isinstance(value, str):
        return None
    if keys and keys[-1] == "url":
        if _URL_WITH_USER.match(value):
            return Secret("the URL has a user or a password")
        if (parameter := credential_in_query(value)) is not None:
            return Secret(f"the URL has a literal value of {parameter}")
    return known_form(value)


def known_form(text: str) -> Secret | None:
    """Return why a text is a secret by its form alone."""
    if len(text) < _SHORTEST_FORM and "://" not in text:
        return None
    if found := _ANY_FORM.search(text):
        return Secret(f"looks like {_FORMS[(found.lastindex or 1) - 1][0]}", found.start())
    return None


def mask_literals(value: JsonValue, keys: tuple[str, ...] = ()) -> JsonValue:
    """Return a part of a manifest with `***` in place of each literal secret in it.

    `keys` are the names above the part.
    """
    match value:
        case dict():
            return {key: mask_literals(child, (*keys, key)) for key, child in value.items()}
        case list():
            return [mask_literals(child, keys) for child in value]
        case None | bool():
            return value
        case _:
            return value if secret_in(keys, value) is None else MASK


def _credential_name(keys: Sequence[str]) -> str | None:
    names = list(keys)
    if len(names) > 2 and names[-1] in _SCHEMA_VALUES and names[-3] == "properties":  # noqa: PLR2004 - the schema of one property
        names.pop()
    parent = names[-2] if len(names) > 1 else ""
    return names[-1] if names and is_credential(parent, names[-1]) else None
