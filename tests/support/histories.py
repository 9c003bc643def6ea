"""Reads the JSON values that a workflow's history holds in Temporal."""

import json
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory


def json_values_in(history: WorkflowHistory) -> list[Any]:
    """Return every JSON value of the history that is not from the SDK."""
    values = [json.loads(payload.data) for payload in payloads(history) if is_json(payload)]
    return [value for value in values if not is_sdk_metadata(value)]


def is_sdk_metadata(value: object) -> bool:
    """Return whether the SDK added the value: numbers of a local activity, or a patch."""
    if not isinstance(value, dict):
        return False
    return ("seq" in value and "result" not in value) or value.keys() == {"id", "deprecated"}


def is_json(payload: Payload) -> bool:
    return payload.metadata["encoding"].startswith(b"json/")


def payloads(history: WorkflowHistory) -> list[Payload]:
    found: list[Payload] = []

    def walk(message: Message) -> None:
        if isinstance(message, Payload):
            found.append(message)
            return
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            if field.message_type.GetOptions().map_entry:
                children = [child for child in value.values() if isinstance(child, Message)]
            else:
                children = list(value) if field.is_repeated else [value]
            for child in children:
                walk(child)

    for event in history.events:
        walk(event)
    return found


def keys(value: object) -> set[str]:
    match value:
        case dict():
            return set(value) | {key for child in value.values() for key in keys(child)}
        case list():
            return {key for child in value for key in keys(child)}
        case _:
            return set()
