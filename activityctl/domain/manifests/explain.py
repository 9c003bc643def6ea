"""What a field of a manifest means, read off the JSON Schema that `schema` builds."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from activityctl.domain.manifests.schema import DOCUMENT_KINDS, TEMPLATE, Schema
from activityctl.domain.values.duration import DURATION_PATTERN
from activityctl.domain.values.json_form import API_VERSION
from activityctl.domain.values.model import NAME_PATTERN, JsonValue
from activityctl.errors import NotFoundError

_SHORT: Final[Mapping[str, str]] = {
    "calendar": "Calendar",
    "cal": "Calendar",
    "definition": "ActivityDefinition",
    "def": "ActivityDefinition",
    "subscription": "Subscription",
    "sub": "Subscription",
}
_INDEX: Final = re.compile(r"\[\d*\]")
_PATTERNS: Final = {DURATION_PATTERN: "duration", NAME_PATTERN: "name"}


@dataclass(frozen=True, slots=True)
class FieldLine:
    """One field below another, as a list shows it."""

    name: str
    type: str
    is_required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one place of a manifest may hold."""

    path: str
    type: str
    description: str
    is_required: bool = False
    default: JsonValue = None
    allowed: tuple[JsonValue, ...] = ()
    example: JsonValue = None
    """A value that fits, in YAML's form; None when there is none to show."""
    takes_templates: bool = False
    """Whether `${ … }` may stand here."""
    fields: tuple[FieldLine, ...] = ()
    one_of: tuple[str, ...] = ()
    """Fields of which exactly one stands."""


def kind_named(word: str) -> str:
    """Return the manifest kind that a word names, short or long; NotFoundError has the nearest."""
    names = {**_SHORT, **{kind.lower(): kind for kind in DOCUMENT_KINDS}}
    lowered = word.lower()
    found = names.get(lowered) or names.get(lowered.removesuffix("s"))
    if found is None:
        near = difflib.get_close_matches(lowered, names, n=1)
        known = ", ".join(DOCUMENT_KINDS)
        hint = f"did you mean {near[0]}?" if near else f"kinds: {known}"
        raise NotFoundError("kind", word, hint=hint)
    return found


def explain_field(schema: Schema, path: str) -> Explanation:
    """Return what the place at a path such as `definition.spec.triggers.cron` may hold.

    Lists are stepped through without an index, an index is borne. The schema is that of all
    kinds. NotFoundError has the nearest field as its hint.
    """
    reader = _SchemaReader(schema["$defs"])
    first, *steps = _INDEX.sub("", path).split(".")
    place = {"$ref": f"#/$defs/{kind_named(first)}"}
    is_required = True
    for index, step in enumerate(steps):
        fields = reader.fields(place)
        if step in fields:
            is_required = step in reader.required(place)
            place = fields[step]
        elif (other := reader.other(place)) is not None and step:
            place, is_required = other, False
        else:
            _refuse(path, [first, *steps[:index]], step, fields)
    return reader.explanation(path, place, is_required=is_required)


def kinds_explained(schema: Schema) -> Explanation:
    """Return the kinds of manifests as the fields of an explanation without a path."""
    reader = _SchemaReader(schema["$defs"])
    lines = []
    for kind in DOCUMENT_KINDS:
        found = reader.explanation(kind, {"$ref": f"#/$defs/{kind}"}, is_required=False)
        lines.append(FieldLine(kind, found.type, is_required=False, description=found.description))
    return Explanation("", "manifest", "The kinds of manifests.", fields=tuple(lines))


def _refuse(path: str, before: Sequence[str], step: str, fields: Mapping[str, Schema]) -> None:
    above = ".".join(before)
    near = difflib.get_close_matches(step, fields, n=1)
    if near:
        hint = f"activityctl explain {above}.{near[0]}"
    else:
        hint = f"activityctl explain {above}" + (f"; it has {', '.join(fields)}" if fields else "")
    raise NotFoundError("field", path, hint=hint)


