"""EventPattern: claims about an event, checked when read; what they mean is in `event_parts`."""

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from activityctl.domain.cel.static_check import CONDITION, check_meaning
from activityctl.domain.cel.static_type import ANY_TYPE, StaticType, type_of_kind
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.domain.values.untrusted import storable

_LONGEST: Final = 1024
"""Characters of a pattern or value; the attributes that events are found by are no longer."""
_MOST: Final = 256
"""Patterns or values in one list."""
_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9_-]*"
MATCH_PATH: Final = re.compile(rf"data(\.{_SEGMENT})+|[a-z0-9]+")
"""A field of the data, or an attribute; CloudEvents names those with a-z and 0-9 alone."""

EVENT: Final = StaticType(
    frozenset({"map"}),
    {
        **dict.fromkeys(("specversion", "id", "source", "type"), type_of_kind("string")),
        **dict.fromkeys(("subject", "time", "datacontenttype"), type_of_kind("string")),
        **dict.fromkeys(("dataschema", "data_base64"), type_of_kind("string")),
        "data": ANY_TYPE,
    },
)
"""What is known of any event; extensions come beside."""


def _listed(value: object) -> object:
    """Let one item stand for the list of it."""
    return value if isinstance(value, list | tuple) else (value,)


def _is_short_text(text: str) -> str:
    if not 0 < len(text) <= _LONGEST:
        raise ValueError(f"should have 1 to {_LONGEST} characters")
    if storable(text) != text:
        raise ValueError("holds NUL or half a surrogate pair, which no event does")
    return text


def _is_scalar(value: object) -> object:
    if isinstance(value, str):
        return _is_short_text(value) if value else value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not JSON, so no event has it")
    if value is not None and not isinstance(value, bool | int | float):
        raise ValueError("should be text, a number, true, false or null; use filter for the rest")
    return value


def _is_path(path: str) -> str:
    if MATCH_PATH.fullmatch(path):
        return path
    if path.startswith("event."):
        raise ValueError(f"leave out event: write {path.removeprefix('event.')}")
    if re.fullmatch(rf"{_SEGMENT}(\.{_SEGMENT})+", path):
        raise ValueError(f"only data has fields below it: write data.{path} if that is meant")
    raise ValueError("not a path such as data.status; use filter for fields of other names")


def _one_or_many(item: dict[str, Any]) -> WithJsonSchema:
    many = {"type": "array", "items": item, "minItems": 1, "maxItems": _MOST}
    return WithJsonSchema({"anyOf": [item, many]})


_TEXT_SCHEMA: Final = {"type": "string", "minLength": 1, "maxLength": _LONGEST}
_SCALAR_SCHEMA: Final = {"type": ["string", "number", "boolean", "null"], "maxLength": _LONGEST}
Patterns = Annotated[
    tuple[Annotated[str, AfterValidator(_is_short_text)], ...],
    BeforeValidator(_listed),
    Field(strict=False, min_length=1, max_length=_MOST),
    _one_or_many(_TEXT_SCHEMA),
]
"""Texts in which each * stands for any characters, none included; one or a list."""
Scalars = Annotated[
    tuple[Annotated[JsonValue, AfterValidator(_is_scalar)], ...],
    BeforeValidator(_listed),
    Field(strict=False, min_length=1, max_length=_MOST),
    _one_or_many(_SCALAR_SCHEMA),
]
"""Values that a field may have; one or a list."""
MatchPath = Annotated[str, AfterValidator(_is_path)]


class EventPattern(Manifest):
    """Claims about an event, all of which hold of those that it matches."""

    type: Patterns | None = Field(
        default=None,
        description="The event's type; * stands for any characters, several patterns for any of "
        "them.",
        examples=["order.*", ["order.paid", "order.refunded"]],
    )
    source: Patterns | None = Field(
        default=None, description="The event's source, likewise.", examples=["/shops/*"]
    )
    subject: Patterns | None = Field(
        default=None,
        description="The event's subject, likewise; an event without one does not match.",
        examples=["invoice-*"],
    )
    match: dict[MatchPath, Scalars] = Field(
        default={},
        description="Values that fields must have, by their path: one, or a list of which any "
        "will do. A field that is missing has none of them.",
        examples=[{"data.status": ["paid", "refunded"], "data.region": "eu"}],
        json_schema_extra={"propertyNames": {"pattern": f"^({MATCH_PATH.pattern})$"}},
    )
    filter: str | None = Field(
        default=None,
        description="CEL over event and params. One that cannot be evaluated, as for a field that "
        "is missing, is no match, with the reason recorded.",
        examples=["event.data.amount > params.threshold"],
    )

    @property
    def names_events(self) -> bool:
        """Whether it claims anything."""
        return bool(self.type or self.source or self.subject or self.match or self.filter)


def check_event_pattern(pattern: EventPattern, params: StaticType) -> list[Finding]:
    """Return what is wrong with the filter, whatever the events; `params` as `params_type` has it.

    The rest of the pattern is checked when it is read.
    """
    if pattern.filter is None:
        return []
    problems = check_meaning(pattern.filter, {"event": EVENT, "params": params}, CONDITION)
    return [Finding(("filter",), problem.reason, problem.offset) for problem in problems]


def texts_of(patterns: Sequence[str] | None) -> tuple[str, ...]:
    """Return the patterns, none of them twice."""
    return tuple(dict.fromkeys(patterns or ()))
