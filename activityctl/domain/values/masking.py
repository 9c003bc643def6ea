"""Masks the values of secrets in texts and in JSON, in each form in which they may come back.

The forms are those that `purging` finds. Parts of a value that are secret alone are masked too.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from activityctl.domain.values.credentials import MASK, is_credential
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.purging import forms_of, purge_json, purge_text

LEAST_SECRET: Final = 4
"""A shorter value is refused as a secret: to mask it would mask much that is not the secret."""
_LEAST_PART: Final = 8
"""A shorter part of a secret is not masked alone."""
_SCHEME: Final = re.compile(r"(?i)(?:bearer|basic|token|apikey|digest|negotiate)[ \t]+(\S+)")
_URL: Final = re.compile(r"(?s)[A-Za-z][A-Za-z0-9+.-]*://[^/?#:@]*:(.+)@[^@]*")
_CUT_LEAST: Final = 4
"""So many characters of a secret at a place where a text was cut are masked."""


class Mask:
    """Masks the secrets that were added to it. One that masks nothing is false."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._forms: list[str] = []
        self._escaped: list[str] = []
        """The forms as they are inside of the text of JSON."""
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """Mask this value too, and the parts of it that are secret alone."""
        if value in self._values:
            return
        self._values.add(value)
        added = {form for part in _parts(value) for form in forms_of(part)}
        forms = {*self._forms, *(form for form in added if len(form) >= LEAST_SECRET)}
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._escaped = [json.dumps(form, ensure_ascii=False)[1:-1] for form in self._forms]

    def __bool__(self) -> bool:
        return bool(self._forms)

    @property
    def forms(self) -> tuple[str, ...]:
        """What is masked, longest first."""
        return tuple(self._forms)

    def text(self, text: str) -> str:
        """Return the text with each secret as `***`."""
        return purge_text(text, self._forms)

    def json(self, value: JsonValue) -> JsonValue:
        """Return the JSON with each secret as `***`, in texts, keys and numbers."""
        if not self._forms:
            return value
        whole = json.dumps(value, ensure_ascii=False)
        if not any(form in whole for form in self._escaped):
            return value
        return purge_json(value, self._forms)

    def beginning(self, text: str) -> str:
        """Mask a text that was cut at its end: also the beginning of a secret there."""
        text = self.text(text)
        length = max((_overlap(text, form) for form in self._forms), default=0)
        return f"{text[:-length]}{MASK}" if length else text

    def end(self, text: str) -> str:
        """Mask a text that was cut at its beginning: also the end of a secret there."""
        text = self.text(text)
        length = max((_overlap(text[::-1], form[::-1]) for form in self._forms), default=0)
        return f"{MASK}{text[length:]}" if length else text


def _overlap(text: str, form: str) -> int:
    """Return how many characters at the end of the text are the beginning of the form."""
    longest = min(len(text), len(form) - 1)
    for length in range(longest, _CUT_LEAST - 1, -1):
        if form.startswith(text[-length:]):
            return length
    return 0


def _parts(value: str) -> Iterator[str]:
    """Yield the value and the parts of it that are secret alone."""
    yield value
    lines = value.splitlines()
    yield from (line for line in lines if len(lines) > 1 and len(line) >= _LEAST_PART)
    if found := _SCHEME.fullmatch(value):
        if len(found[1]) >= _LEAST_PART:
            yield found[1]
        yield from _password_of_basic(value, found[1])
    if found := _URL.fullmatch(value):
        yield from {found[1], unquote(found[1])}
    if value.lstrip().startswith("{"):
        yield from _fields(value)


def _password_of_basic(value: str, credentials: str) -> Iterator[str]:
    if not value.lower().startswith("basic"):
        return
    try:
        user, colon, password = b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return
    if colon:
        yield f"{user}:{password}"
        yield password


def _fields(value: str) -> Iterator[str]:
    """Yield the credentials of a secret that is a JSON object, such as the key of an account."""
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        return
    for name, field in fields.items() if isinstance(fields, Mapping) else ():
        if isinstance(field, str) and is_credential("", name) and len(field) >= _LEAST_PART:
            yield field
