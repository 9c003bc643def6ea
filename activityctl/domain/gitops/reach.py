"""Reach: which objects somebody may change and see, by their apply sets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar, assert_never

from activityctl.domain.access.caller import Caller
from activityctl.domain.gitops.history import PastChange
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Kind, Plan, Present, PresentDefinition, Wanted
from activityctl.domain.gitops.planning import owner_of, plan_changes, plan_deletion
from activityctl.domain.gitops.renames import with_renames
from activityctl.domain.gitops.set_checks import check_against
from activityctl.domain.manifests.calendar import PresentCalendar
from activityctl.domain.manifests.calendar_references import (
    calendars_in_definition,
    calendars_in_overrides,
)
from activityctl.domain.manifests.event_source import PresentEventSource
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.values.json_form import View
from activityctl.errors import ConflictError, InvalidManifestsError, NotAllowedError, NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass

Owned = TypeVar("Owned", PresentDefinition, Subscription, PresentCalendar, PresentEventSource)
_OF_SUBSCRIPTIONS: Final = ("schedules", "openRuns", "waitingFirings", "gatheredEvents")
"""The parts of a plan's view that name subscriptions."""


@frozen_dataclass
class Reach:
    """Which apply sets somebody may change, and which objects they may see."""

    caller: Caller | None = None
    """None: everything."""

    @property
    def sees_all(self) -> bool:
        """Whether every object may be seen."""
        return self.caller is None or self.caller.reads_all or self.caller.may_apply(None)

    def may_change(self, applyset: str | None) -> bool:
        """Return whether objects of a set may be changed; None: those in no set."""
        return self.caller is None or self.caller.may_apply(applyset)

    def sees(self, applyset: str | None) -> bool:
        """Return whether objects of a set may be seen; None: those in no set."""
        return self.sees_all or self.may_change(applyset)

    def visible(self, present: Present) -> Present:
        """Return the objects of the sets that may be seen."""
        if self.sees_all:
            return present
        return replace(
            present,
            definitions=self._of_sets(present.definitions),
            subscriptions=self._of_sets(present.subscriptions),
            calendars=self._of_sets(present.calendars),
            sources=self._of_sets(present.sources),
        )

    def hidden_subscriptions(self, present: Present) -> frozenset[str]:
        """Return the names of the subscriptions that may not be seen."""
        return frozenset(present.subscriptions.keys() - self.visible(present).subscriptions.keys())

    def visible_history(self, changes: Sequence[PastChange]) -> list[PastChange]:
        """Return the changes since the object came into a set that may be seen, newest first."""
        if self.sees_all:
            return list(changes)
        shown: list[PastChange] = []
        owner: str | None = None
        is_new = True
        for change in reversed(changes):
            after = None if change.document is None else change.applyset or owner
            is_seen = (is_new or self.sees(owner)) and (change.document is None or self.sees(after))
            shown = [*shown, change] if is_seen else []
            owner, is_new = after, change.document is None
        return shown[::-1]

    def visible_view(self, view: View, present: Present) -> View:
        """Return the view of a plan without the subscriptions that may not be seen."""
        hidden = self.hidden_subscriptions(present)
        shown = {
            part: [each for each in view[part] if each["subscription"] not in hidden]
            for part in _OF_SUBSCRIPTIONS
        }
        return {**view, **shown}

    def visible_plan(self, plan: Plan, present: Present) -> Plan:
        """Return the plan without the schedules of subscriptions that may not be seen."""
        hidden = {present.subscriptions[name].id for name in self.hidden_subscriptions(present)}
        kept = {key: value for key, value in plan.schedules.items() if key not in hidden}
        return replace(plan, schedules=kept)

    def _of_sets(self, objects: Mapping[str, Owned]) -> dict[str, Owned]:
        return {name: found for name, found in objects.items() if self.sees(found.applyset)}


EVERYTHING: Final = Reach()


def plan_within(reach: Reach, manifests: ManifestSet, wanted: Wanted, present: Present) -> Plan:
    """Return the plan of manifests, checked against the live objects and what may be changed.

    Raises what `check_against` and `plan_changes` raise, and NotAllowedError for an object or a set
    that may not be changed. What may not be seen is not named.
    """
    present = with_renames(wanted, present)
    _require_permitted(reach, wanted, present)

    def make(live: Present) -> Plan:
        check_against(manifests, live, wanted)
        return plan_changes(wanted, live)

    return _made(reach, present, make)


