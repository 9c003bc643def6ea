"""Params and their JSON Schema (draft 2020-12): check the schema, check params, fill defaults."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from activityctl.domain.finding import Finding
from activityctl.domain.model import JsonValue


def check_schema(schema: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with a params schema; references must stay inside it."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return [Finding(tuple(error.absolute_path), f"not a JSON Schema: {error.message}")]
    found = [
        Finding(path, f"$ref {target!r} leaves the schema; only #/... is followed")
        for path, target in _references(schema, ())
        if not target.startswith("#")
    ]
    found = found or list(_dangling(schema))
    if schema.get("type", "object") != "object":
        found.append(Finding(("type",), "params are an object; the type must be object"))
    return found


def check_params(schema: Mapping[str, Any], params: Mapping[str, JsonValue]) -> list[Finding]:
    """Return where the params do not fit the schema, defaults already filled in."""
    if not schema:
        return [Finding((name,), "the definition takes no params") for name in params]
    validator = Draft202012Validator(schema)
    try:
        errors = sorted(validator.iter_errors(params), key=lambda error: list(error.absolute_path))
    except Unresolvable as error:
        return [Finding((), f"the definition's schema has a $ref to nowhere: {error.ref}")]
    except RecursionError:
        return [Finding((), "the definition's schema refers to itself without end")]
    return [Finding(tuple(error.absolute_path), _reason(error)) for error in errors]


def fill_defaults(schema: Mapping[str, Any], params: Mapping[str, JsonValue]) -> dict[str, Any]:
    """Return the params with the `default` of each absent property, in nested objects too."""
    filled = dict(params)
    for name, child in schema.get("properties", {}).items():
        if not isinstance(child, dict):
            continue
        if name not in filled and "default" in child:
            filled[name] = child["default"]
        if isinstance(filled.get(name), dict):
            filled[name] = fill_defaults(child, filled[name])
    return filled


_LONGEST_REASON: Final = 200


def _reason(error: ValidationError) -> str:
    """Return the message; of a long one the start and the end, which says what is wrong."""
    message = " ".join(error.message.split())
    half = _LONGEST_REASON // 2
    return message if len(message) <= _LONGEST_REASON else f"{message[:half]}...{message[-half:]}"


def _dangling(schema: Mapping[str, Any]) -> Iterator[Finding]:
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for path, target in _references(schema, ()):
        try:
            resolver.lookup(target)
        except Unresolvable:
            yield Finding(path, f"$ref {target!r} leads nowhere")


def _references(schema: Any, path: tuple[str | int, ...]) -> Iterator[tuple[Any, str]]:
    if isinstance(schema, dict):
        for key, child in schema.items():
            if key in {"$ref", "$dynamicRef"} and isinstance(child, str):
                yield (*path, key), child
            yield from _references(child, (*path, key))
    elif isinstance(schema, list):
        for index, child in enumerate(schema):
            yield from _references(child, (*path, index))
