"""Fills in the defaults of a params schema; `params` checks the rest of the schema."""

from collections.abc import Mapping
from typing import Any

from activityctl.domain.values.model import JsonValue


def fill_defaults(schema: Mapping[str, Any], params: Mapping[str, JsonValue]) -> dict[str, Any]:
    """Return the params with the `default` of each missing property, also in nested objects."""
    filled = dict(params)
    for name, child in schema.get("properties", {}).items():
        if not isinstance(child, dict):
            continue
        if name not in filled and "default" in child:
            filled[name] = child["default"]
        if isinstance(filled.get(name), dict):
            filled[name] = fill_defaults(child, filled[name])
    return filled
