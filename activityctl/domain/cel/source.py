"""Writes values and paths as CEL source."""

import json
import re
from typing import Final

from activityctl.domain.values.model import JsonValue

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FIRST_UINT: Final = 2**63
# CEL specification, syntax: names that must be quoted after a dot.
_RESERVED: Final = frozenset({"true", "false", "null", "in"})


def literal(value: JsonValue) -> str:
    """Return the CEL literal of a JSON value that `to_cel` returned."""
    match value:
        case list():
            return f"[{', '.join(map(literal, value))}]"
        case dict():
            entries = (f"{literal(key)}: {literal(item)}" for key, item in value.items())
            return f"{{{', '.join(entries)}}}"
        case int() if not isinstance(value, bool) and value >= _FIRST_UINT:
            return f"{value}u"
        case _:
            return json.dumps(value, ensure_ascii=False)


def path_source(path: tuple[str, ...]) -> str:
    """Return the CEL source of a path of fields, such as `event.data.status`."""
    return ".".join(_field(name) for name in path)


def _field(name: str) -> str:
    is_plain = _IDENTIFIER.fullmatch(name) and name not in _RESERVED
    return name if is_plain else f"`{name}`"
