"""Documents: an object as clean YAML would have it, and how two of them differ field by field."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from activityctl.domain.manifests.calendar import count_days, subtract_days
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.manifests.subscription import SubscriptionSpec
from activityctl.domain.values.json_form import API_VERSION
from activityctl.domain.values.model import JsonValue, canonical
from activityctl.domain.values.moment import DaySpan

Document = dict[str, JsonValue]

_PLAIN: Final = re.compile(r"[\w-]+")
_MOST_DAYS: Final = 20
"""Changes of a calendar's days that are shown one by one."""


class Absent:
    """The value of a field that a document does not have."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs; the path names list items by their `name` where they have one.

    What is no plain word is quoted in it, so that no two places have the same path.
    """

    path: str
    old: JsonValue | Absent
    new: JsonValue | Absent


def definition_document(metadata: Metadata, spec: DefinitionSpec) -> Document:
    """Return a definition as YAML that applies unchanged; defaults are left out."""
    return _document("ActivityDefinition", metadata, canonical(spec))


def subscription_document(metadata: Metadata, spec: SubscriptionSpec) -> Document:
    """Return a subscription as YAML that applies unchanged; defaults are left out."""
    return _document("Subscription", metadata, canonical(spec))


def calendar_document(metadata: Metadata, days: Iterable[DaySpan]) -> Document:
    """Return a calendar as YAML that applies unchanged, its days written out."""
    return _document("Calendar", metadata, {"days": [str(span) for span in days]})


def _document(kind: str, metadata: Metadata, spec: Document) -> Document:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": canonical(metadata),
        "spec": spec,
    }


def differences(old: Document | None, new: Document | None) -> tuple[FieldChange, ...]:
    """Return the fields that differ, in the order of the new document, removed ones last."""
    before = dict(_leaves("", _content(old)))
    after = dict(_leaves("", _content(new)))
    changed = [
        FieldChange(path, before.get(path, ABSENT), value)
        for path, value in after.items()
        if path not in before or not is_same_json(before[path], value)
    ]
    removed = [
        FieldChange(path, value, ABSENT) for path, value in before.items() if path not in after
    ]
    return tuple(changed + removed)


def day_differences(old: tuple[DaySpan, ...], new: tuple[DaySpan, ...]) -> tuple[FieldChange, ...]:
    """Return the days that two calendars differ by, in their order; many end in a count."""
    found = [(span, FieldChange(_day(span), str(span), ABSENT)) for span in subtract_days(old, new)]
    found += [
        (span, FieldChange(_day(span), ABSENT, str(span))) for span in subtract_days(new, old)
    ]
    changes = [change for _, change in sorted(found, key=lambda one: one[0])]
    more = len(changes) - _MOST_DAYS
    if more > 0:
        path = f"spec.days (number of days; {more} more changes)"
        changes[_MOST_DAYS:] = [FieldChange(path, count_days(old), count_days(new))]
    return tuple(changes)


def _day(span: DaySpan) -> str:
    return f"spec.days[{span}]"


def aligned(document: JsonValue, like: JsonValue) -> JsonValue:
    """Return the document with its keys in the order of another one; new keys come last.

    Numbers are written as there, too: Postgres keeps neither the order of keys nor the form
    of a number, and a diff should not show what is none.
    """
    if isinstance(document, dict) and isinstance(like, dict):
        keys = [key for key in like if key in document]
        keys += [key for key in document if key not in like]
        return {key: aligned(document[key], like.get(key)) for key in keys}
    if isinstance(document, list) and isinstance(like, list):
        others = [*like, *([None] * len(document))]
        return [aligned(item, other) for item, other in zip(document, others, strict=False)]
    return like if is_same_json(document, like) else document


def field_view(change: FieldChange) -> dict[str, JsonValue]:
    """Return a field's change as JSON; an absent value has no key."""
    values = {"old": change.old, "new": change.new}
    shown = {key: value for key, value in values.items() if not isinstance(value, Absent)}
    return {"path": change.path, **shown}


def _content(document: Document | None) -> Mapping[str, Any]:
    if document is None:
        return {}
    metadata = {key: value for key, value in document["metadata"].items() if key != "name"}
    return {**({"metadata": metadata} if metadata else {}), "spec": document["spec"]}


def is_same_json(one: JsonValue, other: JsonValue) -> bool:
    """Compare as JSON does: `true` is not 1, though Python's True is; 1.0 is 1.

    A float is what its double says: jsonb gives 1e300 back as an integer of 301 digits.
    """
    match one:
        case dict():
            return (
                isinstance(other, dict)
                and one.keys() == other.keys()
                and all(is_same_json(value, other[key]) for key, value in one.items())
            )
        case list():
            return (
                isinstance(other, list)
                and len(one) == len(other)
                and all(map(is_same_json, one, other))
            )
        case _:
            if isinstance(one, bool) is not isinstance(other, bool):
                return False
            return bool(one == other) or _is_same_double(one, other)


def _is_same_double(one: JsonValue, other: JsonValue) -> bool:
    numbers = (int, float)
    if not isinstance(one, numbers) or not isinstance(other, numbers):
        return False
    if not isinstance(one, float) and not isinstance(other, float):
        return False
    try:
        return float(one) == float(other)
    except OverflowError:
        return False


def _leaves(path: str, value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, dict) and (value or not path):
        for key, child in value.items():
            yield from _leaves(_inside(path, key), child)
    elif isinstance(value, list) and value and _is_named(value):
        names = [item["name"] for item in value]
        if len(names) > 1:
            yield f"{path} (order)", names
        for item in value:
            rest = {key: child for key, child in item.items() if key != "name"}
            yield from _leaves(f"{path}[{_word(item['name'], 'name=')}]", rest)
    else:
        yield path, value


def _inside(path: str, key: str) -> str:
    if not path:
        return key
    return f"{path}.{key}" if _PLAIN.fullmatch(key) else f"{path}[{_word(key)}]"


def _word(text: str, mark: str = "") -> str:
    """Return a plain word as it is, anything else quoted and marked."""
    if _PLAIN.fullmatch(text):
        return text
    return mark + json.dumps(text, ensure_ascii=False)


def _is_named(items: list[JsonValue]) -> bool:
    names = [item.get("name") for item in items if isinstance(item, dict)]
    return (
        len(names) == len(items)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
    )
