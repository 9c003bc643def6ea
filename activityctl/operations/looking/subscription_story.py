"""Read what a person who is called asks about a subscription: what it is, does and waits for."""

import asyncio
from collections.abc import Awaitable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.domain.gitops.history import PastChange
from activityctl.domain.manifests.definition import DefinitionSpec, Revision
from activityctl.domain.manifests.run_limits import Slo
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionStatus,
    effective_triggers,
)
from activityctl.domain.manifests.task_tree import all_templates
from activityctl.domain.runs.json_form import breaker_view
from activityctl.domain.runs.subscription_facts import SubscriptionFacts, facts_view, late_view
from activityctl.domain.tasks.breaker import BreakerStatus
from activityctl.domain.tasks.guard import guard_of
from activityctl.domain.tasks.limit_use import LimitUse, limit_view
from activityctl.domain.timing.preview import occurrence_view
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.selection import Selection
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.chains import chain_notes
from activityctl.operations.looking.get import ObjectViews
from activityctl.operations.looking.upcoming import TimeRange, upcoming_of
from activityctl.ports import Catalog, ChainStore, Facts, Outbox, RunLists, ScheduleRegister

NEXT_FIRINGS: Final = 5
_MOST_FIELDS: Final = 10
_WITH_APPLY: Final = timedelta(seconds=1)
"""A pause that is so close to a change of the manifest came with it."""


@frozen_dataclass
class SubscriptionStory:
    """Reads the story of a subscription from the ports."""

    views: ObjectViews
    catalog: Catalog
    register: ScheduleRegister
    outbox: Outbox
    lists: RunLists
    facts: Facts
    chains: ChainStore

    async def tell(self, reference: str, server_time: Awaitable[datetime]) -> View:
        """Return the subscription with its definition, figures, next firings and troubles."""
        owner, now = await asyncio.gather(self.catalog.find_subscription(reference), server_time)
        paused_at = owner.paused_at if owner.status is SubscriptionStatus.PAUSED else None
        described, revision, facts, changes, firings = await asyncio.gather(
            self.views.describe_subscription(owner),
            self._revision(owner),
            self.facts.of_subscription(owner.id, now, paused_at),
            self._changes(owner),
            self._next_firings(owner, now),
        )
        spec = None if revision is None else _spec(revision)
        change, last_changes = changes
        breakers, limits = await asyncio.gather(self._breakers(spec, facts), self._limits(spec))
        return {
            **described,
            **_definition_view(revision, spec),
            "effectiveTriggers": [] if spec is None else _trigger_views(spec, owner),
            "lastChanges": last_changes,
            **firings,
            "chainTriggers": await self._chain_triggers(spec, owner),
            **facts_view(facts),
            "pausedBy": _paused_by(owner, facts.paused_by, change),
            "breakers": breakers,
            "limits": limits,
            "slo": None if spec is None or spec.slo is None else _slo_view(spec.slo, facts),
        }

    async def _revision(self, owner: Subscription) -> Revision | None:
        found = await self.catalog.definitions(Selection(name=owner.definition, limit=1))
        return found[0][1] if found else None

    async def _changes(self, owner: Subscription) -> tuple[PastChange | None, list[View]]:
        """Return the last change of the subscription, and the views of it and its definition's."""
        mine, its = await asyncio.gather(
            self.catalog.history("Subscription", owner.name, limit=1),
            self.catalog.history("ActivityDefinition", owner.definition, limit=1),
        )
        newest_first = sorted((*mine, *its), key=lambda past: past.at, reverse=True)
        return mine[0] if mine else None, [_change_view(past) for past in newest_first]

    async def _next_firings(self, owner: Subscription, now: datetime) -> View:
        if owner.status is SubscriptionStatus.DELETED:
            return {"nextFirings": [], "notes": []}
        span = TimeRange(now, None, NEXT_FIRINGS)
        calendars = self.catalog.calendars
        found = await upcoming_of(self.register, self.outbox, owner, calendars, span, now)
        firings = [occurrence_view(owner.name, each) for each in found.occurrences]
        return {"nextFirings": firings, "notes": list(found.notes)}

    async def _chain_triggers(self, spec: DefinitionSpec | None, owner: Subscription) -> list[str]:
        """Return how far its chain triggers are; nobody is asked if it has none."""
        triggers = [] if spec is None else effective_triggers(spec, owner.triggers)
        if not any(trigger.kind == "chain" for trigger in triggers):
            return []
        return await chain_notes(self.chains, owner.id)

    async def _breakers(self, spec: DefinitionSpec | None, facts: SubscriptionFacts) -> list[View]:
        names = {*facts.breakers, *(_breaker_names(spec) if spec else ())}
        if not names:
            return []
        known = {each.name: each for each in await self.lists.breakers(Selection(limit=None))}
        return [
            breaker_view(known[name]) if name in known else _closed_view(name)
            for name in sorted(names)
        ]

    async def _limits(self, spec: DefinitionSpec | None) -> list[View]:
        if spec is None or not spec.limits:
            return []
        uses = {use.name: use for use in await self.lists.limit_uses()}
        views = [
            limit_view(limit, (), uses.get(limit.name, LimitUse(limit.name)))
            for limit in spec.limits
        ]
        return [{key: view[key] for key in view if key != "usedBy"} for view in views]


