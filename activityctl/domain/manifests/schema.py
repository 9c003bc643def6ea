"""The JSON Schema (draft 2020-12) of each manifest kind, built from the models that read YAML.

`checks` checks what JSON Schema cannot express: expressions, time zones, needs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from activityctl.domain.events.schema import NAMES_EVENTS, one_form
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.checks import Kinds
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.event_source import EventSource
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.manifests.task_template import BLOCK_KINDS
from activityctl.domain.manifests.trigger_kinds import TRIGGER_KINDS
from activityctl.domain.values.duration import DURATION_PATTERN, format_duration, parse_duration
from activityctl.domain.values.json_form import API_VERSION
from activityctl.domain.values.text import LITERAL_SCHEMA, SOURCE_MARK

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DOCUMENT_KINDS: Final[Mapping[str, type[BaseModel]]] = {
    "Calendar": DayCalendar,
    "EventSource": EventSource,
    "ActivityDefinition": ActivityDefinition,
    "Subscription": SubscriptionManifest,
}
TEMPLATE: Final[Schema] = {"$ref": "#/$defs/template"}
_TEMPLATE: Final[Schema] = {
    "type": "string",
    "pattern": r"(^|[^$])\$\{",
    "description": "A text with CEL expressions in ${ … }, which are evaluated during the run.",
}
_PARAMS_SCHEMA: Final[Schema] = {
    "type": "object",
    "properties": {
        "type": {"const": "object", "description": "Always `object`: params are an object."},
        "required": {
            "type": "array",
            "items": {"type": "string"},
            "uniqueItems": True,
            "description": "The params that a Subscription must give.",
        },
        "properties": {
            "type": "object",
            "additionalProperties": {"$ref": "#/$defs/param"},
            "description": "The JSON Schema of each param, by name.",
        },
        "additionalProperties": {
            "type": ["object", "boolean"],
            "description": "Whether a Subscription may give params that are not declared here. "
            "Default: true.",
        },
    },
}
_PARAM: Final[Schema] = {
    "type": ["object", "boolean"],
    "description": "The JSON Schema of one param.",
    "examples": [{"type": "string", "default": "eu"}],
    "properties": {
        "type": {
            "anyOf": [
                {"$ref": "#/$defs/jsonType"},
                {"type": "array", "items": {"$ref": "#/$defs/jsonType"}},
            ],
            "description": "The JSON type, or a list of allowed types. Default: any type.",
        },
        "description": {"type": "string", "description": "A description for people."},
        "default": {"description": "The value when a Subscription does not give one."},
        "enum": {"type": "array", "description": "The allowed values. Default: any value."},
    },
}
_JSON_TYPE: Final[Schema] = {
    "enum": ["array", "boolean", "integer", "null", "number", "object", "string"]
}
_ANNOTATIONS: Final = ("description", "default", "examples")


def document_schema(kinds: Kinds, only: str | None = None) -> Schema:
    """Return the schema of the documents of one kind in DOCUMENT_KINDS, or of all kinds."""
    definitions = _definitions(kinds)
    names = [only] if only else list(DOCUMENT_KINDS)
    head: Schema = {"$schema": DIALECT, "title": f"activityctl {only or 'manifest'}"}
    if only:
        return {**head, "$ref": f"#/$defs/{only}", "$defs": _reachable(definitions, names)}
    return {
        **head,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"enum": names}},
        "allOf": [
            {
                "if": {"required": ["kind"], "properties": {"kind": {"const": name}}},
                "then": {"$ref": f"#/$defs/{name}"},
            }
            for name in names
        ],
        "$defs": _reachable(definitions, names),
    }


def _definitions(kinds: Kinds) -> dict[str, Schema]:
    definitions: dict[str, Schema] = {
        "template": _TEMPLATE,
        "param": _PARAM,
        "jsonType": _JSON_TYPE,
    }
    for name, model in DOCUMENT_KINDS.items():
        definitions |= _model(model, name, "")
        definitions[name] = _document(name, definitions[name])
    bodies: tuple[tuple[str, Mapping[str, type[BaseModel]]], ...] = (
        ("trigger", TRIGGER_KINDS),
        ("context", kinds.contexts),
        ("task", kinds.tasks),
    )
    for place, models in bodies:
        owner = f"{place.capitalize()}Template"
        for kind, model in models.items():
            of_kind = _model(model, f"{place}.{kind}", f"{place}.{kind}.")
            if place != "trigger":
                of_kind = {name: _with_templates(schema) for name, schema in of_kind.items()}
            definitions |= of_kind
        references = {kind: {"$ref": f"#/$defs/{place}.{kind}"} for kind in models}
        if place != "trigger":
            references = {kind: _or_template(body) for kind, body in references.items()}
        blocks = BLOCK_KINDS if place == "task" else ()
        definitions[owner] = _kinded(definitions[owner], references, blocks)
    _refine(definitions)
    return definitions


def _refine(definitions: dict[str, Schema]) -> None:
    """Add rules that `checks` checks on the models, as far as JSON Schema can express them."""
    _refine_overrides(definitions)
    definitions["trigger.event"] |= one_form()
    for part in ("NamedPart", "EventPart"):
        definitions[f"trigger.event.{part}"] |= NAMES_EVENTS
    definitions["DayCalendarSpec"]["minProperties"] = 1
    task = definitions["TaskTemplate"]
    for name in BLOCK_KINDS:
        block = task["properties"][name]
        (choice,) = (choice for choice in block["anyOf"] if choice.get("type") != "null")
        task["properties"][name] = {**choice, "description": block["description"]}
    for_each = task["properties"]["forEach"]
    for_each["anyOf"] = [
        TEMPLATE if choice.get("type") == "string" else choice for choice in for_each["anyOf"]
    ]
    is_limited = {"required": ["maxParallel"], "properties": {"maxParallel": {"type": "integer"}}}
    is_many = {"required": ["forEach"], "properties": {"forEach": {"not": {"type": "null"}}}}
    definitions["TaskTemplate"] = {**task, "if": is_limited, "then": is_many}
    params = definitions["DefinitionSpec"]["properties"]["params"]
    notes = {key: params[key] for key in _ANNOTATIONS if key in params}
    definitions["DefinitionSpec"]["properties"]["params"] = {**_PARAMS_SCHEMA, **notes}


def _refine_overrides(definitions: dict[str, Schema]) -> None:
    """Allow a subscription to replace any fields of a trigger, without its required fields."""
    overrides = {}
    for kind in TRIGGER_KINDS:
        trigger = definitions[f"trigger.{kind}"]
        override = {key: trigger[key] for key in trigger if key != "required"}
        definitions[f"override.{kind}"] = override
        overrides[kind] = {"$ref": f"#/$defs/override.{kind}"}
    definitions["override"] = {
        **_kinded({"type": "object", "properties": {}}, overrides),
        "description": "The fields of the trigger to replace; null switches the trigger off.",
    }
    triggers = definitions["SubscriptionSpec"]["properties"]["triggers"]
    ((pattern, _),) = triggers["patternProperties"].items()
    allowed = {"anyOf": [{"$ref": "#/$defs/override"}, {"type": "null"}]}
    triggers["patternProperties"] = {pattern: allowed}


class _Unsorted(GenerateJsonSchema):
    """Keeps keys in the order in which they were written, above all the keys of examples."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        """Return the value unchanged."""
        del parent_key
        return value


def _model(model: type[BaseModel], name: str, prefix: str) -> dict[str, Schema]:
    """Return the model's schema under its name, and the schemas that it needs under a prefix."""
    references = f"#/$defs/{prefix}{{model}}"
    schema = model.model_json_schema(ref_template=references, schema_generator=_Unsorted)
    inner = {f"{prefix}{key}": value for key, value in schema.pop("$defs", {}).items()}
    return {key: _clean(value) for key, value in {**inner, name: schema}.items()}


