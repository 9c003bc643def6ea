"""EventPattern: conditions about one event as YAML has them; they are evaluated in `parts`."""

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

_MAX_CHARACTERS: Final = 1024
"""Maximum length of a pattern or value; `id`, `source` and `type` of an event are no longer."""
_MAX_ITEMS: Final = 256
"""Maximum number of patterns or values in one list."""
_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9_-]*"
MATCH_PATH: Final = re.compile(rf"data(\.{_SEGMENT})+|[a-z0-9]+")
"""A field of the data, or an attribute; CloudEvents allows only a-z and 0-9 in their names."""

EVENT: Final = StaticType(
    frozenset({"map"}),
    {
        **dict.fromkeys(("specversion", "id", "source", "type"), type_of_kind("string")),
        **dict.fromkeys(("subject", "time", "datacontenttype"), type_of_kind("string")),
        **dict.fromkeys(("dataschema", "data_base64"), type_of_kind("string")),
        "data": ANY_TYPE,
    },
)
"""The static type of every event; extension attributes are allowed too."""


def _as_list(value: object) -> object:
    """Return a single item as a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


def _check_text(text: str) -> str:
    if not 0 < len(text) <= _MAX_CHARACTERS:
        raise ValueError(f"should have 1 to {_MAX_CHARACTERS} characters")
    if storable(text) != text:
        raise ValueError("contains NUL or half a surrogate pair, which no event can contain")
    return text


def _check_scalar(value: object) -> object:
    if isinstance(value, str):
        return _check_text(value) if value else value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not valid JSON, so no event can have it")
    if value is not None and not isinstance(value, bool | int | float):
        raise ValueError(
            "should be a string, a number, true, false or null; use filter for other conditions"
        )
    return value


def _check_path(path: str) -> str:
    if MATCH_PATH.fullmatch(path):
        return path
    if path.startswith("event."):
        raise ValueError(f"write it without the prefix `event.`: {path.removeprefix('event.')}")
    if re.fullmatch(rf"{_SEGMENT}(\.{_SEGMENT})+", path):
        raise ValueError(f"only data has nested fields; did you mean data.{path}?")
    raise ValueError("not a path such as data.status; use filter for fields with other names")


def _one_or_many(item: dict[str, Any]) -> WithJsonSchema:
    many = {"type": "array", "items": item, "minItems": 1, "maxItems": _MAX_ITEMS}
    return WithJsonSchema({"anyOf": [item, many]})


_TEXT_SCHEMA: Final = {"type": "string", "minLength": 1, "maxLength": _MAX_CHARACTERS}
_SCALAR_SCHEMA: Final = {
    "type": ["string", "number", "boolean", "null"],
    "maxLength": _MAX_CHARACTERS,
}
Patterns = Annotated[
    tuple[Annotated[str, AfterValidator(_check_text)], ...],
    BeforeValidator(_as_list),
    Field(strict=False, min_length=1, max_length=_MAX_ITEMS),
    _one_or_many(_TEXT_SCHEMA),
]
"""One text or a list of texts, in which each * stands for any characters or none."""
Scalars = Annotated[
    tuple[Annotated[JsonValue, AfterValidator(_check_scalar)], ...],
    BeforeValidator(_as_list),
    Field(strict=False, min_length=1, max_length=_MAX_ITEMS),
    _one_or_many(_SCALAR_SCHEMA),
]
"""One value or a list of values that a field may have."""
MatchPath = Annotated[str, AfterValidator(_check_path)]


class EventPattern(Manifest):
    """Conditions about an event. An event matches if all of them hold."""

    type: Patterns | None = Field(
        default=None,
        description="The event's type. `*` stands for any characters. With a list, one of the "
        "patterns must match. Default: any type.",
        examples=["order.*", ["order.paid", "order.refunded"]],
    )
    source: Patterns | None = Field(
        default=None,
        description="The event's source; patterns as in `type`. Default: any source.",
        examples=["/shops/*"],
    )
    subject: Patterns | None = Field(
        default=None,
        description="The event's subject; patterns as in `type`. An event without a subject does "
        "not match. Default: any subject, or none.",
        examples=["invoice-*"],
    )
    match: dict[MatchPath, Scalars] = Field(
        default={},
        description="The values that fields must have, by path. With a list, the field must have "
        "one of the values. A missing field does not match.",
        examples=[{"data.status": ["paid", "refunded"], "data.region": "eu"}],
        json_schema_extra={"propertyNames": {"pattern": f"^({MATCH_PATH.pattern})$"}},
    )
    filter: str | None = Field(
        default=None,
        description="A CEL expression over `event` and `params` that must be true. If it cannot "
        "be evaluated, for example because a field is missing, the event does not match and the "
        "reason is recorded.",
        examples=["event.data.amount > params.threshold"],
    )

    @property
    def names_events(self) -> bool:
        """Whether it has any condition."""
        return bool(self.type or self.source or self.subject or self.match or self.filter)


def check_event_pattern(pattern: EventPattern, params: StaticType) -> list[Finding]:
    """Return what is wrong with the pattern's filter for any event.

    `params` is the result of `params_type`. The other fields are checked when the YAML is read.
    """
    if pattern.filter is None:
        return []
    problems = check_meaning(pattern.filter, {"event": EVENT, "params": params}, CONDITION)
    return [Finding(("filter",), problem.reason, problem.offset) for problem in problems]


def texts_of(patterns: Sequence[str] | None) -> tuple[str, ...]:
    """Return the patterns in order, without duplicates."""
    return tuple(dict.fromkeys(patterns or ()))
