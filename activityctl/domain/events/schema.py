"""JSON Schema rules for the forms of an event trigger, as far as JSON Schema can express them.

`check_event_trigger` checks the same rules on the model.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from activityctl.domain.events.trigger import FORMS

_Schema = Mapping[str, Any]

_PATTERN: Final = ("type", "source", "subject", "match", "filter")
_OWN_PATTERN: Final = frozenset({"debounce", "batch"})
"""Forms that gather the events that the trigger's own pattern matches."""
_LISTS: Final = frozenset({"all", "sequence"})
"""Forms whose `key` and `within` are fields of the trigger, not of the form."""
_LIST_FIELDS: Final = ("key", "within")
_EMPTY: Final[_Schema] = {"enum": [None, "", {}]}
NAMES_EVENTS: Final[_Schema] = {
    "anyOf": [{"required": [name], "properties": {name: {"not": _EMPTY}}} for name in _PATTERN]
}
"""The schema of a pattern with at least one condition."""


def one_form() -> dict[str, Any]:
    """Return the schema of a trigger with at most one form and only the fields of that form."""
    plain = [_unset(FORMS), NAMES_EVENTS, _unset(_LIST_FIELDS)]
    return {"oneOf": [{"allOf": plain}, *({"allOf": _only(form)} for form in FORMS)]}


def _only(form: str) -> list[_Schema]:
    others = (other for other in FORMS if other != form)
    return [_set(form), _unset(others), *_other_fields(form)]


def _other_fields(form: str) -> list[_Schema]:
    if form in _LISTS:
        return [_unset(_PATTERN), _set("within")]
    if form in _OWN_PATTERN:
        return [NAMES_EVENTS, _unset(_LIST_FIELDS)]
    return [_unset((*_PATTERN, *_LIST_FIELDS))]


def _set(name: str) -> _Schema:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _unset(names: Iterable[str]) -> _Schema:
    """Return the schema of an object in which these fields are absent or empty."""
    return {"properties": dict.fromkeys(names, _EMPTY)}
