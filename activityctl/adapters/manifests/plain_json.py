"""Recognises JSON texts that need none of the checks of `strict_json`, at the speed of the parser.

Most events are such texts. `strict_json` reads the others, and says what is wrong with them.
"""

import json
import re
from typing import Final

from activityctl.adapters.manifests.strict_json import MAX_DEPTH
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.model import JsonValue

_SHORT_INTEGER: Final = 19
"""An integer of fewer characters fits into 64 bits."""
_NO_NUMBER: Final = float("nan")
"""Stands for what a plain text has not: it has no canonical text."""
_SPECIAL_ESCAPE: Final = re.compile(r"\\u(?:00[0-7]|[dD][89a-fA-F])")
"""The escape of a character of ASCII, which may be a quote or NUL, or of a surrogate."""


def plain_value(text: str, start: int) -> tuple[JsonValue, int]:
    """Return the value that begins at `start`, and where it ends.

    It is to be used only if `canonical_if_plain` returns a text for the two. Raises ValueError or
    RecursionError for what is no JSON.
    """
    return _DECODER.raw_decode(text, start)


def canonical_if_plain(text: str, value: JsonValue) -> str | None:
    """Return the canonical text of a value, if `strict_json` too would read it from this text.

    None if that is not sure. A repeated key, of which the parser keeps one, would leave fewer
    quotes in the canonical text: neither text has a quote that is not the end of a string.
    """
    if "\\" in text and not _escapes_are_plain(text):
        return None
    if text.count("{") + text.count("[") > MAX_DEPTH:
        return None
    try:
        canonical = canonical_json(value)
    except ValueError:  # a number is not finite
        return None
    return canonical if canonical.count('"') == text.count('"') else None


def _escapes_are_plain(text: str) -> bool:
    """Return whether each backslash begins the code of a character that is no special one."""
    return text.count("\\") == text.count("\\u") and not _SPECIAL_ESCAPE.search(text)


def _integer(text: str) -> int | float:
    if len(text) < _SHORT_INTEGER:
        return int(text)
    if len(text) > _SHORT_INTEGER + 1:
        return _NO_NUMBER
    value = int(text)
    return value if -(2**63) <= value < 2**64 else _NO_NUMBER


_DECODER: Final = json.JSONDecoder(parse_int=_integer, parse_constant=lambda _: _NO_NUMBER)
