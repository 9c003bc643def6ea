"""What a workflow's history tells whoever reads it in Temporal."""

import json
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory


def told_in(history: WorkflowHistory) -> list[Any]:
    """Every JSON value of ours that the history holds."""
    values = [json.loads(one.data) for one in payloads(history) if is_json(one)]
    return [value for value in values if not is_the_sdks_own(value)]


def is_the_sdks_own(value: object) -> bool:
    """What the SDK notes beside the result of a local activity: times and numbers."""
    return isinstance(value, dict) and "seq" in value and "result" not in value


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
                children = [one for one in value.values() if isinstance(one, Message)]
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
