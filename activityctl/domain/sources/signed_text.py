"""SignedText: what a sender signs, as YAML has it, such as `{timestamp}.{body}`."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

BODY: Final = "body"
TIMESTAMP: Final = "timestamp"
HEADER: Final = "header."

_PLACE: Final = re.compile(r"\{(body|timestamp|header\.[A-Za-z0-9-]{1,100})\}")
_WAYS: Final = "write {body}, {timestamp} or {header.NAME}"


def signed_parts(text: str) -> list[str]:
    """Return the text in parts: those with an odd index are names of places."""
    return _PLACE.split(text)


def names_in(text: str) -> list[str]:
    """Return the names of the places of a text, in order."""
    return signed_parts(text)[1::2]


def _check(text: str) -> str:
    parts = signed_parts(text)
    if any("{" in part or "}" in part for part in parts[::2]):
        raise ValueError(f"has a place that is not known; {_WAYS}")
    if parts[1::2].count(BODY) != 1:
        raise ValueError("should have {body} once, or the signature would not cover the body")
    return text


SignedText = Annotated[str, StringConstraints(max_length=1_000), AfterValidator(_check)]
"""A text with `{body}` once, and `{timestamp}` and `{header.NAME}` where the sender has them."""