def _clean(schema: Schema) -> Schema:
    """Return the schema without generated titles, and with durations written as in YAML."""
    clean = {key: value for key, value in schema.items() if key != "title"}
    if clean.get("pattern") == DURATION_PATTERN and isinstance(clean.get("default"), str):
        clean["default"] = format_duration(parse_duration(clean["default"]))
    if "patternProperties" in clean:
        clean.setdefault("additionalProperties", False)
    return _change_children(clean, _clean)


def _change_children(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return the schema with a change of each of its direct child schemas."""
    result = dict(schema)
    for key in ("properties", "patternProperties"):
        if key in result:
            result[key] = {name: change(child) for name, child in result[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = change(result[key])
    if "anyOf" in result:
        result["anyOf"] = [change(child) for child in result["anyOf"]]
    return result


def _with_templates(schema: Schema) -> Schema:
    """Return the schema with `${ … }` allowed for every value below it."""
    result = dict(schema)
    for key in ("properties", "patternProperties"):
        if key in result:
            result[key] = {name: _or_template(child) for name, child in result[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = _or_template(result[key])
    if "anyOf" in result:
        result["anyOf"] = [_with_templates(child) for child in result["anyOf"]]
    return result


def _or_template(schema: Schema) -> Schema:
    """Return the schema with `${ … }` allowed as its value too; its annotations stay on top."""
    if LITERAL_SCHEMA.items() <= schema.items() or SOURCE_MARK in schema:
        return schema
    notes: Schema = {key: schema[key] for key in _ANNOTATIONS if key in schema}
    rest = _with_templates({key: schema[key] for key in schema if key not in notes})
    alternatives = rest["anyOf"] if set(rest) == {"anyOf"} else [rest]
    return {"anyOf": [*alternatives, TEMPLATE], **notes}


def _kinded(schema: Schema, kinds: Mapping[str, Schema], fields: Sequence[str] = ()) -> Schema:
    """Return the schema of an item with exactly one of these kinds, or fields of it, as a key."""
    return {
        **schema,
        "properties": {**schema["properties"], **kinds},
        "additionalProperties": False,
        "oneOf": [{"required": [kind]} for kind in (*kinds, *fields)],
    }


def _document(kind: str, schema: Schema) -> Schema:
    head: Schema = {
        "apiVersion": {
            "const": API_VERSION,
            "description": "The version of the manifest format.",
        },
        "kind": {"const": kind, "description": "The kind of the object."},
    }
    return {
        **schema,
        "properties": {**head, **schema["properties"]},
        "required": ["apiVersion", "kind", *schema["required"]],
    }


def _reachable(definitions: Mapping[str, Schema], names: list[str]) -> dict[str, Schema]:
    """Return the definitions with these names and all that they need, in the given order."""
    seen: set[str] = set()
    waiting: list[Any] = [{"$ref": f"#/$defs/{name}"} for name in names]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            target = value.get("$ref")
            if isinstance(target, str) and (name := target.removeprefix("#/$defs/")) not in seen:
                seen.add(name)
                waiting.append(definitions[name])
    return {name: definitions[name] for name in definitions if name in seen}
