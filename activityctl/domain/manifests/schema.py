"""JSON Schema (draft 2020-12) of each manifest kind, built from the models that read the YAML.

What only code can judge (expressions, time zones, needs) is left to `checking`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from activityctl.domain.events.schema import NAMES_EVENTS, one_form
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.checks import Kinds
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.manifests.trigger_kinds import TRIGGER_KINDS
from activityctl.domain.values.duration import DURATION_PATTERN, format_duration, parse_duration
from activityctl.domain.values.json_form import API_VERSION

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DOCUMENT_KINDS: Final[Mapping[str, type[BaseModel]]] = {
    "Calendar": DayCalendar,
    "ActivityDefinition": ActivityDefinition,
    "Subscription": SubscriptionManifest,
}
TEMPLATE: Final[Schema] = {"$ref": "#/$defs/template"}
_TEMPLATE: Final[Schema] = {
    "type": "string",
    "pattern": r"(^|[^$])\$\{",
    "description": "Text with CEL in ${ … }, evaluated when the run gets there.",
}
_PARAMS_SCHEMA: Final[Schema] = {
    "type": "object",
    "properties": {
        "type": {"const": "object", "description": "Params are an object."},
        "required": {
            "type": "array",
            "items": {"type": "string"},
            "uniqueItems": True,
            "description": "The params that a Subscription must give.",
        },
        "properties": {
            "type": "object",
            "additionalProperties": {"$ref": "#/$defs/param"},
            "description": "Each param by its name.",
        },
        "additionalProperties": {
            "type": ["object", "boolean"],
            "description": "Whether there may be params that are not declared.",
        },
    },
}
_PARAM: Final[Schema] = {
    "type": ["object", "boolean"],
    "description": "JSON Schema of one param.",
    "examples": [{"type": "string", "default": "eu"}],
    "properties": {
        "type": {
            "anyOf": [
                {"$ref": "#/$defs/jsonType"},
                {"type": "array", "items": {"$ref": "#/$defs/jsonType"}},
            ],
            "description": "The JSON type, or several.",
        },
        "description": {"type": "string", "description": "For people."},
        "default": {"description": "Filled in where a Subscription gives none."},
        "enum": {"type": "array", "description": "The values allowed."},
    },
}
_JSON_TYPE: Final[Schema] = {
    "enum": ["array", "boolean", "integer", "null", "number", "object", "string"]
}
_ANNOTATIONS: Final = ("description", "default", "examples")


def document_schema(kinds: Kinds, only: str | None = None) -> Schema:
    """Return the schema of the documents of one kind in DOCUMENT_KINDS, or of all."""
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
    found: dict[str, Schema] = {
        "template": _TEMPLATE,
        "param": _PARAM,
        "jsonType": _JSON_TYPE,
    }
    for name, model in DOCUMENT_KINDS.items():
        found |= _model(model, name, "")
        found[name] = _document(name, found[name])
    bodies: tuple[tuple[str, Mapping[str, type[BaseModel]]], ...] = (
        ("trigger", TRIGGER_KINDS),
        ("context", kinds.contexts),
        ("task", kinds.tasks),
    )
    for place, models in bodies:
        owner = f"{place.capitalize()}Template"
        for kind, model in models.items():
            of_kind = _model(model, f"{place}.{kind}", f"{place}.{kind}.")
            change = _plain if place == "trigger" else _with_templates
            found |= {name: change(schema) for name, schema in of_kind.items()}
        references = {kind: {"$ref": f"#/$defs/{place}.{kind}"} for kind in models}
        if place != "trigger":
            references = {kind: _or_template(one) for kind, one in references.items()}
        found[owner] = _kinded(found[owner], references)
    _refine(found)
    return found


def _refine(found: dict[str, Schema]) -> None:
    """Say what the models leave to `checking`, as far as JSON Schema can."""
    _refine_overrides(found)
    found["trigger.event"] |= one_form()
    for part in ("NamedPart", "EventPart"):
        found[f"trigger.event.{part}"] |= NAMES_EVENTS
    found["DayCalendarSpec"]["minProperties"] = 1
    task = found["TaskTemplate"]
    for_each = task["properties"]["forEach"]
    for_each["anyOf"] = [
        TEMPLATE if "type" in one and one["type"] == "string" else one for one in for_each["anyOf"]
    ]
    is_limited = {"required": ["maxParallel"], "properties": {"maxParallel": {"type": "integer"}}}
    is_many = {"required": ["forEach"], "properties": {"forEach": {"not": {"type": "null"}}}}
    found["TaskTemplate"] = {**task, "if": is_limited, "then": is_many}
    params = found["DefinitionSpec"]["properties"]["params"]
    notes = {key: params[key] for key in _ANNOTATIONS if key in params}
    found["DefinitionSpec"]["properties"]["params"] = {**_PARAMS_SCHEMA, **notes}


def _refine_overrides(found: dict[str, Schema]) -> None:
    """Say what a subscription may replace of a trigger: any of its fields, by itself."""
    overrides = {}
    for kind in TRIGGER_KINDS:
        whole = found[f"trigger.{kind}"]
        found[f"override.{kind}"] = {key: whole[key] for key in whole if key != "required"}
        overrides[kind] = {"$ref": f"#/$defs/override.{kind}"}
    override = _kinded({"type": "object", "properties": {}}, overrides)
    found["override"] = {**override, "description": "The fields to replace, or null."}
    triggers = found["SubscriptionSpec"]["properties"]["triggers"]
    ((pattern, _),) = triggers["patternProperties"].items()
    allowed = {"anyOf": [{"$ref": "#/$defs/override"}, {"type": "null"}]}
    triggers["patternProperties"] = {pattern: allowed}


class _Unsorted(GenerateJsonSchema):
    """Keeps keys, those of examples above all, in the order in which they were written."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        """Return the value as it is."""
        del parent_key
        return value


def _model(model: type[BaseModel], name: str, prefix: str) -> dict[str, Schema]:
    """Return the model's schema under its name, and those it refers to under a prefix."""
    references = f"#/$defs/{prefix}{{model}}"
    schema = model.model_json_schema(ref_template=references, schema_generator=_Unsorted)
    inner = {f"{prefix}{key}": value for key, value in schema.pop("$defs", {}).items()}
    return {key: _cleaned(value) for key, value in {**inner, name: schema}.items()}


