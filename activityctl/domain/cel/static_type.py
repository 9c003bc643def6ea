"""StaticType: what is known of an expression's value before there is data; from JSON Schema."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from activityctl.frozen_dataclass import frozen_dataclass

CelKinds = frozenset[str]

_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "object": ("map",),
    "array": ("list",),
    "string": ("string",),
    "integer": ("int",),
    "number": ("int", "double"),
    "boolean": ("bool",),
    "null": ("null",),
}
"""CEL's kinds by the types of JSON Schema; an integer written as 2.0 is assumed to be an int."""
_MAX_DEPTH: Final = 16
_MAX_SCHEMAS: Final = 2_000
_DECLARE: Final = "declare it in the params schema"


@frozen_dataclass
class StaticType:
    """The static type of a value; without arguments, nothing is known."""

    kinds: CelKinds = frozenset()
    """The kinds that the value may have in CEL; empty means any kind."""
    fields: Mapping[str, "StaticType"] = field(default_factory=dict)
    """The static types of a map's fields."""
    is_closed: bool = False
    """Whether the map has no other fields."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Fields that are not available here, each with the reason."""
    note: str = ""
    """The hint for a field that the map does not have."""
    items: "StaticType | None" = None
    """The static type of a list's items."""
    unsure: str = ""
    """Why the value may be null, so that its fields must not be read without a test."""
    guards: tuple[str, ...] = ()
    """The texts, without spaces, of which one in an expression counts as that test."""

    def cannot_have(self, name: str) -> bool:
        """Return whether the map cannot have this field."""
        return name in self.absent or (self.is_closed and name not in self.fields)


ANY_TYPE: Final = StaticType()


def as_compared(source: str) -> str:
    """Return the source of an expression in the form in which guards are looked for in it."""
    return "".join(source.split()).replace('"', "'")


def type_of_kind(*kinds: str) -> StaticType:
    """Return the static type of a value of one of these kinds."""
    return StaticType(frozenset(kinds))


def closed_map(fields: Mapping[str, StaticType], note: str = "") -> StaticType:
    """Return the static type of a map with these fields and no others."""
    return StaticType(frozenset({"map"}), fields, is_closed=True, note=note)


def open_map(fields: Mapping[str, StaticType]) -> StaticType:
    """Return the static type of a map with these fields and perhaps others."""
    return StaticType(frozenset({"map"}), fields)


def params_type(schema: Mapping[str, Any]) -> StaticType:
    """Return the static type of the params, from a valid params schema.

    A param that is not declared does not exist, unless the schema allows others explicitly
    (`additionalProperties`, `patternProperties`) or declares none at all.
    """
    if not schema:
        return closed_map({}, "the definition has no params")
    return _ParamsSchemaReader(schema).static_type({"type": "object", **schema}, 0)


class _ParamsSchemaReader:
    """Reads the static type of one schema; parts that are too deep or too many stay unknown."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = _MAX_SCHEMAS

    def static_type(self, schema: Any, depth: int) -> StaticType:
        self._left -= 1
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or self._left < 0:
            return ANY_TYPE
        kinds = self._kinds(schema, depth)
        parts = self._parts(schema)
        if parts is None:
            return StaticType(kinds)
        fields = {
            name: self.static_type(child, depth + 1)
            for part in reversed(parts)
            for name, child in part.get("properties", {}).items()
        }
        if "prefixItems" in schema:
            items = ANY_TYPE
        else:
            items = self.static_type(schema.get("items"), depth + 1)
        return StaticType(kinds, fields, is_closed=_is_closed(parts), note=_DECLARE, items=items)

    def _parts(self, schema: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
        """Return the schema and all schemas that apply to the same value; None if not known."""
        found: dict[int, Mapping[str, Any]] = {}
        waiting = [schema]
        while waiting:
            part = waiting.pop()
            if id(part) in found:
                continue
            found[id(part)] = part
            if "$dynamicRef" in part:
                return None
            if "$ref" in part:
                target = self._target(part["$ref"])
                if target is None:
                    return None
                waiting.append(target)
            waiting += [child for child in _applied_subschemas(part) if isinstance(child, Mapping)]
        return list(found.values())

    def _kinds(self, schema: Mapping[str, Any], depth: int) -> CelKinds:
        """Return the kinds that the schema, its `allOf` or its `$ref` allows."""
        if "type" in schema:
            types = schema["type"]
            names = (types,) if isinstance(types, str) else types
            return frozenset(kind for name in names for kind in _KINDS.get(name, ()))
        others = [*schema.get("allOf", ()), self._target(schema.get("$ref", ""))]
        for child in others if depth <= _MAX_DEPTH else ():
            if isinstance(child, Mapping) and (kinds := self._kinds(child, depth + 1)):
                return kinds
        return frozenset()

    def _target(self, reference: str) -> Mapping[str, Any] | None:
        """Return the schema of a `#/…` reference; None for others, such as an anchor."""
        if not reference.startswith("#/"):
            return None
        found: Any = self._root
        for part in reference[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else None


def _applied_subschemas(schema: Mapping[str, Any]) -> list[Any]:
    lists = [child for key in ("allOf", "anyOf", "oneOf") for child in schema.get(key, ())]
    branches = [schema.get("then"), schema.get("else")]
    return [*lists, *branches, *schema.get("dependentSchemas", {}).values()]


def _is_closed(parts: list[Mapping[str, Any]]) -> bool:
    if any(
        part.get(key, False) is not False
        for part in parts
        for key in ("additionalProperties", "unevaluatedProperties", "patternProperties")
    ):
        return False
    return any("properties" in part or "additionalProperties" in part for part in parts)
