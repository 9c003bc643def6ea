"""Listening: which events a subscription waits for, by its definition and its own overrides.

What is stored may be of another version's shape, or written by hand: what cannot be read of one
trigger is that trigger's fault and nobody else's.
"""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from activityctl.domain.cel.messages import one_line
from activityctl.domain.cel.program import Fault, compiled
from activityctl.domain.events.pattern import EventPattern
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.manifests.definition import DefinitionSpec, TriggerTemplate
from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.manifests.subscription import Subscription, effective_trigger
from activityctl.domain.routing.index import Listener
from activityctl.domain.values.model import JsonValue

KIND = "event"
"""The key of an event trigger in YAML."""
_SPECS_KEPT: Final = 1_000
_UNREADABLE: Final = (ValueError, TypeError, AttributeError, LookupError)
"""What JSON of another shape leads to; pydantic's ValidationError is a ValueError."""
_LONGEST: Final = 200
_SHALLOW: Final = 30
"""Brackets in a filter that is taken apart as it is; one of more has to compile before."""


def listeners_of(
    subscription: str,
    spec: DefinitionSpec,
    params: Mapping[str, Any],
    overrides: Mapping[str, Any],
) -> list[Listener]:
    """Return the event triggers of a subscription, params with their defaults.

    One that cannot be read is among them, with its fault; so is each when the params cannot.
    """
    found = (_listener(subscription, one, overrides) for one in spec.triggers)
    listeners = [one for one in found if one is not None]
    if not listeners:
        return []
    key = spec.concurrency.key
    try:
        filled, fault = fill_defaults(spec.params, params), None
    except _UNREADABLE as error:
        filled, fault = {}, _fault("the params", error)
    return [
        Listener(
            subscription,
            one.trigger,
            one.event,
            filled,
            concurrency_key=key,
            fault=one.fault or fault,
        )
        for one in listeners
    ]


def live_listeners(
    specs: Mapping[str, DefinitionSpec], subscriptions: Iterable[Subscription]
) -> list[tuple[Subscription, Listener]]:
    """Return each event trigger with its subscription; `specs` has the definitions by name."""
    return [
        (subscription, listener)
        for subscription in subscriptions
        for listener in listeners_of(
            subscription.id,
            specs[subscription.definition],
            subscription.params,
            subscription.triggers,
        )
    ]


def stored_listeners(
    subscription: str, spec: str, params: JsonValue, overrides: JsonValue
) -> list[Listener]:
    """Return as `listeners_of` does, all of it as JSON has it; `spec` is the text.

    A definition that cannot be read is the fault of each event trigger that can be made out.
    """
    try:
        return listeners_of(subscription, _spec_of(spec), params, overrides)
    except _UNREADABLE as error:
        fault = _fault("the definition", error)
    names = _names_of(json.loads(spec), overrides)
    return [
        Listener(subscription, name, _fallback_trigger(None), {}, fault=fault) for name in names
    ]


def _listener(
    subscription: str, template: TriggerTemplate, overrides: Mapping[str, Any]
) -> Listener | None:
    body: JsonValue = None
    try:
        trigger = effective_trigger(template, overrides)
        if trigger is None or KIND not in trigger.kinds:
            return None
        body = trigger.body
        return Listener(subscription, template.name, _read(body), {})
    except _UNREADABLE as error:
        if KIND not in template.kinds and not _names_kind(overrides, template.name):
            return None
        fault = _fault("the trigger", error)
        return Listener(subscription, template.name, _fallback_trigger(body), {}, fault=fault)


def _read(body: JsonValue) -> EventTrigger:
    trigger = EventTrigger.model_validate(body)
    for pattern in (trigger, *trigger.parts.values()):
        text = pattern.filter or ""
        if text.count("(") > _SHALLOW and isinstance(found := compiled(text), Fault):
            raise ValueError(f"filter: {found.reason}")
    return trigger


def _fallback_trigger(body: JsonValue) -> EventTrigger:
    """Return a trigger for the types that the body names; for any when that cannot be said."""
    try:
        return EventTrigger(type=EventPattern.model_validate({"type": body["type"]}).type)
    except _UNREADABLE:
        return EventTrigger(type=("*",))


def _names_of(spec: JsonValue, overrides: JsonValue) -> Iterator[str]:
    """Yield the names of what seem to be event triggers."""
    triggers = spec.get("triggers") if isinstance(spec, dict) else None
    for one in triggers if isinstance(triggers, list) else ():
        name = str(one.get("name")) if isinstance(one, dict) else ""
        if name and (KIND in one or _names_kind(overrides, name)):
            yield name


def _names_kind(overrides: JsonValue, name: str) -> bool:
    override = overrides.get(name) if isinstance(overrides, dict) else None
    return isinstance(override, dict) and KIND in override


def _fault(what: str, error: Exception) -> str:
    reason = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        reason = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
    return f"{what} cannot be read: {one_line(reason[:_LONGEST])}"


def faults_of(listeners: Iterable[Listener]) -> list[Listener]:
    """Return those of the listeners that cannot be read."""
    return [one for one in listeners if one.fault is not None]


@functools.lru_cache(maxsize=_SPECS_KEPT)
def _spec_of(text: str) -> DefinitionSpec:
    return DefinitionSpec.model_validate_json(text)
