"""Explain, part by part, whether an event matches each live event trigger."""

import asyncio
from collections.abc import Iterable, Sequence

from activityctl.domain.events.emit_result import ValidEvent
from activityctl.domain.events.json_form import event_details, verdict_view
from activityctl.domain.events.parts import Event
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.routing.explanation import (
    TriggerExplanation,
    explain_listeners,
    explanation_view,
)
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.listeners import live_listeners
from activityctl.domain.values.json_form import View
from activityctl.errors import ConflictError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Catalog, EventStore


@frozen_dataclass
class Explained:
    """An event, and how the triggers of this moment match it."""

    event: Event
    triggers: tuple[TriggerExplanation, ...]
    """Triggers that match come first, then those that come closest to a match."""
    view: View


async def explain_stored(
    catalog: Catalog, events: EventStore, reference: str, subscription: str | None
) -> Explained:
    """Explain a stored event, with the verdicts that were recorded when it was routed.

    Raises what `find_event` and `find_subscription` raise.
    """
    event = await events.find_event(reference)
    listeners = await _listeners(catalog, subscription)
    triggers = explain_listeners(listeners, event.document)
    names: dict[str, str] = {owner.id: owner.name for owner, _ in listeners}
    view = explanation_view(event_details(event), triggers)
    verdicts = [
        verdict_view(verdict, names[verdict.subscription_id], None)
        for verdict in await events.verdicts([event.id])
        if verdict.subscription_id in names
    ]
    return Explained(event.document, tuple(triggers), {**view, "verdicts": verdicts})


async def explain_unsent(
    catalog: Catalog, events: Iterable[ValidEvent], subscription: str | None
) -> list[Explained]:
    """Explain events that are not sent yet; store nothing."""
    listeners = await _listeners(catalog, subscription)
    found = []
    for event in events:
        found.append(_explained(event, listeners))
        await asyncio.sleep(0)  # a server has others to serve
    return found


def _explained(event: ValidEvent, listeners: Sequence[tuple[Subscription, Listener]]) -> Explained:
    document = event.envelope.document
    triggers = explain_listeners(listeners, document)
    view = {name: document.get(name) for name in ("id", "source", "type", "subject", "time")}
    whole = explanation_view({**view, "event": dict(document)}, triggers)
    return Explained(document, tuple(triggers), whole)


async def _listeners(
    catalog: Catalog, subscription: str | None
) -> list[tuple[Subscription, Listener]]:
    present = await catalog.present()
    if subscription is None:
        owners = [live for name in sorted(present.subscriptions) if (live := present.live(name))]
        return live_listeners(present.specs, owners, present.revisions)
    named = await catalog.find_subscription(subscription)
    owner = present.live(named.name)
    if owner is None:
        raise ConflictError(
            f'subscription "{named.name}" was deleted', hint="apply its manifest again"
        )
    return live_listeners(present.specs, [owner], present.revisions)
