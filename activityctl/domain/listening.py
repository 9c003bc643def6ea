"""Listening: which events a subscription waits for, by its definition and its own overrides."""

from collections.abc import Mapping
from typing import Any

from activityctl.domain.definition import DefinitionSpec
from activityctl.domain.event_trigger import EventTrigger
from activityctl.domain.match_index import Listener
from activityctl.domain.params import fill_defaults
from activityctl.domain.subscription import effective_triggers

KIND = "event"
"""The key of an event trigger in YAML."""


def listeners_of(
    subscription: str,
    spec: DefinitionSpec,
    params: Mapping[str, Any],
    overrides: Mapping[str, Any],
) -> list[Listener]:
    """Return the event triggers of a subscription, params with their defaults.

    Pydantic's ValidationError when what was stored is of another version's shape.
    """
    triggers = effective_triggers(spec, dict(overrides))
    bodies = [(one.name, one.body) for one in triggers if one.kind == KIND]
    if not bodies:
        return []
    filled = fill_defaults(spec.params, params)
    key = spec.concurrency.key
    return [
        Listener(subscription, name, EventTrigger.model_validate(body), filled, concurrency_key=key)
        for name, body in bodies
    ]