def _spec(revision: Revision) -> DefinitionSpec:
    return DefinitionSpec.model_validate_json(canonical_json(revision.spec))


def _definition_view(revision: Revision | None, spec: DefinitionSpec | None) -> View:
    if revision is None or spec is None:
        return {"revision": None, "revisionNumber": None, "description": "", "concurrency": None}
    limits = spec.concurrency
    return {
        "revision": revision.id,
        "revisionNumber": revision.number,
        "description": str(spec.description),
        "concurrency": {"policy": limits.policy.value, "limit": limits.limit, "key": limits.key},
        "pauseAfterFailures": None if spec.pause_after is None else spec.pause_after.failures,
    }


def _trigger_views(spec: DefinitionSpec, owner: Subscription) -> list[View]:
    return [
        {"name": trigger.name, "kind": trigger.kind, "spec": trigger.body}
        for trigger in effective_triggers(spec, owner.triggers)
    ]


def _change_view(past: PastChange) -> View:
    return {
        "kind": past.kind,
        "name": past.name,
        "action": past.action,
        "at": format_timestamp(past.at),
        "actor": past.origin.actor,
        "command": past.origin.command,
        "sourceCommit": past.origin.source_commit,
        "fields": [str(field.get("path", "")) for field in past.fields[:_MOST_FIELDS]],
    }


def _paused_by(owner: Subscription, by_hand: str | None, change: PastChange | None) -> str | None:
    """Return who paused it: a person by hand, or by a manifest; None if its failures did."""
    if owner.paused_at is None or owner.status is not SubscriptionStatus.PAUSED:
        return None
    if owner.paused_by_run is not None:
        return None
    has_come_with = change is not None and abs(change.at - owner.paused_at) <= _WITH_APPLY
    return change.origin.actor if by_hand is None and change and has_come_with else by_hand


def _breaker_names(spec: DefinitionSpec) -> Iterator[str]:
    """Yield the names of breakers that are known without a run."""
    guarded: list[Any] = [*all_templates(spec.all_tasks), *spec.context]
    for item in guarded:
        if item.breaker is None:
            continue
        guard = guard_of(item.breaker, None, (), item.kind, item.body)
        if guard is not None and guard.breaker_name and "$" not in guard.breaker_name:
            yield guard.breaker_name


def _closed_view(name: str) -> View:
    """Return the view of a breaker that has never opened."""
    return {
        "name": name,
        "status": BreakerStatus.CLOSED.value,
        "since": None,
        "reason": None,
        "openUntil": None,
        "probing": [],
        "openings": 0,
    }


def _slo_view(slo: Slo, facts: SubscriptionFacts) -> View:
    limits = {"startWithin": slo.start_within, "endWithin": slo.end_within}
    return {
        **{key: None if value is None else format_duration(value) for key, value in limits.items()},
        "late": late_view(facts),
    }
