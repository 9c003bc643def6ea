"""Makes the listeners of a subscription from its definition and its overrides.

Stored JSON may come from another version or be written by hand. A trigger that cannot be read
gets a fault; the other triggers still work.
"""

import contextlib
import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from activityctl.domain.cel.messages import one_line
from activityctl.domain.cel.program import Fault, compiled
from activityctl.domain.chain.reading import TriggerKey, Watch
from activityctl.domain.chain.trigger import ChainTrigger, as_event_trigger
from activityctl.domain.events.pattern import EventPattern
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.manifests.definition import DefinitionSpec, TriggerTemplate
from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.manifests.subscription import Subscription, effective_trigger
from activityctl.domain.routing.index import Listener
from activityctl.domain.values.ids import RevisionId
from activityctl.domain.values.model import JsonValue

KIND = "event"
"""The key of an event trigger in YAML."""
CHAIN: Final = "chain"
Watches = Mapping[str, Watch]
"""The chain triggers of a subscription that have begun, by the trigger's name."""
_SPECS_KEPT: Final = 1_000
_UNREADABLE: Final = (ValueError, TypeError, AttributeError, LookupError)
"""Errors that JSON of another shape raises; pydantic's ValidationError is a ValueError."""
_LONGEST: Final = 200
_MAX_UNCHECKED_BRACKETS: Final = 30
"""A filter with more opening brackets must compile before it is split into clauses."""


def listeners_of(
    subscription: str,
    spec: DefinitionSpec,
    params: Mapping[str, Any],
    overrides: Mapping[str, Any],
    watches: Watches | None = None,
) -> list[Listener]:
    """Return the event and chain triggers of a subscription, with params and their defaults.

    A trigger that cannot be read is included, with its fault. When the params cannot be read,
    every trigger has that fault. With `watches`, chain triggers that have not begun are left out,
    and the others match no log of a block before they began.
    """
    found = (_listener(subscription, template, overrides, watches) for template in spec.triggers)
    listeners = [listener for listener in found if listener is not None]
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
            listener.trigger,
            listener.event,
            filled,
            concurrency_key=key,
            fault=listener.fault or fault,
        )
        for listener in listeners
    ]


def live_listeners(
    specs: Mapping[str, DefinitionSpec],
    subscriptions: Iterable[Subscription],
    revisions: Mapping[str, str],
) -> list[tuple[Subscription, Listener]]:
    """Return each event trigger with its subscription.

    `specs` and `revisions` have the spec and the revision id of each definition, by its name.
    """
    return [
        (subscription, _of_revision(listener, revisions[subscription.definition]))
        for subscription in subscriptions
        for listener in listeners_of(
            subscription.id,
            specs[subscription.definition],
            subscription.params,
            subscription.triggers,
        )
    ]


def stored_listeners(
    subscription: str,
    revision: str,
    spec: str,
    params: JsonValue,
    overrides: JsonValue,
    watches: Watches | None = None,
) -> list[Listener]:
    """Return what `listeners_of` returns, from stored JSON; `spec` is the revision's JSON text.

    When the definition cannot be read, each trigger in it that looks like an event trigger is
    returned with that fault.
    """
    try:
        found = listeners_of(subscription, _spec_of(spec), params, overrides, watches)
        return [_of_revision(listener, revision) for listener in found]
    except _UNREADABLE as error:
        fault = _fault("the definition", error)
    names = _event_trigger_names(json.loads(spec), overrides)
    return [
        Listener(subscription, name, _fallback_trigger(None), {}, fault=fault) for name in names
    ]


def _of_revision(listener: Listener, revision: str) -> Listener:
    return replace(listener, revision_id=RevisionId(revision))


