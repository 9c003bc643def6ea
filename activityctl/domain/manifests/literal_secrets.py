"""Finds secrets that are written into a manifest, by the names of fields and by known forms.

A manifest is kept in git and, for good, in revisions and history. Whoever reads those would have
the secret.
"""

import re
from collections.abc import Iterator
from typing import Final

from activityctl.domain.cel.expression import has_expression
from activityctl.domain.manifests.document import Document
from activityctl.domain.values.credentials import MASK, is_credential
from activityctl.domain.values.finding import Finding, Path
from activityctl.domain.values.model import JsonValue

ALLOWING_ANNOTATION: Final = "activityctl/literal-secrets"
"""With the value `allow`, the texts of the object are not searched for secrets."""
_WAY_OUT: Final = (
    "it would be stored with each revision, and secretRef is not available in this version; "
    "let a command task read it from a file on the worker, or use an expression. If it is no "
    f"secret, add the annotation {ALLOWING_ANNOTATION}: allow"
)

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


def literal_secrets(document: Document) -> list[Finding]:
    """Return a finding for each text of the object that looks like a secret.

    A value with an expression is no literal. The reason never quotes the text. The mask that
    `export` shows in place of a credential is always refused.
    """
    if document["metadata"].get("annotations", {}).get(ALLOWING_ANNOTATION) == "allow":
        reason = "*** stands for a credential that is not shown; write an expression, or its value"
        return [
            Finding(path, reason)
            for path, text, parents in _texts(document["spec"], ("spec",))
            if text == MASK and _credential_name(parents, text)
        ]
    metadata = ((path, text) for path, text, _ in _texts(document["metadata"], ("metadata",)))
    findings = [finding for path, text in metadata for finding in _by_form(path, text)]
    for path, text, parents in _texts(document["spec"], ("spec",)):
        if name := _credential_name(parents, text):
            findings.append(Finding(path, f"{name} must not be a literal secret: {_WAY_OUT}"))
        elif parents[-1:] == ("url",) and _URL_WITH_USER.match(text):
            findings.append(Finding(path, f"the URL has a user or a password: {_WAY_OUT}"))
        else:
            findings += _by_form(path, text)
    return findings


def _credential_name(keys: tuple[str, ...], text: str) -> str | None:
    """Return the name of the field if it is one for credentials and the text is a literal."""
    if not text or has_expression(text) or not keys:
        return None
    parent = keys[-2] if len(keys) > 1 else ""
    return keys[-1] if is_credential(parent, keys[-1]) else None


def _by_form(path: Path, text: str) -> Iterator[Finding]:
    if found := _ANY_FORM.search(text):
        what = _FORMS[(found.lastindex or 1) - 1][0]
        yield Finding(path, f"looks like {what}: {_WAY_OUT}", found.start())


def _texts(
    value: JsonValue, path: Path, keys: tuple[str, ...] = ()
) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """Yield each text with its path and with the keys above it; items of a list have its key."""
    match value:
        case str():
            yield path, value, keys
        case dict():
            for key, child in value.items():
                yield from _texts(child, (*path, key), (*keys, key))
        case list():
            for index, child in enumerate(value):
                yield from _texts(child, (*path, index), keys)
