"""Makes events of a verified request; `decision` puts the steps in their order."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from activityctl.domain.cel.expression import json_text, render
from activityctl.domain.events.envelope import MAX_EVENT_BYTES, EventEnvelope, envelope_of, fill
from activityctl.domain.sources.refusal import Refusal, RefusalCode
from activityctl.domain.sources.request import WebRequest
from activityctl.domain.sources.spec import EventMapping, EventSourceSpec
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.untrusted import parse_storable_json
from activityctl.errors import ExpressionBudgetError, ExpressionError, InvalidEventError
from activityctl.frozen_dataclass import frozen_dataclass

MAX_EVENTS: Final = 1_000
"""The most events of one request."""
_MOST_CHARACTERS: Final = 16 * 1024 * 1024
"""The size of all events of one request."""
_MAX_DIGITS: Final = 11


@frozen_dataclass
class Mapped:
    """The events of a request."""

    events: tuple[EventEnvelope, ...]
    has_hashed_ids: bool
    """Whether the ids are hashes of the request, because none is mapped."""


class _RefusedError(Exception):
    """The request cannot be mapped."""

    def __init__(self, code: RefusalCode, reason: str) -> None:
        self.refusal = Refusal(code, reason)
        super().__init__(reason)


def map_request(
    name: str, spec: EventSourceSpec, request: WebRequest, scope: JsonValue, now: datetime
) -> Mapped | Refusal:
    """Return the events of a request, or why it cannot be mapped; all events, or none.

    `scope` is what expressions know as `request`.
    """
    mapping = spec.event
    try:
        if mapping.for_each is None:
            scopes: list[dict[str, Any]] = [{"request": scope}]
        else:
            items = _rendered("forEach", mapping.for_each, {"request": scope})
            scopes = [{"request": scope, "item": item} for item in _checked_items(items)]
        default_id = _default_id(spec, request)
        many = mapping.for_each is not None
        events: list[EventEnvelope] = []
        size = 0
        for index, each in enumerate(scopes):
            defaults = {
                "id": f"{default_id}/{index}" if many else default_id,
                "source": f"/v1/sources/{name}",
                "type": f"{name}.received",
            }
            event, characters = _event(mapping, defaults, each, now)
            events.append(event)
            size += characters
            _check_size(size)
    except _RefusedError as refused:
        return refused.refusal
    is_hashed = mapping.id is None and spec.verify.standard_webhooks is None
    return Mapped(tuple(events), is_hashed)


def request_hash(request: WebRequest) -> str:
    """Return a hash of what stays the same when a sender repeats a request.

    These are the method, the query and the bytes of the body. Headers differ from time to time.
    """
    head = f"{request.method}\n{request.query}\n".encode("utf-8", "surrogateescape")
    return f"sha256:{hashlib.sha256(head + request.body).hexdigest()}"


def _default_id(spec: EventSourceSpec, request: WebRequest) -> str:
    standard = spec.verify.standard_webhooks
    message = None if standard is None else request.header(f"{standard.header_prefix}-id")
    return message or request_hash(request)


def _checked_items(items: JsonValue) -> list[JsonValue]:
    if not isinstance(items, list):
        raise _RefusedError(RefusalCode.MAPPING_FAILED, "event.forEach is not a list")
    if len(items) > MAX_EVENTS:
        reason = f"event.forEach has {len(items):,} items; the limit is {MAX_EVENTS:,}"
        raise _RefusedError(RefusalCode.MAPPING_FAILED, reason)
    return items


def _event(
    mapping: EventMapping, defaults: Mapping[str, str], scope: Mapping[str, Any], now: datetime
) -> tuple[EventEnvelope, int]:
    """Return one event and its size in characters."""
    attributes: dict[str, JsonValue] = {}
    for name in ("id", "source", "type", "subject", "time"):
        template = getattr(mapping, name)
        value = defaults.get(name) if template is None else _attribute(name, template, scope)
        if value is not None:
            attributes[name] = value
    if mapping.data is None:
        attributes["data"] = scope["item"] if "item" in scope else scope["request"]["body"]
    else:
        attributes["data"] = _rendered("data", mapping.data, scope)
    value, filled = fill(attributes, now, lambda: defaults["id"])
    try:
        envelope = envelope_of(value, filled)
        text, _ = envelope.serialised
        parse_storable_json(text)
    except InvalidEventError as error:
        reason = f"event.{error.field} {error.reason}"
        raise _RefusedError(RefusalCode.EVENT_INVALID, reason) from None
    except ValueError as error:
        raise _RefusedError(RefusalCode.EVENT_INVALID, f"event.data: {error}") from None
    if len(text.encode()) > MAX_EVENT_BYTES:
        reason = f"the event has more than {MAX_EVENT_BYTES:,} bytes"
        raise _RefusedError(RefusalCode.EVENT_INVALID, reason)
    return envelope, len(text)


def _check_size(characters: int) -> None:
    """Refuse a request whose events repeat its body so often that they fill the memory."""
    if characters > _MOST_CHARACTERS:
        reason = (
            f"the events of the request have more than {_MOST_CHARACTERS:,} characters together"
        )
        raise _RefusedError(RefusalCode.EVENT_INVALID, reason)


def _attribute(name: str, template: str, scope: Mapping[str, Any]) -> str | None:
    """Return the text of an attribute; None to leave it out."""
    value = _rendered(name, template, scope)
    if name == "time":
        value = _time_text(value)
    if value is None and name in {"subject", "time"}:
        return None
    if value is None or isinstance(value, dict | list):
        what = "null" if value is None else "a map" if isinstance(value, dict) else "a list"
        reason = f"event.{name} is {what}, not a text"
        raise _RefusedError(RefusalCode.MAPPING_FAILED, reason)
    return json_text(value)


def _time_text(value: JsonValue) -> JsonValue:
    """Return RFC 3339 for a number of seconds since 1970, and any other value as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if not 0 <= value < 10**_MAX_DIGITS:
        reason = "event.time is a number, but not of seconds since 1970"
        raise _RefusedError(RefusalCode.MAPPING_FAILED, reason)
    return datetime.fromtimestamp(value, UTC).isoformat().replace("+00:00", "Z")


def _rendered(field: str, template: JsonValue, scope: Mapping[str, Any]) -> JsonValue:
    try:
        return render(template, scope)
    except ExpressionBudgetError as error:
        reason = f"event.{field}: {error.message}"
        raise _RefusedError(RefusalCode.EXPRESSION_BUDGET, reason) from None
    except ExpressionError as error:
        reason = f"event.{field}: {error.message}"
        raise _RefusedError(RefusalCode.MAPPING_FAILED, reason) from None