def _listener(
    subscription: str,
    template: TriggerTemplate,
    overrides: Mapping[str, Any],
    watches: Watches | None,
) -> Listener | None:
    body: JsonValue = None
    try:
        trigger = effective_trigger(template, overrides)
        if trigger is not None and trigger.kinds == (CHAIN,):
            return _chain_listener(subscription, trigger, watches)
        if trigger is None or KIND not in trigger.kinds:
            return None
        body = trigger.body
        return Listener(subscription, template.name, _read_trigger(body), {})
    except _UNREADABLE as error:
        is_event = KIND in template.kinds or CHAIN in template.kinds
        if not is_event and not _is_event_override(overrides, template.name):
            return None
        fault = _fault("the trigger", error)
        return Listener(subscription, template.name, _fallback_trigger(body), {}, fault=fault)


def _chain_listener(
    subscription: str, template: TriggerTemplate, watches: Watches | None
) -> Listener | None:
    name = template.name
    trigger = ChainTrigger.model_validate_json(json.dumps(template.body))
    if watches is None:
        return Listener(subscription, name, as_event_trigger(trigger), {})
    watch = watches.get(name)
    if watch is None:
        return None
    event = as_event_trigger(trigger, after=watch.after, scan=watch.scan)
    return Listener(subscription, name, event, {})


def chain_triggers(
    subscription: str, spec: DefinitionSpec, overrides: Mapping[str, Any]
) -> dict[TriggerKey, ChainTrigger]:
    """Return the chain triggers of a subscription that can be read."""
    found: dict[TriggerKey, ChainTrigger] = {}
    for template in spec.triggers:
        with contextlib.suppress(*_UNREADABLE):
            trigger = effective_trigger(template, overrides)
            if trigger is not None and trigger.kinds == (CHAIN,):
                body = json.dumps(trigger.body)
                found[subscription, trigger.name] = ChainTrigger.model_validate_json(body)
    return found


def stored_chain_triggers(
    subscription: str, spec: str, overrides: JsonValue
) -> dict[TriggerKey, ChainTrigger]:
    """Return what `chain_triggers` returns, from stored JSON; nothing if it cannot be read."""
    try:
        return chain_triggers(subscription, _spec_of(spec), overrides)
    except _UNREADABLE:
        return {}


def _read_trigger(body: JsonValue) -> EventTrigger:
    trigger = EventTrigger.model_validate(body)
    for pattern in (trigger, *trigger.parts.values()):
        text = pattern.filter or ""
        if text.count("(") > _MAX_UNCHECKED_BRACKETS and isinstance(found := compiled(text), Fault):
            raise ValueError(f"filter: {found.reason}")
    return trigger


def _fallback_trigger(body: JsonValue) -> EventTrigger:
    """Return a trigger with the types in the body; with any type if they cannot be read."""
    try:
        return EventTrigger(type=EventPattern.model_validate({"type": body["type"]}).type)
    except _UNREADABLE:
        return EventTrigger(type=("*",))


def _event_trigger_names(spec: JsonValue, overrides: JsonValue) -> Iterator[str]:
    """Yield the names of the triggers that look like event triggers."""
    triggers = spec.get("triggers") if isinstance(spec, dict) else None
    for trigger in triggers if isinstance(triggers, list) else ():
        name = str(trigger.get("name")) if isinstance(trigger, dict) else ""
        if name and (KIND in trigger or CHAIN in trigger or _is_event_override(overrides, name)):
            yield name


def _is_event_override(overrides: JsonValue, name: str) -> bool:
    override = overrides.get(name) if isinstance(overrides, dict) else None
    return isinstance(override, dict) and (KIND in override or CHAIN in override)


def _fault(what: str, error: Exception) -> str:
    reason = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        reason = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
    return f"{what} cannot be read: {one_line(reason[:_LONGEST])}"


def faults_of(listeners: Iterable[Listener]) -> list[Listener]:
    """Return the listeners that cannot be read."""
    return [listener for listener in listeners if listener.fault is not None]


@functools.lru_cache(maxsize=_SPECS_KEPT)
def _spec_of(text: str) -> DefinitionSpec:
    return DefinitionSpec.model_validate_json(text)
