"""Finding: one error in a manifest, located by its path; file and line are added elsewhere."""

import difflib
from collections.abc import Iterable
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from activityctl.frozen_dataclass import frozen_dataclass

Path = tuple[str | int, ...]


@frozen_dataclass
class Finding:
    """One error at a path of a manifest.

    `offset` counts characters in the string at the path. `at_key` means that the key at the
    path is wrong, not its value.
    """

    path: Path
    reason: str
    offset: int | None = None
    at_key: bool = False

    def under(self, *prefix: str | int) -> "Finding":
        """Return the same finding with the prefix before its path."""
        return Finding((*prefix, *self.path), self.reason, self.offset, self.at_key)


def findings_of(error: ValidationError, model: type[BaseModel] | None = None) -> list[Finding]:
    """Return pydantic's errors as findings, each with a reason of one line."""
    errors = error.errors(include_url=False, include_context=False)
    broken = {item["loc"][:length] for item in errors for length in range(len(item["loc"]))}
    findings = []
    for item in errors:
        if item["type"] == "too_short" and item["loc"] in broken:
            continue  # pydantic does not count the items that it refused
        path = tuple(part for part in item["loc"] if part != "[key]")
        if item["type"] == "extra_forbidden":
            reason = unknown_field(str(path[-1]), _fields_at(model, path[:-1]))
            findings.append(Finding(path, reason, at_key=True))
        else:
            is_key = len(path) < len(item["loc"])
            reason = _plain_reason(item["type"], item["msg"])
            if item["type"] == "string_type" and isinstance(item["input"], bool | int | float):
                reason = "should be a string; put the value in quotes"
            findings.append(Finding(path, reason, at_key=is_key))
    return findings


def _fields_at(model: type[BaseModel] | None, path: Path) -> list[str]:
    """Return the names of the fields that are allowed at a path; none where they are not known."""
    models = [model] if model else []
    for name in (part for part in path if isinstance(part, str)):
        fields = [field for parent in models for field in _named_fields(parent, name)]
        models = [inner for field in fields for inner in _models_in(field.annotation)]
    return [field.alias or name for parent in models for name, field in parent.model_fields.items()]


def _named_fields(model: type[BaseModel], name: str) -> list[FieldInfo]:
    return [field for key, field in model.model_fields.items() if name == (field.alias or key)]


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """Return the models in a type: also those of an optional value or of a list's items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def unknown_field(name: str, known: Iterable[str]) -> str:
    """Return the reason for an unknown field: with the nearest known name, else with all names."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"unknown field {name!r}; did you mean {near[0]!r}?"
    return f"unknown field {name!r}" + (f"; known: {', '.join(known)}" if known else "")


def _plain_reason(kind: str, message: str) -> str:
    if kind == "missing":
        return "required field is missing"
    if kind == "string_pattern_mismatch":
        return "not a valid name: use a-z, 0-9 and -, at most 63 characters, no - at either end"
    if kind in {"too_short", "too_long"}:
        return "should have" + message.partition(" should have")[2].partition(" after")[0]
    text = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if text.startswith("Input should be"):
        return "should be" + text.removeprefix("Input should be")
    return text
