"""Explain an event: what each event trigger that lives makes of it, part by part."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
from activityctl.ports import Catalog, EventStore


@dataclass(frozen=True, slots=True)
class Explained:
    """An event and what the triggers make of it now."""

    event: Event
    triggers: tuple[TriggerExplanation, ...]
    """Those that match first, then those that are closest to it."""
    view: View


async def explain_stored(
    catalog: Catalog, events: EventStore, reference: str, subscription: str | None
) -> Explained:
    """Explain an event of the archive, with what was recorded of it when it came.

    Raises what `find_event` and `find_subscription` raise.
    """
    event = await events.find_event(reference)
    listeners = await _listeners(catalog, subscription)
    triggers = explain_listeners(listeners, event.document)
    names: dict[str, str] = {owner.id: owner.name for owner, _ in listeners}
    verdicts = [one for one in await events.verdicts([event.id]) if one.subscription_id in names]
    view = explanation_view(event_details(event), triggers)
    recorded = [verdict_view(one, names[one.subscription_id], None) for one in verdicts]
    return Explained(event.document, tuple(triggers), {**view, "verdicts": recorded})


async def explain_unsent(
    catalog: Catalog, offered: Iterable[ValidEvent], subscription: str | None
) -> list[Explained]:
    """Explain events that nobody has sent yet; nothing is stored."""
    listeners = await _listeners(catalog, subscription)
    return [_explained(one, listeners) for one in offered]


def _explained(
    offered: ValidEvent, listeners: Sequence[tuple[Subscription, Listener]]
) -> Explained:
    document = offered.envelope.document
    triggers = explain_listeners(listeners, document)
    view = {name: document.get(name) for name in ("id", "source", "type", "subject", "time")}
    whole = explanation_view({**view, "event": dict(document)}, triggers)
    return Explained(document, tuple(triggers), whole)


async def _listeners(
    catalog: Catalog, subscription: str | None
) -> list[tuple[Subscription, Listener]]:
    present = await catalog.present()
    if subscription is None:
        owners = [one for name in sorted(present.subscriptions) if (one := present.live(name))]
        return live_listeners(present.specs, owners)
    named = await catalog.find_subscription(subscription)
    owner = present.live(named.name)
    if owner is None:
        raise ConflictError(
            f'subscription "{named.name}" was deleted', hint="apply its manifest again"
        )
    return live_listeners(present.specs, [owner])
