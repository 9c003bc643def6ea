"""Replaces a text by `***` in texts and in JSON, in the forms in which it may be stored."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from decimal import Decimal
from html import escape
from typing import Final
from urllib.parse import quote, quote_plus

from activityctl.domain.values.credentials import MASK
from activityctl.domain.values.model import JsonValue

LEAST_PURGED: Final = 6
"""A shorter text occurs by chance in much that is not the secret."""
LEAST_FORM: Final = 4
"""A form that is shorter than this, and than the text, is left out."""
_NUMBER: Final = re.compile(r"[0-9.e+-]+")
"""A text that may be a part of a number."""
_HEX_PAIR: Final = re.compile("%[0-9A-F]{2}")


def forms_of(text: str) -> list[str]:
    """Return the text in the forms in which it may be stored, longest first.

    As it is; as in JSON inside of a text, also twice; as in a URL; as in HTML; as Python quotes it;
    as UTF-8 that was read as Latin-1 or ASCII; as hexadecimal digits; as base64, also as a part of
    a longer text in base64, such as the header of `Basic`.
    """
    ascii_only, unicode = json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]
    in_urls = {quote(text, safe=""), quote(text), quote_plus(text)}
    content = text.encode("utf-8", "surrogatepass")
    forms = {
        text,
        ascii_only,
        unicode,
        ascii_only.replace("/", r"\/"),
        json.dumps(ascii_only)[1:-1],
        json.dumps(unicode, ensure_ascii=False)[1:-1],
        json.dumps(unicode)[1:-1],
        *(escape(text, quote=is_quoted) for is_quoted in (True, False)),
        repr(text)[1:-1],
        repr(content)[2:-1],
        content.decode("latin-1"),
        content.decode("ascii", "ignore"),
        *in_urls,
        *(_HEX_PAIR.sub(lambda pair: pair[0].lower(), form) for form in in_urls),
        content.hex(),
        content.hex().upper(),
        *(form for start in range(3) for form in _base64_forms(content, start)),
    }
    forms = {form for form in forms if len(form) >= min(len(text), LEAST_FORM)}
    return sorted(forms, key=lambda form: (-len(form), form))


def _base64_forms(content: bytes, start: int) -> Iterator[str]:
    """Yield the base64 of the content behind `start` other bytes, without what depends on others.

    A character of base64 has 6 bits, so at most one at each end has bits of other bytes.
    """
    whole = b64encode(b"\0" * start + content).decode()
    first, last = -(-8 * start // 6), 8 * (start + len(content)) // 6
    yield whole[first:last]
    yield whole[first:last].replace("+", "-").replace("/", "_")


def purge_text(text: str, texts: Sequence[str]) -> str:
    """Return the text with each of the texts as `***`."""
    for secret in texts:
        text = text.replace(secret, MASK)
    return text


def purge_json(value: JsonValue, texts: Sequence[str]) -> JsonValue:
    """Return the JSON with each of the texts as `***`: in texts, in keys, and in numbers.

    A number whose digits contain one of the texts becomes the text `***`.
    """
    return _purged(value, texts, [text for text in texts if _NUMBER.fullmatch(text)])


def _purged(value: JsonValue, texts: Sequence[str], numbers: Sequence[str]) -> JsonValue:
    match value:
        case None | bool():
            return value
        case str():
            return purge_text(value, texts)
        case dict():
            return {
                purge_text(key, texts): _purged(child, texts, numbers)
                for key, child in value.items()
            }
        case list():
            return [_purged(child, texts, numbers) for child in value]
        case _:
            return MASK if numbers and _has_digits(value, numbers) else value


def _has_digits(value: float, numbers: Sequence[str]) -> bool:
    digits = json.dumps(value)
    forms = (digits, format(Decimal(digits), "f")) if "e" in digits else (digits,)
    return any(number in form for number in numbers for form in forms)