def _cleaned(schema: Schema) -> Schema:
    """Return the schema without made-up titles, durations written as in YAML."""
    clean = {key: value for key, value in schema.items() if key != "title"}
    if clean.get("pattern") == DURATION_PATTERN and isinstance(clean.get("default"), str):
        clean["default"] = format_duration(parse_duration(clean["default"]))
    if "patternProperties" in clean:
        clean.setdefault("additionalProperties", False)
    return _mapped(clean, _cleaned)


def _plain(schema: Schema) -> Schema:
    return schema


def _mapped(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return the schema with each schema right below it changed."""
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
    """Return the schema with `${ … }` allowed in every place below it."""
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
    """Return the schema that takes `${ … }` too, its annotations at the top."""
    if _takes_any_text(schema):
        return _with_templates(schema)
    notes: Schema = {key: schema[key] for key in _ANNOTATIONS if key in schema}
    rest = _with_templates({key: schema[key] for key in schema if key not in notes})
    alternatives = rest["anyOf"] if set(rest) == {"anyOf"} else [rest]
    return {"anyOf": [*alternatives, TEMPLATE], **notes}


def _takes_any_text(schema: Schema) -> bool:
    if "anyOf" in schema:
        return any(_takes_any_text(child) for child in schema["anyOf"])
    if {"enum", "const", "pattern", "$ref", "maxLength", "format"} & set(schema):
        return False
    return bool(schema.get("type", "string") == "string")


def _kinded(schema: Schema, kinds: Mapping[str, Schema]) -> Schema:
    """Return the schema of an item that has exactly one of these kinds as a key."""
    return {
        **schema,
        "properties": {**schema["properties"], **kinds},
        "additionalProperties": False,
        "oneOf": [{"required": [kind]} for kind in kinds],
    }


def _document(kind: str, schema: Schema) -> Schema:
    head: Schema = {
        "apiVersion": {"const": API_VERSION, "description": "The form of this document."},
        "kind": {"const": kind, "description": "What this document is."},
    }
    fields = dict(schema["properties"])
    return {
        **schema,
        "properties": {**head, **fields},
        "required": ["apiVersion", "kind", *schema["required"]],
    }


def _reachable(definitions: Mapping[str, Schema], names: list[str]) -> dict[str, Schema]:
    """Return the definitions that these names need, in the order of `definitions`."""
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
