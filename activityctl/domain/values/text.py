"""Text: the one rule for every field whose text is passed on as it stands.

A number or a boolean is taken as JSON writes it. Null, lists and maps are refused.
"""

import json
from typing import Annotated, Final

from pydantic import BeforeValidator, StringConstraints, WithJsonSchema

from activityctl.domain.values.model import JsonValue

TEXT_SCHEMA: Final = {"type": ["string", "number", "boolean"]}
"""The JSON Schema of such a field."""

LITERAL_SCHEMA: Final[dict[str, JsonValue]] = {"not": {"pattern": r"(^|[^$])\$\{"}}
"""Part of the JSON Schema of a text that must be written out, without `${ … }`."""

SOURCE_MARK: Final = "contentMediaType"
"""In the JSON Schema of a text that is passed on as it stands: `${ … }` is part of the text."""


def text_of(value: JsonValue) -> str:
    """Return the text of a value; raise ValueError with the way out for null, a list or a map.

    Null is refused, because it mostly stands for a value that is missing, and a program or a
    server would take an empty text for a value.
    """
    match value:
        case str():
            return value
        case bool() | int() | float():
            return json.dumps(value)
        case None:
            raise ValueError('null is not a text; write "" if you mean an empty text')
        case list() | tuple():
            raise ValueError("should be a text, not a list; use join, or take one item")
        case {"secretRef": _}:
            raise ValueError("a secret cannot be used here, because this text is stored or shown")
        case _:
            raise ValueError("should be a text, not a map; take one of its fields")


def as_written(text: str) -> str:
    """Return the reason to refuse a number that JSON writes in another way than the file."""
    number = json.dumps(json.loads(text))
    return f'{text} would become {number}; write "{text}" to keep the text, or {number}'


Text = Annotated[str, BeforeValidator(text_of), WithJsonSchema(TEXT_SCHEMA)]
"""A field of a model: a text, a number or a boolean in YAML, a str in code."""

FilledText = Annotated[
    str,
    StringConstraints(min_length=1),
    BeforeValidator(text_of),
    WithJsonSchema({**TEXT_SCHEMA, "minLength": 1}),
]
"""A text that is not empty."""