def deletion_within(reach: Reach, kind: Kind, name: str, present: Present) -> Plan:
    """Return the plan that deletes one object.

    Raises what `plan_deletion` raises, NotFoundError for an object that may not be seen, and
    NotAllowedError for one that may not be changed.
    """
    owner = owner_of(kind, name, present)
    if not reach.sees(owner):
        raise NotFoundError(kind.lower(), name)

    def make(live: Present) -> Plan:
        return plan_deletion(kind, name, live)

    if not reach.may_change(owner) and _is_live(kind, name, present):
        raise _refusal(f"{kind.lower()}/{name}", owner)
    return _made(reach, present, make)


def require_revived(reach: Reach, name: str, applyset: str | None) -> None:
    """Raise NotAllowedError for a deleted subscription, last of this set, that may not return."""
    if not reach.may_change(applyset):
        raise _not_of_set(f"subscription/{name}")


def _made(reach: Reach, present: Present, make: Callable[[Present], Plan]) -> Plan:
    """Return what is made of all live objects; problems are those with what may be seen."""
    if reach.sees_all:
        return make(present)
    make(_usable(reach, present))
    try:
        return make(present)
    except (ConflictError, InvalidManifestsError) as error:
        raise ConflictError(
            "the change does not fit objects that this token may not see; nothing was changed",
            hint="ask somebody whose token has the scope read to plan it",
        ) from error


def _usable(reach: Reach, present: Present) -> Present:
    """Return the objects that may be seen, with the definitions and calendars that they use."""
    seen = reach.visible(present)
    used = {subscription.definition for subscription in seen.subscriptions.values()}
    definitions = {
        name: found
        for name, found in present.definitions.items()
        if name in seen.definitions or name in used
    }
    named = frozenset().union(
        *(calendars_in_definition(found.spec) for found in definitions.values()),
        *(calendars_in_overrides(found.triggers) for found in seen.subscriptions.values()),
    )
    calendars = {
        name: found
        for name, found in present.calendars.items()
        if name in seen.calendars or name in named
    }
    return replace(seen, definitions=definitions, calendars=calendars)


def _require_permitted(reach: Reach, wanted: Wanted, present: Present) -> None:
    """Raise NotAllowedError if an object that is in no reach would be changed, or moved."""
    if wanted.applyset is not None and not reach.may_change(wanted.applyset):
        raise _refusal(f"the apply set {wanted.applyset}", wanted.applyset)
    for kind, name in _names(wanted):
        label = f"{kind.lower()}/{name}"
        if not _is_live(kind, name, present):
            if not reach.may_change(wanted.applyset):
                raise NotAllowedError(
                    f"this token may not make {label} in no apply set",
                    hint="name an apply set that the token may change",
                )
        elif not reach.may_change(owner := owner_of(kind, name, present)):
            raise _refusal(label, owner) if reach.sees(owner) else _not_of_set(label)


def _names(wanted: Wanted) -> Iterator[tuple[Kind, str]]:
    yield from (("Calendar", name) for name in sorted(wanted.calendars))
    yield from (("EventSource", name) for name in sorted(wanted.sources))
    yield from (("ActivityDefinition", name) for name in sorted(wanted.definitions))
    yield from (("Subscription", name) for name in sorted(wanted.subscriptions))


def _is_live(kind: Kind, name: str, present: Present) -> bool:
    match kind:
        case "Calendar":
            return name in present.calendars
        case "EventSource":
            return name in present.sources
        case "ActivityDefinition":
            return name in present.definitions
        case "Subscription":
            return present.live(name) is not None
        case other:
            assert_never(other)


def _refusal(label: str, applyset: str | None) -> NotAllowedError:
    scope = "apply" if applyset is None else f"apply:set={applyset}"
    return NotAllowedError(
        f"this token may not change {label}", hint=f"activityctl tokens create NAME --scope {scope}"
    )


def _not_of_set(label: str) -> NotAllowedError:
    return NotAllowedError(
        f"this token may not change {label}, which is in no apply set of the token",
        hint="choose another name",
    )
