"""Change what a subscription keeps for its next run, and record who did it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from activityctl.domain.gitops.history import Origin
from activityctl.domain.gitops.plan import STATE_CHANGED, Recorded, live_document
from activityctl.domain.manifests.document import FieldChange, value_differences
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ConflictError, NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Catalog

_TRIES: Final = 5
"""A run may store its own state between reading and writing, but not so often."""

State = Mapping[str, JsonValue]


@frozen_dataclass
class StateChange:
    """What differs between the state before and after; nothing if they are equal."""

    subscription: Subscription
    state: State
    fields: tuple[FieldChange, ...]


def with_values(values: State) -> Callable[[State], State]:
    """Return a change that sets these keys and leaves the others alone."""
    return lambda before: {**before, **values}


def without_keys(keys: Sequence[str]) -> Callable[[State], State]:
    """Return a change that removes these keys, or all if none is given.

    The change raises NotFoundError for a key that the state does not have.
    """

    def change(before: State) -> State:
        for key in keys:
            if key not in before:
                known = ", ".join(before) or "none"
                raise NotFoundError("key of the state", key, hint=f"keys: {known}")
        return {key: value for key, value in before.items() if keys and key not in keys}

    return change


async def preview_state(
    catalog: Catalog, reference: str, change: Callable[[State], State]
) -> StateChange:
    """Return what the change would do; ConflictError for a deleted subscription."""
    found = await catalog.find_subscription(reference)
    if found.status is SubscriptionStatus.DELETED:
        raise ConflictError(
            f'subscription "{found.name}" was deleted', hint="apply its manifest again"
        )
    after = change(found.state)
    fields = value_differences("state", found.state, dict(after))
    return StateChange(found, after, tuple(each for each in fields if each.path != "state"))


async def change_state(
    catalog: Catalog,
    reference: str,
    change: Callable[[State], State],
    clock: Callable[[], datetime],
    origin: Origin,
) -> StateChange:
    """Change the state and record it in the subscription's history; return what differs.

    A change that changes nothing is not recorded. If a run stores its own state meanwhile, the
    change is made to that. `origin.command` says which command it was.
    """
    for _ in range(_TRIES):
        found = await preview_state(catalog, reference, change)
        if not found.fields:
            return found
        owner = found.subscription
        document = live_document(owner)
        recorded = Recorded("Subscription", owner.name, STATE_CHANGED, found.fields, document, None)
        if await catalog.replace_state(owner, found.state, recorded, clock(), origin):
            return found
    raise ConflictError(
        f"the state of subscription {reference} keeps changing",
        hint=f"activityctl pause {reference}, and try again when its runs have ended",
    )
