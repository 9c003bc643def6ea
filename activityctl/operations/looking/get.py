"""Read pages of objects, objects by their names, and one object with what belongs to it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from activityctl.domain.events.json_form import event_details
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.json_form import run_details
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection
from activityctl.errors import (
    CANDIDATES_TOLD,
    AmbiguousError,
    ConflictError,
    NotFoundError,
    UsageError,
)
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.cursors import (
    PAGED,
    Places,
    cursor_after,
    key_of,
    views_after,
)
from activityctl.operations.looking.filters import given_filters
from activityctl.operations.looking.kinds import Kind, singular
from activityctl.operations.looking.object_lists import ObjectLists
from activityctl.operations.looking.read_ports import ReadPorts
from activityctl.operations.looking.related_objects import RelatedObjects
from activityctl.operations.looking.relayers import ReadRelayers, no_relayers

_OWN_KINDS: Final[Mapping[Kind, str]] = {"tasks": "taskKind", "schedules": "triggerKind"}
"""Where `describe` shows the kind of these, because `kind` is the kind of the object."""
_FOUND_ALONE: Final = frozenset({"subscriptions", "runs", "events"})
"""Kinds of which a name selects one object, whatever the filters say."""


@frozen_dataclass
class Page:
    """The objects of a list, and whether there are more than its limit."""

    views: list[View]
    has_more: bool
    cursor: str | None = None
    """Where the next page begins; None if there is none."""


class ObjectViews:
    """Reads objects of every kind in their JSON form."""

    def __init__(self, ports: ReadPorts, relayers: ReadRelayers = no_relayers) -> None:
        self._ports = ports
        self._objects = ObjectLists(ports, relayers)
        self._places = Places(ports.run_lists, ports.events, ports.audit)
        self._related = RelatedObjects(self._objects, ports)

    async def page(
        self, kind: Kind, name: str | None, selection: Selection, cursor: str | None = None
    ) -> Page:
        """Return the selected objects, by name if given; raises what they raise.

        A cursor goes on after the page that has returned it. Raises UsageError if it is none.
        """
        limit = selection.limit
        one_more = replace(selection, limit=None if limit is None else limit + 1)
        if cursor is not None:
            found = await self._after(kind, name, one_more, key_of(kind, cursor))
        elif name is None:
            found = await self._objects.listed(kind, one_more)
        else:
            found = await self.named(kind, name, one_more)
        if limit is None or len(found) <= limit:
            return Page(found, has_more=False)
        return Page(found[:limit], True, cursor_after(kind, found[limit - 1]))

    async def _after(
        self, kind: Kind, name: str | None, selection: Selection, key: str
    ) -> list[View]:
        if kind in PAGED and name is None:
            place = await self._places.after(kind, key)
            return await self._objects.listed(kind, replace(selection, after=place))
        whole = replace(selection, limit=None)
        if name is None:
            views = await self._objects.listed(kind, whole)
        else:
            views = await self.named(kind, name, whole)
        return views_after(views, key)[: selection.limit]

    async def subscription_views(self, subscriptions: Sequence[Subscription]) -> list[View]:
        """Return the views of subscriptions that were read."""
        return await self._objects.subscription_views(subscriptions)

    async def named(self, kind: Kind, name: str, selection: Selection) -> list[View]:
        """Return the objects with that name, id or start of an id; NotFoundError for none.

        For schedules and dead letters the name is that of their subscription.
        """
        if kind in _FOUND_ALONE and (given := given_filters(selection)):
            raise UsageError(f"a name and {given[0]} cannot be combined", hint="give one of them")
        match kind:
            case "subscriptions":
                return await self._objects.subscription_views(
                    [await self._ports.catalog.find_subscription(name)]
                )
            case "runs":
                return [run_details(await self._ports.run_lists.find_run(name))]
            case "events":
                return [event_details(await self._ports.events.find_event(name))]
            case "schedules":
                return await self._schedules_named(name, selection)
            case "deadletters":
                return await self._dead_letters_named(name, selection)
            case (
                "definitions"
                | "calendars"
                | "sources"
                | "revisions"
                | "tasks"
                | "workers"
                | "breakers"
                | "limits"
                | "sets"
                | "audit"
                | "chains"
                | "relayers"
            ):
                found = await self._objects.listed(kind, replace(selection, name=name))
                if not found:
                    raise NotFoundError(singular(kind), name, hint=f"activityctl get {kind}")
                return found

    async def _schedules_named(self, name: str, selection: Selection) -> list[View]:
        """Return the schedules of `SUBSCRIPTION`, or the one of `SUBSCRIPTION/TRIGGER`."""
        reference, _, trigger = name.partition("/")
        owner = await self._ports.catalog.find_subscription(reference)
        owned = replace(selection, subscription_id=owner.id, limit=None)
        found = [
            view
            for view in await self._objects.listed("schedules", owned)
            if not trigger or view["trigger"] == trigger
        ]
        if trigger and not found:
            raise NotFoundError("schedule", name, hint=f"activityctl get schedules {owner.name}")
        return found[: selection.limit]

    async def _dead_letters_named(self, name: str, selection: Selection) -> list[View]:
        """Return the dead letters of a subscription or run, or those whose id begins like this.

        The name of a subscription comes first: it may look like the beginning of an id.
        """
        owner = await self._subscription_or_none(name)
        if owner is None or owner.name != name:
            found = await self._objects.listed("deadletters", replace(selection, name=name))
            found = found or await self._dead_letters_of_run(name, selection)
            if found:
                return found
        if owner is None:
            raise NotFoundError("deadletter", name, hint="activityctl get deadletters")
        return await self._objects.listed(
            "deadletters", replace(selection, subscription_id=owner.id)
        )

    async def _dead_letters_of_run(self, name: str, selection: Selection) -> list[View]:
        try:
            run = await self._ports.run_lists.find_run(name)
        except (NotFoundError, ConflictError):
            return []
        return await self._objects.listed("deadletters", replace(selection, run_id=run.id))

    async def _subscription_or_none(self, name: str) -> Subscription | None:
        try:
            return await self._ports.catalog.find_subscription(name)
        except (NotFoundError, ConflictError):
            return None

    async def describe(self, kind: Kind, name: str) -> View:
        """Return one object with its related objects, such as the tasks of a run.

        A task says its own kind in `taskKind`, a schedule in `triggerKind`, because `kind` is
        the kind of the object. ConflictError if the name means several objects.
        """
        view = await self._one(kind, name)
        own = {_OWN_KINDS.get(kind, key) if key == "kind" else key: view[key] for key in view}
        return {**own, **await self._related.of(kind, view)}

    async def describe_subscription(self, owner: Subscription) -> View:
        """Return what `describe` returns of a subscription that was read."""
        owned = {"id": owner.id, "definition": owner.definition, "params": owner.params}
        views, related = await asyncio.gather(
            self._objects.subscription_views([owner]), self._related.of("subscriptions", owned)
        )
        return {**views[0], **related}

    async def _one(self, kind: Kind, name: str) -> View:
        """Return the object of that name; of a revision's or dead letter's owner the newest."""
        found = await self.named(kind, name, Selection(limit=CANDIDATES_TOLD + 1))
        if not found:
            raise NotFoundError(singular(kind), name, hint=f"activityctl get {kind}")
        if len(found) > 1 and kind == "schedules":
            names = ", ".join(f"{view['subscription']}/{view['trigger']}" for view in found)
            raise ConflictError(f"{name} has several schedules", hint=f"name one, such as {names}")
        if len(found) > 1 and all(str(view.get("id", "")).startswith(name) for view in found):
            raise AmbiguousError(name, kind, [str(view["id"]) for view in found])
        return found[0]
