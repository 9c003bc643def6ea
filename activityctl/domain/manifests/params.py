"""Checks of params and of their JSON Schema (draft 2020-12).

Defaults are filled in by `param_defaults`, which imports no library and so starts fast.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from activityctl.domain.cel.evaluator import present_evaluator
from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionBudgetError


def check_schema(schema: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with a params schema; references must stay inside the schema."""
    try:
        if not is_plainly_valid(schema):
            Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return [Finding(tuple(error.absolute_path), f"not a JSON Schema: {error.message}")]
    findings = [
        Finding(path, f"$ref {target!r} leads outside the schema; use #/...")
        for path, target in _references(schema, ())
        if not target.startswith("#")
    ]
    if not findings and any(_references(schema, ())):
        findings = list(_unresolved_references(schema))
    if schema.get("type", "object") != "object":
        findings.append(Finding(("type",), "must be object, because params are an object"))
    return findings or [*_unfitting_defaults(schema), *_unfitting_choices(schema, ())]


def _unfitting_defaults(schema: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the defaults of params that do not fit the schema of their own param."""
    defaults = fill_defaults(schema, {})
    if not defaults:
        return
    parts = ("properties", "$defs", "definitions")
    alone = {"type": "object", **{key: schema[key] for key in parts if key in schema}}
    for finding in check_params(alone, defaults):
        if finding.path:
            name, *rest = finding.path
            yield Finding(("properties", name, "default", *rest), finding.reason)


def _unfitting_choices(schema: Any, path: tuple[str | int, ...]) -> Iterator[Finding]:
    """Yield the values of `enum` and `const` that do not have the type next to them."""
    if not isinstance(schema, Mapping):
        return
    if "type" in schema:
        validator = Draft202012Validator({"type": schema["type"]})
        choices: dict[tuple[str | int, ...], Any] = {
            ("enum", index): value for index, value in enumerate(schema.get("enum", ()))
        }
        if "const" in schema:
            choices["const",] = schema["const"]
        for place, value in choices.items():
            for error in validator.iter_errors(value):
                yield Finding((*path, *place), _reason(error))
    for name, child in schema.get("properties", {}).items():
        yield from _unfitting_choices(child, (*path, "properties", name))
    yield from _unfitting_choices(schema.get("items"), (*path, "items"))


def check_params(schema: Mapping[str, Any], params: Mapping[str, JsonValue]) -> list[Finding]:
    """Return where params do not match the schema; defaults must already be filled in.

    A check that may be much work, because of a `pattern` or of many references, is done by the
    present evaluator, if there is one. What takes it too long is a finding.
    """
    if _surely_fit(schema, params):
        return []
    evaluator = present_evaluator()
    if evaluator is None or _is_little_work(schema, params):
        return check_params_here(schema, params)
    try:
        return [
            Finding(tuple(path), reason) for path, reason in evaluator.check_params(schema, params)
        ]
    except ExpressionBudgetError as error:
        reason = (
            f"cannot be checked against the definition's schema: {error.message};"
            " simplify its patterns and references"
        )
        return [Finding((), reason)]


def _surely_fit(schema: Mapping[str, Any], params: object) -> bool:
    """Whether params fit a schema that says only their types and which are required.

    False means that they may fit or not. This is for the many subscriptions of one definition:
    a validator takes fifty times longer.
    """
    if not schema or schema.keys() - _ONLY_TYPES or schema.get("type") != "object":
        return False
    if not isinstance(params, Mapping):  # an answer to a task may be of any type
        return False
    known = schema.get("properties", {})
    return all(name in params for name in schema.get("required", ())) and all(
        name not in known or _is_surely_of(known[name], value) for name, value in params.items()
    )


def _is_surely_of(schema: Any, value: JsonValue) -> bool:
    if not isinstance(schema, Mapping) or schema.keys() - _ONLY_TYPE:
        return False
    kind = schema.get("type")
    return isinstance(kind, str) and type(value) in _PYTHON_TYPES.get(kind, ())


def _is_little_work(schema: Mapping[str, Any], params: Mapping[str, JsonValue]) -> bool:
    """Whether each part of the schema is tried with each part of the params once, at most."""
    sizes = len(json.dumps(schema, default=str)) * len(json.dumps(params, default=str))
    return sizes <= _LITTLE_WORK and is_plainly_valid(schema)


def check_params_here(schema: Mapping[str, Any], params: Mapping[str, JsonValue]) -> list[Finding]:
    """Return the same as `check_params`, however long that takes."""
    if not schema:
        return [Finding((name,), "the definition has no params") for name in params]
    validator = Draft202012Validator(schema, registry=Registry())  # never reads from a network
    try:
        errors = sorted(validator.iter_errors(params), key=lambda error: list(error.absolute_path))
    except Unresolvable as error:
        reason = f"a $ref in the definition's schema has no target: {error.ref}"
        return [Finding((), reason)]
    except RecursionError:
        return [Finding((), "the definition's schema refers to itself in an endless loop")]
    return [Finding(tuple(error.absolute_path), _reason(error)) for error in errors]


_ANNOTATIONS: Final = frozenset({"title", "description", "default", "examples"})
_ONLY_TYPES: Final = _ANNOTATIONS | {"type", "required", "properties"}
_ONLY_TYPE: Final = _ANNOTATIONS | {"type"}
_PYTHON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
}
_LITTLE_WORK: Final = 50_000_000
"""Characters of the schema times characters of the params; so much takes some milliseconds."""
_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})


def is_plainly_valid(schema: Any) -> bool:
    """Whether the schema has only common keywords, each with a valid value.

    Such a schema need not be checked with the metaschema, which takes half a millisecond even for
    a small schema. False means that the schema may be valid or not: the metaschema decides.
    """
    if isinstance(schema, bool):
        return True
    return isinstance(schema, Mapping) and all(
        key in _PLAIN and _PLAIN[key](value) for key, value in schema.items()
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _are_schemas(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(is_plainly_valid, value.values()))


_PLAIN: Final[Mapping[str, Callable[[Any], bool]]] = {
    "type": lambda value: _is_text(value) and value in _TYPES,
    **dict.fromkeys(("title", "description"), _is_text),
    **dict.fromkeys(("default", "const"), lambda _: True),
    **dict.fromkeys(("enum", "examples"), lambda value: isinstance(value, list)),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_count),
    "required": _is_list_of_names,
    "properties": _are_schemas,
    **dict.fromkeys(("items", "additionalProperties"), is_plainly_valid),
}
_LONGEST_REASON: Final = 200


def _reason(error: ValidationError) -> str:
    """Return the message; a long one is cut in the middle, because its end says what is wrong."""
    message = " ".join(error.message.split())
    is_text_wanted = error.validator == "type" and "string" in str(error.validator_value)
    if is_text_wanted and isinstance(error.instance, bool | int | float):
        message += "; put the value in quotes"
    half = _LONGEST_REASON // 2
    return message if len(message) <= _LONGEST_REASON else f"{message[:half]}...{message[-half:]}"


def _unresolved_references(schema: Mapping[str, Any]) -> Iterator[Finding]:
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for path, target in _references(schema, ()):
        try:
            resolver.lookup(target)
        except Unresolvable:
            yield Finding(path, f"$ref {target!r} has no target")


def _references(schema: Any, path: tuple[str | int, ...]) -> Iterator[tuple[Any, str]]:
    """Yield path and target of each reference; `$ref` within a value is no reference."""
    if not isinstance(schema, dict):
        return
    for key, child in schema.items():
        if key in _REFERENCES and isinstance(child, str):
            yield (*path, key), child
        elif key in _MAPS_OF_SCHEMAS and isinstance(child, dict):
            for name, inner in child.items():
                yield from _references(inner, (*path, key, name))
        elif isinstance(child, list) and key not in _VALUES:
            for index, inner in enumerate(child):
                yield from _references(inner, (*path, key, index))
        elif key not in _VALUES:
            yield from _references(child, (*path, key))


_REFERENCES: Final = frozenset({"$ref", "$dynamicRef"})
_VALUES: Final = frozenset({"const", "default", "enum", "examples"})
"""Keywords whose values are no schemas (JSON Schema 2020-12, Validation, 6.1 and 9)."""
_MAPS_OF_SCHEMAS: Final = frozenset(
    {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions", "dependencies"}
)
"""Keywords whose value has names of any kind, each with a schema."""
