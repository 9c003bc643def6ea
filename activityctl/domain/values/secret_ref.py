"""References to secrets: `{secretRef: NAME}` in a body; the values never stand there.

A body keeps the reference as it is written. An executor asks for the value when it makes its call.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema

from activityctl.domain.values.finding import Path
from activityctl.domain.values.model import NAME_PATTERN, JsonValue, Manifest, is_written
from activityctl.domain.values.text import TEXT_SCHEMA, text_of

SECRET_REF: Final = "secretRef"  # noqa: S105 - the name of a field
_NAME: Final = re.compile(NAME_PATTERN)
_NAME_REASON: Final = (
    "is not the name of a secret: use a-z, 0-9 and -, at most 63 characters, no - at either end"
)


class SecretRef(Manifest):
    """The name of a secret, in place of its value."""

    secret_ref: str = Field(description="The name of the secret, as in `secrets set NAME`.")

    def __str__(self) -> str:
        return f"secret {self.secret_ref}"


SECRET_REF_SCHEMA: Final[dict[str, JsonValue]] = {
    "type": "object",
    "properties": {
        SECRET_REF: {
            "type": "string",
            "description": "The name of a secret.",
            "examples": ["crm-token"],
        }
    },
    "required": [SECRET_REF],
    "additionalProperties": False,
}


def _secret_text(value: Any, info: ValidationInfo) -> str | SecretRef:
    if isinstance(value, SecretRef):
        return value
    if not isinstance(value, Mapping) or SECRET_REF not in value:
        return text_of(value)
    name = value[SECRET_REF]
    if len(value) > 1:
        raise ValueError("should be {secretRef: NAME} alone, without other fields")
    is_template = is_written(info) and "${" in str(name)
    if not isinstance(name, str) or not (_NAME.fullmatch(name) or is_template):
        raise ValueError(f"{SECRET_REF} {name!r} {_NAME_REASON}")
    return SecretRef(secret_ref=name)


SecretText = Annotated[
    str | SecretRef,
    PlainValidator(_secret_text),
    WithJsonSchema({"anyOf": [TEXT_SCHEMA, SECRET_REF_SCHEMA]}),
]
"""A field of a body that is a text or `{secretRef: NAME}`; a number or a boolean becomes text."""


SECRETS_INSIDE: Final = "{secretRef: NAME} may stand in it"
"""Marks a place of a JSON Schema whose value may have secrets at any depth."""
SecretJson = Annotated[Any, WithJsonSchema({"$comment": SECRETS_INSIDE})]
"""A field of a body that is JSON, with `{secretRef: NAME}` anywhere in it."""


def ref_name(value: JsonValue) -> str | None:
    """Return the name, as it is written, if the value is `{secretRef: NAME}`; else None."""
    if isinstance(value, Mapping) and len(value) == 1:
        name = value.get(SECRET_REF)
        return name if isinstance(name, str) else None
    return None


def refs_in(value: JsonValue, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield each `{secretRef: NAME}` in a body: its path and its name, as they are written."""
    if (name := ref_name(value)) is not None:
        yield path, name
        return
    match value:
        case Mapping():
            for key, child in value.items():
                yield from refs_in(child, (*path, key))
        case list() | tuple():
            for index, child in enumerate(value):
                yield from refs_in(child, (*path, index))


def is_secret_name(name: str) -> bool:
    """Return whether a secret can have this name."""
    return _NAME.fullmatch(name) is not None


async def fill_secrets(value: JsonValue, read: Callable[[SecretRef], Awaitable[str]]) -> JsonValue:
    """Return the JSON with the value of each secret in place of its `{secretRef: NAME}`."""
    if (name := ref_name(value)) is not None:
        return await read(SecretRef(secret_ref=name))
    match value:
        case Mapping():
            return {key: await fill_secrets(child, read) for key, child in value.items()}
        case list() | tuple():
            return [await fill_secrets(child, read) for child in value]
        case _:
            return value


def on_text(check: Callable[[str], str]) -> Callable[[str | SecretRef], str | SecretRef]:
    """Return a validator of a SecretText that checks its text and leaves a reference as it is."""

    def checked(value: str | SecretRef) -> str | SecretRef:
        return check(value) if isinstance(value, str) else value

    return checked
