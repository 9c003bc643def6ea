"""Names of headers, parameters and variables that hold credentials; masking of their values."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from activityctl.domain.values.model import JsonValue

MASK: Final = "***"
LEAST_SCRUBBED: Final = 8
"""A shorter credential is not looked for in other texts, where it may occur by chance."""

_HEADER: Final = re.compile(
    r"""(?xi) (?:proxy-)?authorization | (?:set-)?cookie2?
    | (?:.*[-_])?(?:api|access|auth|functions|private|secret|session|subscription)[-_]?(?:key|token)
    | (?:.*[-_])?(?:security|vault|gitlab|refresh|id|bearer)[-_]token
    | (?:x[-_])?token | (?:.*[-_])?(?:password|passwd|secret|credentials?)"""
)
_PARAMETER: Final = re.compile(
    r"""(?xi) (?:.*[-_.])?(?:pass(?:word|wd|phrase)|pwd)
    | (?:.*[-_.])?(?:client[-_]?)?secret
    | (?:.*[-_.])?(?:api|access|auth|private|secret)[-_]?(?:key|token)
    | (?:refresh|id|bearer|session)[-_]?token"""
)
_QUERY: Final = re.compile(r"(?i)token|sig|signature|x-amz-signature|x-goog-signature")
_VARIABLE: Final = re.compile(
    r"(?i)(?:.*_)?(?:password|passwd|passphrase|secret|token|credentials?"
    r"|(?:api|access|private|secret|auth)_?key)"
)

_MARKED: Final = frozenset({"headers", "query", "env", "form", "auth", "basic", "hmac"})
"""Mappings whose fields hold credentials by their names."""
_USER: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s]*@")
_QUERY_PAIR: Final = re.compile(r"([?&])([^=&#\s]+)=([^&#]+)")


@lru_cache(maxsize=4096)  # the same names come again in thousands of manifests
def is_credential(parent: str, name: str) -> bool:
    """Return whether a field holds a credential by its name.

    `parent` is the name of the mapping that the field is in: `headers`, `query` and `env` have
    names of their own.
    """
    if _PARAMETER.fullmatch(name):
        return True
    match parent:
        case "headers":
            return is_credential_header(name)
        case "query":
            return _QUERY.fullmatch(name) is not None
        case "auth":
            return name == "bearer"
        case "env":
            return _VARIABLE.fullmatch(name) is not None
        case _:
            return False


def is_credential_header(name: str) -> bool:
    """Return whether a header of this name holds a credential."""
    return _HEADER.fullmatch(name) is not None


def credential_in_query(url: str) -> str | None:
    """Return the name of the first credential in the query of a URL that is a literal."""
    for found in _QUERY_PAIR.finditer(url):
        if is_credential("query", unquote(found[2])) and not found[3].startswith(("$", MASK)):
            return found[2]
    return None


def mask_url(url: str) -> str:
    """Return a URL with its user, its password and the credentials in its query masked."""
    masked = _USER.sub(rf"\1{MASK}@", url)
    return _QUERY_PAIR.sub(
        lambda pair: (
            f"{pair[1]}{pair[2]}={MASK}" if is_credential("query", unquote(pair[2])) else pair[0]
        ),
        masked,
    )


def mask_credentials(value: JsonValue) -> JsonValue:
    """Return the JSON with credentials masked in headers, queries, forms, auth, env, json, URLs."""
    return _masked(value, "", is_body=False)


def _masked(value: JsonValue, parent: str, *, is_body: bool) -> JsonValue:
    match value:
        case dict():
            is_marked = parent in _MARKED
            return {
                key: _masked_value(child)
                if (is_marked and is_credential(parent, key))
                or (is_body and not isinstance(child, dict) and is_credential("", key))
                else _masked(child, key, is_body=is_body or key == "json")
                for key, child in value.items()
            }
        case list():
            return [_masked(child, "", is_body=is_body) for child in value]
        case str() if parent == "url":
            return mask_url(value)
        case _:
            return value


def _masked_value(value: JsonValue) -> JsonValue:
    if value in (None, "") or (isinstance(value, dict) and value.keys() == {"secretRef"}):
        return value
    if isinstance(value, list):
        return [_masked_value(child) for child in value]
    return MASK


def header_credentials(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the credentials in headers that are long enough to be looked for, longest first.

    `Bearer abc` holds two texts that must not be shown: itself and `abc`; a cookie holds its value.
    """
    found = {
        part
        for name, value in headers.items()
        if is_credential_header(name)
        for part in _parts(value)
        if len(part) >= LEAST_SCRUBBED
    }
    return tuple(sorted(found, key=lambda part: (-len(part), part)))


def _parts(value: str) -> Iterator[str]:
    yield value
    yield from value.split(" ")
    for pair in value.split(";"):
        yield pair.partition("=")[2].strip()


def scrub(text: str, secrets: tuple[str, ...]) -> str:
    """Return the text with each of the secrets as `***`; give the longest first."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def scrub_json(value: JsonValue, secrets: tuple[str, ...]) -> JsonValue:
    """Return the JSON with each of the secrets as `***`, in its texts and its keys."""
    if not secrets:
        return value
    match value:
        case str():
            return scrub(value, secrets)
        case dict():
            return {scrub(key, secrets): scrub_json(child, secrets) for key, child in value.items()}
        case list():
            return [scrub_json(child, secrets) for child in value]
        case _:
            return value
