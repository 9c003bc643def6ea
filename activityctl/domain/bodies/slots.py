"""What values the fields of a manifest take, by path; read from the JSON Schema of its model.

`checks` holds literals and whole `${ … }` against it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from activityctl.domain.cel.static_type import CelKinds
from activityctl.domain.values.finding import Finding, Path
from activityctl.domain.values.secret_ref import SECRET_REF_SCHEMA, SECRETS_INSIDE
from activityctl.domain.values.text import TEXT_SCHEMA, as_written

Schema = Mapping[str, Any]

_STRING: Final = frozenset({"string", "bytes", "timestamp", "duration"})
"""Kinds whose JSON is a string."""
_NUMBER: Final = frozenset({"int", "uint", "double"})
TEXT: Final[CelKinds] = _STRING | _NUMBER | {"bool"}
_KINDS: Final[Mapping[str, CelKinds]] = {
    "string": _STRING,
    "number": _NUMBER,
    "integer": _NUMBER,
    "boolean": frozenset({"bool"}),
    "array": frozenset({"list"}),
    "object": frozenset({"map"}),
    "null": frozenset({"null"}),
}


class Slots:
    """The places of one JSON Schema."""

    def __init__(self, schema: Schema, at: str = "") -> None:
        self._definitions: Mapping[str, Schema] = schema.get("$defs", {})
        self._root: Schema = {"$ref": f"#/$defs/{at}"} if at else schema

    def kinds_at(self, path: Path) -> CelKinds:
        """Return the kinds of CEL that a value there may have; empty means any kind."""
        options = [option for option in self._options_at(path) if option != SECRET_REF_SCHEMA]
        kinds = [_kinds(option) for option in options]
        return frozenset().union(*kinds) if all(kinds) else frozenset()

    def is_text_at(self, path: Path) -> bool:
        """Return whether the place takes text: a number there becomes text."""
        return any(option.get("type") == TEXT_SCHEMA["type"] for option in self._options_at(path))

    def takes_secret_at(self, path: Path) -> bool:
        """Return whether `{secretRef: NAME}` may stand there."""
        if any(option == SECRET_REF_SCHEMA for option in self._options_at(path)):
            return True
        above = (path[:length] for length in range(len(path) + 1))
        return any(
            option.get("$comment") == SECRETS_INSIDE
            for place in above
            for option in self._options_at(place)
        )

    def _options_at(self, path: Path) -> list[Schema]:
        places = list(self._options(self._root))
        for part in path:
            below = [child for place in places for child in _children(place, part)]
            places = [option for child in below for option in self._options(child)]
        return places

    def _options(self, place: Schema) -> Iterator[Schema]:
        if "$ref" in place:
            yield from self._options(self._definitions[place["$ref"].removeprefix("#/$defs/")])
        elif "anyOf" in place and "properties" not in place:
            for child in place["anyOf"]:
                yield from self._options(child)
        else:
            yield place


def _children(place: Schema, part: str | int) -> Sequence[Schema]:
    if isinstance(part, int):
        return [place["items"]] if isinstance(place.get("items"), Mapping) else []
    if part in place.get("properties", {}):
        return [place["properties"][part]]
    others = [*place.get("patternProperties", {}).values(), place.get("additionalProperties")]
    return [child for child in others if isinstance(child, Mapping)]


def _kinds(option: Schema) -> CelKinds:
    if option.get("type") == TEXT_SCHEMA["type"]:
        return TEXT
    types = option.get("type", ())
    names = (types,) if isinstance(types, str) else types
    return frozenset().union(*(_KINDS[name] for name in names))


@cache
def slots_of(model: type[BaseModel]) -> Slots:
    """Return the places of a body that the model reads."""
    return Slots(model.model_json_schema())


def changed_texts(slots: Slots, numbers: Mapping[Path, str]) -> Iterator[Finding]:
    """Yield the numbers that text would change: those of `numbers` whose place takes text.

    `numbers` has how each number is written in the file, if JSON writes it in another way. The
    literal items of `forEach` count as text, because most of them end up as such.
    """
    for path, text in numbers.items():
        if slots.is_text_at(path) or "forEach" in path:
            yield Finding(path, as_written(text))
