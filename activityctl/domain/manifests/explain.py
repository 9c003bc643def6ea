"""Explanations of the fields of manifests, read from the JSON Schema that `schema` builds."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from activityctl.domain.manifests.schema import DOCUMENT_KINDS, TEMPLATE, Schema
from activityctl.domain.values.duration import DURATION_PATTERN
from activityctl.domain.values.json_form import API_VERSION
from activityctl.domain.values.model import NAME_PATTERN, JsonValue
from activityctl.domain.values.text import TEXT_SCHEMA
from activityctl.errors import NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass

_SHORT_NAMES: Final[Mapping[str, str]] = {
    "calendar": "Calendar",
    "cal": "Calendar",
    "source": "EventSource",
    "src": "EventSource",
    "definition": "ActivityDefinition",
    "def": "ActivityDefinition",
    "subscription": "Subscription",
    "sub": "Subscription",
}
_INDEX: Final = re.compile(r"\[\d*\]")
_PATTERNS: Final = {DURATION_PATTERN: "duration", NAME_PATTERN: "name"}


@frozen_dataclass
class FieldLine:
    """One field of an object, as a line of the field list."""

    name: str
    type: str
    is_required: bool
    description: str


@frozen_dataclass
class Explanation:
    """The explanation of one field of a manifest."""

    path: str
    type: str
    description: str
    is_required: bool = False
    default: JsonValue = None
    allowed: tuple[JsonValue, ...] = ()
    example: JsonValue = None
    """A valid value as YAML has it; None if there is none."""
    example_key: str = ""
    """The key of the example in YAML; empty if the example is a whole manifest."""
    takes_templates: bool = False
    """Whether the value may contain `${ … }`."""
    fields: tuple[FieldLine, ...] = ()
    one_of: tuple[str, ...] = ()
    """Fields of which exactly one must be present."""


def kind_named(word: str) -> str:
    """Return the manifest kind that a word names: short or long, singular or plural.

    Raises NotFoundError, with the most similar kind as its hint.
    """
    names = {**_SHORT_NAMES, **{kind.lower(): kind for kind in DOCUMENT_KINDS}}
    lowered = word.lower()
    kind = names.get(lowered) or names.get(lowered.removesuffix("s"))
    if kind is None:
        near = difflib.get_close_matches(lowered, names, n=1)
        known = ", ".join(DOCUMENT_KINDS)
        hint = f"did you mean {near[0]}?" if near else f"kinds: {known}"
        raise NotFoundError("kind", word, hint=hint)
    return kind


class _Found(NamedTuple):
    """The schema of a field, and that of the object or map that has it."""

    place: Schema
    parent: Schema
    name: str
    """Its name; empty for a whole manifest."""
    is_required: bool


def explain_field(schema: Schema, path: str) -> Explanation:
    """Return the explanation of a field by its path, e.g. `definition.spec.triggers.cron`.

    The path passes through lists without an index; an index is ignored. `schema` is the schema
    of all kinds. Raises NotFoundError, with the most similar field as its hint.
    """
    reader = _SchemaReader(schema["$defs"])
    found = _find(reader, path)
    explanation = reader.explanation(path, found.place, is_required=found.is_required)
    if not found.name or found.name in reader.fields(found.parent):
        return replace(explanation, example_key=found.name)
    key, example = reader.entry_example(found.parent, found.name)
    return replace(explanation, example_key=key, example=example)


def schema_at(schema: Schema, path: str) -> Schema:
    """Return the schema of a field by its path, which is read as by `explain_field`."""
    return {**_find(_SchemaReader(schema["$defs"]), path).place, "$defs": schema["$defs"]}


def _find(reader: "_SchemaReader", path: str) -> _Found:
    first, *names = _INDEX.sub("", path).split(".")
    place: Schema = {"$ref": f"#/$defs/{kind_named(first)}"}
    found = _Found(place, place, "", is_required=True)
    for index, name in enumerate(names):
        place = found.place
        fields = reader.fields(place)
        if name in fields:
            found = _Found(fields[name], place, name, name in reader.required(place))
        elif (value := reader.map_value(place)) is not None and name:
            found = _Found(value, place, name, is_required=False)
        else:
            raise _unknown_field(path, [first, *names[:index]], name, fields)
    return found


def kinds_explained(schema: Schema) -> Explanation:
    """Return an explanation without a path, whose fields are the kinds of manifests."""
    reader = _SchemaReader(schema["$defs"])
    lines = []
    for kind in DOCUMENT_KINDS:
        found = reader.explanation(kind, {"$ref": f"#/$defs/{kind}"}, is_required=False)
        lines.append(FieldLine(kind, found.type, is_required=False, description=found.description))
    return Explanation("", "manifest", "The kinds of manifests.", fields=tuple(lines))


def _unknown_field(
    path: str, parents: Sequence[str], name: str, fields: Mapping[str, Schema]
) -> NotFoundError:
    parent = ".".join(parents)
    near = difflib.get_close_matches(name, fields, n=1)
    if near:
        hint = f"activityctl explain {parent}.{near[0]}"
    else:
        hint = f"activityctl explain {parent}" + (f"; it has {', '.join(fields)}" if fields else "")
    return NotFoundError("field", path, hint=hint)


class _SchemaReader:
    """Reads the schemas of single places in a manifest; follows `$ref` and alternatives."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def fields(self, place: Schema) -> dict[str, Schema]:
        """Return the fields of an object, or of the items of a list."""
        return {
            name: child
            for option in self._options(place)
            for name, child in option.get("properties", {}).items()
        }

    def map_value(self, place: Schema) -> Schema | None:
        """Return the schema of the values of a map whose keys the user chooses, if it is one."""
        for option in self._options(place):
            for child in option.get("patternProperties", {}).values():
                return dict(child)
            if isinstance(child := option.get("additionalProperties"), dict):
                return child
        return None

    def entry_example(self, place: Schema, key: str) -> tuple[str, JsonValue]:
        """Return key and value of a valid entry of a map whose keys the user chooses.

        It is an entry of the map's own example: the one with this key, else the first.
        """
        entries = self.example(place)
        if not isinstance(entries, dict):
            return "name", self.example(self.map_value(place) or {})
        if entries.get(key) is None:
            key = next(iter(entries))
        return key, entries[key]

    def required(self, place: Schema) -> set[str]:
        """Return the names of the required fields."""
        return {name for option in self._options(place) for name in option.get("required", ())}

    def explanation(self, path: str, place: Schema, *, is_required: bool) -> Explanation:
        """Return the explanation of a place from its schema."""
        options = list(self._options(place))
        required = self.required(place)
        lines = [
            FieldLine(name, self.type_of(child), name in required, self._description(child))
            for name, child in self.fields(place).items()
        ]
        return Explanation(
            path=path,
            type=self.type_of(place),
            description=self._description(place),
            is_required=is_required,
            default=place.get("default"),
            allowed=tuple(value for option in options for value in option.get("enum", ())),
            example=self.example(place),
            takes_templates=TEMPLATE in place.get("anyOf", ()),
            fields=tuple(lines),
            one_of=tuple(
                name
                for option in options
                for choice in option.get("oneOf", ())
                for name in choice.get("required", ())
            ),
        )

    def _options(self, place: Schema) -> Iterator[Schema]:
        """Yield the schemas that a value may match, except null and templates."""
        if place == TEMPLATE or place.get("type") == "null":
            return
        if "$ref" in place:
            yield from self._options(self._definitions[place["$ref"].removeprefix("#/$defs/")])
        elif alternatives := _alternatives(place):
            for child in alternatives:
                yield from self._options(child)
        elif place.get("type") == "array" and isinstance(place.get("items"), dict):
            yield from self._options(place["items"])
        else:
            yield place

    def _description(self, place: Schema) -> str:
        description = place.get("description")
        if description is None and "$ref" in place:
            return self._description(self._definitions[place["$ref"].removeprefix("#/$defs/")])
        for child in place.get("anyOf", ()) if description is None else ():
            if text := self._description(child):
                return text
        return description or ""

    def type_of(self, place: Schema) -> str:
        """Return a place's type in words: `duration`, `list of name`, `integer 1 to 100`."""
        if "$ref" in place and place != TEMPLATE:
            return self.type_of(self._definitions[place["$ref"].removeprefix("#/$defs/")])
        if alternatives := _alternatives(place):
            inner = [self.type_of(child) for child in alternatives if child != TEMPLATE]
            names = dict.fromkeys(inner)
            names.pop("null", None)
            return " or ".join(names)
        if "const" in place:
            return str(place["const"])
        if place.get("type") == "array":
            return f"list of {self.type_of(place.get('items', {}))}"
        if place.get("type") == "object":
            value = self.map_value(place) if not place.get("properties") else None
            return f"map of {self.type_of(value)}" if value else "object"
        return _plain_type(place)

    def example(self, place: Schema) -> JsonValue:
        """Return a valid value: the first example, else an object with the required fields."""
        if place.get("examples"):
            return place["examples"][0]
        if "$ref" in place:
            return self.example(self._definitions[place["$ref"].removeprefix("#/$defs/")])
        if alternatives := _alternatives(place):
            return self.example(alternatives[0])
        if place.get("type") == "array":
            item = self.example(place.get("items", {}))
            return None if item is None else [item]
        if fields := place.get("properties"):
            names = [*place.get("required", ()), *_first_choice(place)] or [next(iter(fields))]
            return {name: self.example(fields[name]) for name in names}
        return place.get("const")


