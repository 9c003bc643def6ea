"""Replaces a text by `***` in texts and in JSON, in the forms in which it may be stored."""

import json
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from activityctl.domain.values.credentials import MASK
from activityctl.domain.values.model import JsonValue

LEAST_PURGED: Final = 6
"""A shorter text occurs by chance in much that is not the secret."""


def forms_of(text: str) -> list[str]:
    """Return the text as it is, as in JSON inside of a text, and as in a URL; longest first."""
    forms = {
        text,
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        quote(text, safe=""),
        quote(text),
    }
    return sorted(forms, key=lambda form: (-len(form), form))


def purge_text(text: str, texts: Sequence[str]) -> str:
    """Return the text with each of the texts as `***`."""
    for secret in texts:
        text = text.replace(secret, MASK)
    return text


def purge_json(value: JsonValue, texts: Sequence[str]) -> JsonValue:
    """Return the JSON with each of the texts as `***`: in texts, in keys, and in numbers.

    A number whose digits contain one of the texts becomes the text `***`.
    """
    match value:
        case None | bool():
            return value
        case str():
            return purge_text(value, texts)
        case dict():
            return {
                purge_text(key, texts): purge_json(child, texts) for key, child in value.items()
            }
        case list():
            return [purge_json(child, texts) for child in value]
        case _:
            digits = (json.dumps(value), format(value, "f"))
            return MASK if any(secret in form for secret in texts for form in digits) else value
