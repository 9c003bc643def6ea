"""Documents: objects in the form of clean YAML, and the field changes between two of them."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from activityctl.domain.bodies.secret_texts import mask_literals
from activityctl.domain.manifests.calendar import count_days, subtract_days
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.manifests.subscription import SubscriptionSpec
from activityctl.domain.sources.spec import EventSourceSpec
from activityctl.domain.values.json_form import API_VERSION
from activityctl.domain.values.model import JsonValue, canonical
from activityctl.domain.values.moment import DaySpan
from activityctl.frozen_dataclass import frozen_dataclass

Document = dict[str, JsonValue]

_NAMES_IN_PATH: Final = re.compile(r"""(?:^|\.)([\w-]+)|\["((?:[^"\\]|\\.)*)"\]""")
_PLAIN: Final = re.compile(r"[\w-]+")
_MOST_DAYS: Final = 20
"""How many changes of a calendar's days are shown one by one."""


class Absent:
    """The value of a field that a document does not have."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = Absent()


@frozen_dataclass
class FieldChange:
    """One field that differs between two documents.

    The path names list items by their `name` if they have one. A key that is no plain word is
    quoted, so that no two fields have the same path.
    """

    path: str
    old: JsonValue | Absent
    new: JsonValue | Absent


def definition_document(metadata: Metadata, spec: DefinitionSpec) -> Document:
    """Return the document of a definition, which can be applied unchanged; without defaults."""
    return _document("ActivityDefinition", metadata, canonical(spec))


def subscription_document(metadata: Metadata, spec: SubscriptionSpec) -> Document:
    """Return the document of a subscription, which can be applied unchanged; without defaults."""
    return _document("Subscription", metadata, canonical(spec))


def calendar_document(metadata: Metadata, days: Iterable[DaySpan]) -> Document:
    """Return the document of a calendar, which can be applied unchanged; all days written out."""
    return _document("Calendar", metadata, {"days": [str(span) for span in days]})


def source_document(metadata: Metadata, spec: EventSourceSpec) -> Document:
    """Return the document of an event source, which can be applied unchanged; without defaults."""
    return _document("EventSource", metadata, canonical(spec))


def _document(kind: str, metadata: Metadata, spec: Document) -> Document:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": canonical(metadata),
        "spec": spec,
    }


def differences(old: Document | None, new: Document | None) -> tuple[FieldChange, ...]:
    """Return the fields that differ, in the order of the new document, removed fields last."""
    return value_differences("", dict(_content(old)), dict(_content(new)))


def value_differences(path: str, old: JsonValue, new: JsonValue) -> tuple[FieldChange, ...]:
    """Return the fields below the path that differ between two values, removed ones last."""
    before, after = dict(_leaves(path, old)), dict(_leaves(path, new))
    changed = [
        FieldChange(key, before.get(key, ABSENT), value)
        for key, value in after.items()
        if key not in before or not is_same_json(before[key], value)
    ]
    removed = [FieldChange(key, value, ABSENT) for key, value in before.items() if key not in after]
    return tuple(changed + removed)


def day_differences(old: tuple[DaySpan, ...], new: tuple[DaySpan, ...]) -> tuple[FieldChange, ...]:
    """Return the removed and added days of a calendar, in order.

    After the first 20 changes, one last change has the number of the other changes in its path
    and the numbers of days as its values.
    """
    removed, added = subtract_days(old, new), subtract_days(new, old)
    by_span = [
        *((span, FieldChange(_day_path(span), str(span), ABSENT)) for span in removed),
        *((span, FieldChange(_day_path(span), ABSENT, str(span))) for span in added),
    ]
    changes = [change for _, change in sorted(by_span, key=lambda pair: pair[0])]
    more = len(changes) - _MOST_DAYS
    if more > 0:
        path = f"spec.days (number of days; {more} more changes)"
        changes[_MOST_DAYS:] = [FieldChange(path, count_days(old), count_days(new))]
    return tuple(changes)


def _day_path(span: DaySpan) -> str:
    return f"spec.days[{span}]"


def aligned(document: JsonValue, like: JsonValue) -> JsonValue:
    """Return the document with its keys in the order of another document; new keys come last.

    Equal numbers are written as in the other document, too. Postgres keeps neither the order of
    keys nor the form of a number, and a diff should show only real changes.
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
    """Return the JSON form of a change; an absent value has no key, secrets are masked."""
    values = {"old": change.old, "new": change.new}
    keys = _keys_of(change.path)
    shown = {
        key: mask_literals(value, keys)
        for key, value in values.items()
        if not isinstance(value, Absent)
    }
    return {"path": change.path, **shown}


def masked_field_views(views: Iterable[Mapping[str, JsonValue]]) -> list[dict[str, JsonValue]]:
    """Return stored JSON forms of changes with secrets masked: old versions stored them."""
    return [
        {
            key: value if key == "path" else mask_literals(value, _keys_of(view["path"]))
            for key, value in view.items()
        }
        for view in views
    ]


def _keys_of(path: str) -> tuple[str, ...]:
    """Return the names in the path of a change, without the names of list items."""
    return tuple(plain or quoted for plain, quoted in _NAMES_IN_PATH.findall(path))


def _content(document: Document | None) -> Mapping[str, Any]:
    if document is None:
        return {}
    metadata = {key: value for key, value in document["metadata"].items() if key != "name"}
    return {**({"metadata": metadata} if metadata else {}), "spec": document["spec"]}


def is_same_json(left: JsonValue, right: JsonValue) -> bool:
    """Whether two values are the same JSON: 1.0 equals 1, but `true` does not equal 1.

    A float equals an integer with the same double, because jsonb returns 1e300 as an integer of
    301 digits.
    """
    match left:
        case dict():
            return (
                isinstance(right, dict)
                and left.keys() == right.keys()
                and all(is_same_json(value, right[key]) for key, value in left.items())
            )
        case list():
            return (
                isinstance(right, list)
                and len(left) == len(right)
                and all(map(is_same_json, left, right))
            )
        case _:
            if isinstance(left, bool) is not isinstance(right, bool):
                return False
            return bool(left == right) or _is_same_double(left, right)


def _is_same_double(left: JsonValue, right: JsonValue) -> bool:
    numbers = (int, float)
    if not isinstance(left, numbers) or not isinstance(right, numbers):
        return False
    if not isinstance(left, float) and not isinstance(right, float):
        return False
    try:
        return float(left) == float(right)
    except OverflowError:
        return False


def _leaves(path: str, value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, dict) and (value or not path):
        for key, child in value.items():
            yield from _leaves(_child_path(path, key), child)
    elif isinstance(value, list) and value and _is_named(value):
        names = [item["name"] for item in value]
        if len(names) > 1:
            yield f"{path} (order)", names
        for item in value:
            rest = {key: child for key, child in item.items() if key != "name"}
            yield from _leaves(f"{path}[{_quoted(item['name'], 'name=')}]", rest)
    else:
        yield path, value


def _child_path(path: str, key: str) -> str:
    if not path:
        return key
    return f"{path}.{key}" if _PLAIN.fullmatch(key) else f"{path}[{_quoted(key)}]"


def _quoted(text: str, prefix: str = "") -> str:
    """Return a plain word unchanged, any other text in quotes after the prefix."""
    if _PLAIN.fullmatch(text):
        return text
    return prefix + json.dumps(text, ensure_ascii=False)


def _is_named(items: list[JsonValue]) -> bool:
    names = [item.get("name") for item in items if isinstance(item, dict)]
    return (
        len(names) == len(items)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
    )