def _alternatives(place: Schema) -> Sequence[Schema]:
    """Return the schemas of which a value matches one; an object with fields of its own has none.

    Its `anyOf` says only which of its fields must be set.
    """
    return () if "properties" in place else place.get("anyOf", ())


def _first_choice(place: Schema) -> list[str]:
    return [name for choice in place.get("oneOf", ())[:1] for name in choice.get("required", ())]


def _plain_type(place: Schema) -> str:
    if place.get("pattern") in _PATTERNS:
        return _PATTERNS[place["pattern"]]
    if "enum" in place:
        return "one of " + ", ".join(map(str, place["enum"]))
    name = place.get("type", "any")
    if name == TEXT_SCHEMA["type"]:
        return "text"
    name = " or ".join(name) if isinstance(name, list) else str(name)
    low, high = place.get("minimum"), place.get("maximum")
    if low is None and high is None:
        return name
    return f"{name} {low} to {high}" if high is not None else f"{name} from {low}"


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Return the JSON form of an explanation."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Explanation",
        "path": explanation.path,
        "type": explanation.type,
        "description": explanation.description,
        "required": explanation.is_required,
        "default": explanation.default,
        "allowed": list(explanation.allowed),
        "example": explanation.example,
        "takesTemplates": explanation.takes_templates,
        "oneOf": list(explanation.one_of),
        "fields": [
            {
                "name": line.name,
                "type": line.type,
                "required": line.is_required,
                "description": line.description,
            }
            for line in explanation.fields
        ],
    }
