"""JSON Schema (draft 2020-12) of an event, for senders and editors; `envelope` checks events."""

from typing import Any, Final

from activityctl.domain.events.envelope import (
    KNOWN_ATTRIBUTES,
    MAX_ATTRIBUTE_BYTES,
    MAX_EVENT_BYTES,
    SPEC_VERSION,
)


def _required(description: str, example: str) -> dict[str, Any]:
    return _text(f"{description} At most {MAX_ATTRIBUTE_BYTES:,} bytes.", example) | {
        "type": "string",
        "maxLength": MAX_ATTRIBUTE_BYTES,
    }


def _text(description: str, example: str, **rules: Any) -> dict[str, Any]:
    return {
        "type": ["string", "null"],
        "minLength": 1,
        **rules,
        "description": description,
        "examples": [example],
    }


ENVELOPE_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "EventEnvelope",
    "description": "An event in the structured JSON form of CloudEvents 1.0. "
    f"At most {MAX_EVENT_BYTES:,} bytes.",
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {
            "const": SPEC_VERSION,
            "description": "The version of CloudEvents. `emit` adds it when it is missing.",
        },
        "id": _required(
            "The sender's id, unique within the source. The same source and id is the same event. "
            "`emit` adds a random one when it is missing.",
            "order-42-created",
        ),
        "source": _required("Where the event happened.", "/shops/eu"),
        "type": _required("What kind of event it is.", "order.created"),
        "subject": _text("What the event is about, within the source.", "order/42"),
        "time": _text(
            "When it happened, in RFC 3339. `emit` adds the present time when it is missing.",
            "2026-12-31T18:00:00Z",
            format="date-time",
        ),
        "datacontenttype": _text("The media type of the data.", "application/json"),
        "dataschema": _text("The address of a schema of the data.", "https://shop.example/order"),
        "data": {
            "description": "The payload: any JSON value.",
            "examples": [{"orderId": "42", "amount": 2500}],
        },
        "data_base64": {
            "type": ["string", "null"],
            "contentEncoding": "base64",
            "description": "The payload as bytes, in base64. An event has either data or this.",
            "examples": ["aGVsbG8="],
        },
    },
    "patternProperties": {
        f"^(?!({'|'.join(sorted(KNOWN_ATTRIBUTES))})$)[a-z0-9]+$": {
            "type": ["string", "boolean", "integer", "null"],
            "minimum": -(2**31),
            "maximum": 2**31 - 1,
            "description": "An extension attribute: a string, a boolean or a 32-bit integer.",
        }
    },
    "additionalProperties": False,
    "not": {
        "required": ["data", "data_base64"],
        "properties": {"data": {"not": {"type": "null"}}, "data_base64": {"type": "string"}},
    },
}
