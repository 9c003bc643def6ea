"""What JSON Schema can say of the form of an event trigger, as `check_event_trigger` judges it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from activityctl.domain.events.trigger import FORMS

_Schema = Mapping[str, Any]

_PATTERN: Final = ("type", "source", "subject", "match", "filter")
_OWN_PATTERN: Final = frozenset({"debounce", "batch"})
"""Forms that gather what the trigger's own pattern matches."""
_LISTS: Final = frozenset({"all", "sequence"})
"""Forms whose `key` and `within` stand beside them."""
_BESIDE: Final = ("key", "within")
_EMPTY: Final[_Schema] = {"enum": [None, "", {}]}
NAMES_EVENTS: Final[_Schema] = {
    "anyOf": [{"required": [name], "properties": {name: {"not": _EMPTY}}} for name in _PATTERN]
}
"""A pattern that claims something."""


def one_form() -> dict[str, Any]:
    """Return that a trigger has at most one form, and beside it what belongs to it, no more."""
    plain = [_lacks(FORMS), NAMES_EVENTS, _lacks(_BESIDE)]
    return {"oneOf": [{"allOf": plain}, *({"allOf": _alone(form)} for form in FORMS)]}


def _alone(form: str) -> list[_Schema]:
    others = (other for other in FORMS if other != form)
    return [_is_set(form), _lacks(others), *_beside(form)]


def _beside(form: str) -> list[_Schema]:
    if form in _LISTS:
        return [_lacks(_PATTERN), _is_set("within")]
    if form in _OWN_PATTERN:
        return [NAMES_EVENTS, _lacks(_BESIDE)]
    return [_lacks((*_PATTERN, *_BESIDE))]


def _is_set(name: str) -> _Schema:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _lacks(names: Iterable[str]) -> _Schema:
    """Return that none of these is set, as far as it says anything."""
    return {"properties": dict.fromkeys(names, _EMPTY)}
