"""Reads and writes what workflows and steps pass to one another, in the JSON that the SDK writes.

The SDK takes a large part of a worker's time for that: it copies each value, and looks at the types
of a class again for each of its instances. What has its default is left out here; the SDK and this
module read both forms.
"""

from functools import cache
from types import GenericAlias
from typing import Any, Final

from pydantic import TypeAdapter
from temporalio.api.common.v1 import Payload
from temporalio.converter import JSONPlainPayloadConverter

from activityctl.domain.timing.firing import FiringRef, Ringing
from activityctl.workflows.calls import CallEnd, Orders, Rung, StopOrder, TaskOrder

_TYPES: Final = frozenset({FiringRef, Ringing, CallEnd, Orders, Rung, StopOrder, TaskOrder})
_LISTS: Final = frozenset({*(GenericAlias(list, kind) for kind in _TYPES), list[Orders | None]})
_METADATA: Final = {"encoding": b"json/plain"}


class CallPayloadConverter(JSONPlainPayloadConverter):
    """Converts the types of our calls, and lists of them; all else as the SDK does."""

    def to_payload(self, value: Any) -> Payload | None:
        """Return the value as JSON."""
        kind = _kind(value)
        if kind is None:
            return super().to_payload(value)
        data = _adapter(kind).dump_json(value, exclude_defaults=True)
        return Payload(metadata=_METADATA, data=data)

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Return the value; raise as the SDK does, with another error, for one of another type."""
        if type_hint not in _TYPES and type_hint not in _LISTS:
            return super().from_payload(payload, type_hint)
        return _adapter(type_hint).validate_json(payload.data)


def _kind(value: Any) -> Any:
    """Return the type of the value, if it is one of our calls or a list of one of these."""
    if not isinstance(value, list):
        return type(value) if type(value) in _TYPES else None
    kinds = {type(each) for each in value}
    has_none = type(None) in kinds
    kinds.discard(type(None))
    if len(kinds) != 1 or not kinds <= _TYPES:
        return None
    (kind,) = kinds
    return GenericAlias(list, kind | None if has_none else kind)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
