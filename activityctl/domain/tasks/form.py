"""The form of a task: the fields that a person fills in, read from the JSON Schema of its output.

It reads what a person types. Whether a value fits the schema is checked elsewhere.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

_YES: Final = frozenset({"y", "yes", "true", "1"})
_NO: Final = frozenset({"n", "no", "false", "0"})
_SHOWN: Final = 80


@frozen_dataclass
class FormField:
    """One field of a form."""

    name: str
    schema: Mapping[str, Any]
    is_required: bool

    @property
    def description(self) -> str:
        """What the field means: the title and description of its schema."""
        parts = (self.schema.get("title"), self.schema.get("description"))
        return ": ".join(str(part) for part in parts if part)

    @property
    def choices(self) -> Sequence[JsonValue]:
        """The values of which it has one; empty if any value may fit."""
        if "const" in self.schema:
            return [self.schema["const"]]
        values = self.schema.get("enum", ())
        return values if isinstance(values, list) else ()

    @property
    def has_default(self) -> bool:
        """Whether an empty answer means the default."""
        return "default" in self.schema

    @property
    def type(self) -> str:
        """The JSON type; empty if it may have several."""
        found = self.schema.get("type")
        return found if isinstance(found, str) else ""

    @property
    def hint(self) -> str:
        """What to type, in a few words."""
        match self.type:
            case "boolean":
                return "y or n"
            case "integer" | "number":
                return self._number_hint()
            case "array" if self._has_plain_items():
                return "values with commas between them"
            case "array" | "object":
                return "JSON"
            case "string":
                return "text"
            case _:
                return "JSON or text"

    def _number_hint(self) -> str:
        low, high = self.schema.get("minimum"), self.schema.get("maximum")
        kind = "whole number" if self.type == "integer" else "number"
        if low is not None and high is not None:
            return f"{kind} from {low} to {high}"
        if low is not None:
            return f"{kind}, at least {low}"
        return f"{kind}, at most {high}" if high is not None else kind

    def _has_plain_items(self) -> bool:
        items = self.schema.get("items")
        return isinstance(items, Mapping) and items.get("type") in {"string", "integer", "number"}

    def read(self, text: str) -> JsonValue:
        """Return the value that a person means; raise ValueError with what to type instead."""
        text = text.strip()
        if self.choices:
            return self._chosen(text)
        if self.type == "array" and self._has_plain_items() and not text.startswith("["):
            items = FormField(self.name, self.schema["items"], is_required=True)
            return [items.read(part) for part in text.split(",") if part.strip()]
        return self._plain(text)

    def _plain(self, text: str) -> JsonValue:
        match self.type:
            case "boolean":
                return _boolean(text)
            case "integer" | "number":
                return _number(text, self.hint)
            case "array" | "object":
                return _json(text)
            case "string":
                return text
            case _:
                return _json_or_text(text)

    def _chosen(self, text: str) -> JsonValue:
        shown = [shown_value(value) for value in self.choices]
        if text in shown:
            return self.choices[shown.index(text)]
        if text.isdecimal() and 1 <= int(text) <= len(shown):
            return self.choices[int(text) - 1]
        near = [value for value in shown if text and value.lower().startswith(text.lower())]
        if len(near) == 1:
            return self.choices[shown.index(near[0])]
        raise ValueError(f"choose 1 to {len(shown)}, or type one of {', '.join(shown)}")


def form_fields(schema: Mapping[str, Any]) -> list[FormField]:
    """Return the fields of a form: first those of `required`, in that order, then the others.

    The others are in the order of the properties, which Postgres does not keep as written.
    """
    properties = schema.get("properties", {})
    required = [name for name in schema.get("required", ()) if name in properties]
    return [
        FormField(
            name, inner if isinstance(inner := properties[name], Mapping) else {}, is_required
        )
        for names, is_required in (
            (required, True),
            ([name for name in properties if name not in required], False),
        )
        for name in names
    ]


def shown_value(value: JsonValue) -> str:
    """Return the value as a person would type it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _boolean(text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise ValueError("type y or n")
    return text.lower() in _YES


def _number(text: str, hint: str) -> JsonValue:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ValueError(f"{text!r} is no number: type a {hint}")
    return value


def _json(text: str) -> JsonValue:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"not valid JSON: {error}") from None


def _json_or_text(text: str) -> JsonValue:
    try:
        return json.loads(text)
    except ValueError:
        return text
