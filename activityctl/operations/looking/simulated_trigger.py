"""What would cause a simulated trigger: a run of the past, a saved event, or now."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from activityctl.domain.chain.hook_payloads import request_id
from activityctl.domain.chain.simulation import SimulatedTrigger
from activityctl.domain.manifests.calling_tasks import WEBHOOK
from activityctl.domain.manifests.definition import DefinitionSpec, TriggerTemplate
from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.manifests.subscription import Subscription, effective_triggers
from activityctl.domain.manifests.task_tree import template_path, templates_by_path
from activityctl.domain.routing.index import Listener, match_listener
from activityctl.domain.routing.listeners import listeners_of
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ConflictError, NotFoundError, UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Catalog, RunLists, RunStore

_OF_EVENTS: Final = frozenset({"event", "chain"})
_BY_HAND: Final = "manual"


@frozen_dataclass
class SimulatedCase:
    """A `webhook` task of a subscription's definition, and what would cause it."""

    owner: Subscription
    task: str
    body: JsonValue
    """As it is written in the definition."""
    trigger: SimulatedTrigger


async def subscription_to_simulate(
    catalog: Catalog, reference: str
) -> tuple[Subscription, DefinitionSpec]:
    """Return the live subscription and its definition, as it is now."""
    owner = await catalog.find_subscription(reference)
    present = await catalog.present()
    found = present.definitions.get(owner.definition)
    if found is None:
        raise NotFoundError("definition", owner.definition, hint="activityctl get definitions")
    return owner, found.spec


def webhook_task(spec: DefinitionSpec, named: str | None) -> str:
    """Return the name of the `webhook` task; UsageError if it is not clear which one."""
    found = [path for path, each in templates_by_path(spec).items() if WEBHOOK in each.kinds]
    if named is not None and named in found:
        return named
    if not found:
        raise UsageError("the definition has no webhook task, so there is nothing to simulate")
    listed = ", ".join(found)
    if named is not None:
        raise UsageError(f"there is no webhook task {named!r}", hint=f"its tasks: {listed}")
    if len(found) > 1:
        raise UsageError("the definition has several webhook tasks", hint=f"--task: {listed}")
    return found[0]


async def trigger_of_run(
    lists: RunLists, runs: RunStore, reference: str, owner: Subscription, task: str
) -> SimulatedTrigger:
    """Return what has caused a run, with the request id that the task had in it."""
    run = await lists.find_run(reference)
    state = await runs.load(run.id)
    if state is None:
        raise ConflictError(f"run {run.id} is not open yet", hint="wait for it, or leave --run out")
    run = state.run
    if run.subscription_id != owner.id:
        raise UsageError(f"run {run.id} is of the subscription {run.subscription}")
    kinds = {trigger.name: trigger.kind for trigger in state.spec.triggers}
    rows = [each for each in state.tasks if template_path(each.name) == task]
    key = (rows[0].idempotency_key or rows[0].id) if rows else None
    return SimulatedTrigger(
        run.trigger,
        kinds.get(run.trigger),
        run.due_at,
        run.params,
        run.events[-1] if run.events else None,
        None if key is None else request_id(key, run.due_at),
    )


def trigger_now(
    owner: Subscription, spec: DefinitionSpec, name: str | None, now: datetime
) -> SimulatedTrigger:
    """Return a trigger that is due now: the named one, else the first that goes by the time."""
    triggers = effective_triggers(spec, owner.triggers)
    params = fill_defaults(spec.params, owner.params)
    if name is not None:
        chosen = _named(triggers, name)
        if chosen.kind in _OF_EVENTS:
            hint = "--event FILE gives its event, --run RUN that of a run"
            raise UsageError(f"trigger {name} fires by events", hint=hint)
        return SimulatedTrigger(chosen.name, chosen.kind, now, params)
    timed = [trigger for trigger in triggers if trigger.kind not in _OF_EVENTS]
    if timed:
        return SimulatedTrigger(timed[0].name, timed[0].kind, now, params)
    return SimulatedTrigger(_BY_HAND, None, now, params)


def trigger_of_event(
    owner: Subscription,
    spec: DefinitionSpec,
    name: str | None,
    event: Mapping[str, Any],
    now: datetime,
) -> tuple[SimulatedTrigger, str | None]:
    """Return the trigger that an event fires, and why it does not if none does.

    Then it is the named one, or the first that fires by events.
    """
    triggers = effective_triggers(spec, owner.triggers)
    if name is not None:
        _named(triggers, name)
    kinds = {trigger.name: trigger.kind for trigger in triggers if trigger.kind in _OF_EVENTS}
    listeners = [
        listener
        for listener in listeners_of(owner.id, spec, owner.params, owner.triggers)
        if name in {None, listener.trigger}
    ]
    if not listeners:
        raise UsageError("no such trigger of the subscription fires by events")
    reasons = [(listener.trigger, _reason(listener, event)) for listener in listeners]
    chosen, reason = next((each for each in reasons if each[1] is None), reasons[0])
    trigger = SimulatedTrigger(chosen, kinds.get(chosen), now, event=event)
    params = fill_defaults(spec.params, owner.params)
    return replace(trigger, params=params), reason


def _reason(listener: Listener, event: Mapping[str, Any]) -> str | None:
    """Return why the event does not match; None if it does."""
    found = [match_listener(part, dict(event)) for part in listener.each_part()]
    if any(match.matched for match in found):
        return None
    return found[0].reason or "it does not match"


def _named(triggers: Sequence[TriggerTemplate], name: str) -> TriggerTemplate:
    for trigger in triggers:
        if trigger.name == name:
            return trigger
    listed = ", ".join(trigger.name for trigger in triggers)
    raise UsageError(f"there is no trigger {name!r}", hint=f"its triggers: {listed or 'none'}")