class _SchemaReader:
    """Reads places of one schema, whose `$ref`s and alternatives it looks through."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def fields(self, place: Schema) -> dict[str, Schema]:
        """Return the fields below a place, those of a list's items too."""
        return {
            name: child
            for option in self._options(place)
            for name, child in option.get("properties", {}).items()
        }

    def other(self, place: Schema) -> Schema | None:
        """Return what stands under a name of the user's own, where there may be one."""
        for option in self._options(place):
            for child in option.get("patternProperties", {}).values():
                return dict(child)
            if isinstance(child := option.get("additionalProperties"), dict):
                return child
        return None

    def required(self, place: Schema) -> set[str]:
        """Return the names of the fields that must stand."""
        return {name for option in self._options(place) for name in option.get("required", ())}

    def explanation(self, path: str, place: Schema, *, is_required: bool) -> Explanation:
        """Return all that the schema says of a place."""
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
        """Yield the schemas that a value may follow, null and templates aside."""
        if place == TEMPLATE or place.get("type") == "null":
            return
        if "$ref" in place:
            yield from self._options(self._definitions[place["$ref"].removeprefix("#/$defs/")])
        elif "anyOf" in place:
            for child in place["anyOf"]:
                yield from self._options(child)
        elif place.get("type") == "array" and isinstance(place.get("items"), dict):
            yield from self._options(place["items"])
        else:
            yield place

    def _description(self, place: Schema) -> str:
        found = place.get("description")
        if found is None and "$ref" in place:
            return self._description(self._definitions[place["$ref"].removeprefix("#/$defs/")])
        for child in place.get("anyOf", ()) if found is None else ():
            if text := self._description(child):
                return text
        return found or ""

    def type_of(self, place: Schema) -> str:
        """Return a place's type in words: `duration`, `list of name`, `integer 1 to 100`."""
        if "$ref" in place and place != TEMPLATE:
            return self.type_of(self._definitions[place["$ref"].removeprefix("#/$defs/")])
        if "anyOf" in place:
            inner = [self.type_of(child) for child in place["anyOf"] if child != TEMPLATE]
            names = dict.fromkeys(inner)
            names.pop("null", None)
            return " or ".join(names)
        if "const" in place:
            return str(place["const"])
        if place.get("type") == "array":
            return f"list of {self.type_of(place.get('items', {}))}"
        if place.get("type") == "object":
            other = self.other(place) if not place.get("properties") else None
            return f"map of {self.type_of(other)}" if other else "object"
        return _plain_type(place)

    def example(self, place: Schema) -> JsonValue:
        """Return a value that fits: the first written down, else the fields that must stand."""
        if place.get("examples"):
            return place["examples"][0]
        if "$ref" in place:
            return self.example(self._definitions[place["$ref"].removeprefix("#/$defs/")])
        if "anyOf" in place:
            return self.example(place["anyOf"][0])
        if place.get("type") == "array":
            item = self.example(place.get("items", {}))
            return None if item is None else [item]
        if fields := place.get("properties"):
            names = [*place.get("required", ()), *_first_choice(place)] or [next(iter(fields))]
            return {name: self.example(fields[name]) for name in names}
        return place.get("const")


def _first_choice(place: Schema) -> list[str]:
    return [name for choice in place.get("oneOf", ())[:1] for name in choice.get("required", ())]


def _plain_type(place: Schema) -> str:
    if place.get("pattern") in _PATTERNS:
        return _PATTERNS[place["pattern"]]
    if "enum" in place:
        return "one of " + ", ".join(map(str, place["enum"]))
    name = place.get("type", "any")
    name = " or ".join(name) if isinstance(name, list) else str(name)
    low, high = place.get("minimum"), place.get("maximum")
    if low is None and high is None:
        return name
    return f"{name} {low} to {high}" if high is not None else f"{name} from {low}"


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation in the form of `-o json`."""
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
