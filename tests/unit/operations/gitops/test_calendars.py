"""Calendars in plan, apply, prune, delete, rollback, export and saved plans."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN
from activityctl.domain.gitops.plan import Action, Plan
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.selection import Selection
from activityctl.errors import (
    ConflictError,
    InvalidInputError,
    InvalidManifestsError,
    NotFoundError,
)
from activityctl.operations.gitops.apply import apply, apply_saved
from activityctl.operations.gitops.history import delete, export, roll_back
from activityctl.operations.gitops.plan import Planned, documents, plan_of_files, wanted_of
from activityctl.operations.gitops.saved_plan import restore, save
from support.manifests import Manifest, manifest_set

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ALWAYS = ("2020-01-01/2099-12-31",)


def calendar(name: str = "holidays", *days: str, **metadata: Any) -> DayCalendar:
    spec = {"days": days or ("2026-12-25",)}
    document = {"metadata": {"name": name, **metadata}, "spec": spec}
    return DayCalendar.model_validate_json(json.dumps(document))


def definition(name: str = "digest", *calendars: str) -> ActivityDefinition:
    exclude = {"exclude": {"calendars": calendars}} if calendars else {}
    trigger = {"name": "daily", "cron": {"schedule": "0 8 * * *", **exclude}}
    spec = {"triggers": [trigger], "tasks": [{"name": "a", "command": {"argv": ["true"]}}]}
    return ActivityDefinition.model_validate_json(
        json.dumps({"metadata": {"name": name}, "spec": spec})
    )


def subscription(name: str = "sub", *calendars: str) -> SubscriptionManifest:
    override = {"daily": {"cron": {"exclude": {"calendars": calendars}}}} if calendars else {}
    spec = {"activity": "digest", "triggers": override}
    return SubscriptionManifest.model_validate_json(
        json.dumps({"metadata": {"name": name}, "spec": spec})
    )


@dataclass(frozen=True)
class World:
    """A catalog in memory, with the operations as methods."""

    ports: MemoryPorts

    async def apply(self, *manifests: Manifest, applyset: str | None = None) -> dict[str, str]:
        found = manifest_set(*manifests)
        applied = await apply(
            found,
            self.ports.catalog,
            self.ports.register,
            self.ports.workers,
            lambda: NOW,
            timeout_seconds=0,
            wanted=wanted_of(found, applyset=applyset, prune=applyset is not None),
        )
        return actions(applied.plan)

    async def plan(self, *manifests: Manifest) -> Planned:
        found = manifest_set(*manifests)
        catalog, lists = self.ports.catalog, self.ports.run_lists
        return await plan_of_files(found, found.wanted, catalog, lists, lambda: NOW)

    async def delete(self, name: str) -> None:
        await delete(self.ports.catalog, "Calendar", name, lambda: NOW, UNKNOWN_ORIGIN)

    async def days(self, name: str = "holidays") -> list[str]:
        return [str(span) for span in (await self.ports.catalog.calendars())[name]]


def actions(plan: Plan) -> dict[str, str]:
    return {f"{change.kind}/{change.name}": change.action.value for change in plan.changes}


@pytest.fixture
def world() -> World:
    return World(memory_ports())


async def test_a_second_apply_changes_nothing_however_the_days_are_written(world: World):
    first = await world.apply(calendar("holidays", "2026-12-24", "2026-12-25"))
    assert first == {"Calendar/holidays": "created"}
    assert await world.days() == ["2026-12-24/2026-12-25"]
    again = calendar("holidays", "2026-12-25", "2026-12-24/2026-12-25")
    assert await world.apply(again) == {"Calendar/holidays": "unchanged"}


async def test_a_changed_calendar_shows_its_days_and_touches_no_schedule(world: World):
    await world.apply(calendar(), definition("digest", "holidays"), subscription())
    planned = await world.plan(calendar("holidays", "2026-12-26"), definition("digest", "holidays"))
    change = planned.plan.changes[0]
    assert (change.action, [field.path for field in change.fields]) == (
        Action.CONFIGURED,
        ["spec.days[2026-12-25]", "spec.days[2026-12-26]"],
    )
    assert planned.view["schedules"] == []
    await world.apply(calendar("holidays", "2026-12-26"))
    assert await world.ports.register.unsynced_errors([]) == []
    ((_, live, wanted), _) = documents(planned.plan, planned.present)
    assert live is not None
    assert wanted is not None
    assert (live["spec"], wanted["spec"]) == ({"days": ["2026-12-25"]}, {"days": ["2026-12-26"]})


@pytest.mark.parametrize("labels", [{"team": "a"}, {}])
async def test_changed_labels_are_a_change(world: World, labels: dict[str, str]):
    await world.apply(calendar(labels={"team": "b"}))
    assert await world.apply(calendar(labels=labels)) == {"Calendar/holidays": "configured"}
    found = await world.ports.catalog.listed_calendars(Selection(labels=labels))
    assert [live.labels for live in found] == [labels]


async def test_a_calendar_that_is_neither_in_the_files_nor_live_is_an_error(world: World):
    with pytest.raises(InvalidManifestsError) as caught:
        await world.apply(definition("digest", "holidays"), subscription("sub", "unknown"))
    assert [(problem.path, problem.reason[:25]) for problem in caught.value.problems] == [
        ("spec.triggers.0.cron.exclude.calendars.0", "no Calendar 'holidays' in"),
        ("spec.triggers.daily.cron.exclude.calendars.0", "no Calendar 'unknown' in "),
    ]
    await world.apply(calendar())
    await world.apply(definition("digest", "holidays"), subscription())


async def test_a_live_calendar_that_excludes_every_day_is_an_error(world: World):
    await world.apply(calendar("holidays", *ALWAYS))
    with pytest.raises(InvalidManifestsError) as caught:
        await world.apply(definition("digest", "holidays"))
    assert "no firing would ever start" in caught.value.problems[0].reason
    await world.apply(definition())
    with pytest.raises(InvalidManifestsError, match="1 problem"):
        await world.apply(subscription("sub", "holidays"))


async def test_a_calendar_cannot_be_changed_so_that_a_live_trigger_never_starts(world: World):
    await world.apply(calendar(), calendar("other"), definition("digest", "holidays"))
    await world.apply(subscription("sub", "other"))
    for name, user in (("holidays", "definition 'digest'"), ("other", "subscription 'sub'")):
        with pytest.raises(InvalidManifestsError) as caught:
            await world.apply(calendar(name, *ALWAYS))
        assert f"breaks trigger 'daily' of {user}" in caught.value.problems[0].reason


async def test_a_calendar_in_use_can_neither_be_deleted_nor_pruned(world: World):
    await world.apply(calendar(), calendar("other"), applyset="set")
    await world.apply(definition("digest", "holidays"), subscription("sub", "other"))
    reason = "calendar/holidays cannot be deleted: definition digest"
    with pytest.raises(ConflictError, match=reason):
        await world.delete("holidays")
    with pytest.raises(ConflictError, match="calendar/other cannot be deleted: subscription sub"):
        await world.delete("other")
    with pytest.raises(InvalidManifestsError, match="2 problems"):
        # The members that stay in the set name the calendars that it prunes.
        await world.apply(
            definition("digest", "holidays"), subscription("sub", "other"), applyset="set"
        )
    with pytest.raises(ConflictError, match="calendar/holidays cannot be deleted"):
        await world.apply(calendar("other"), applyset="set")
    assert set(await world.ports.catalog.calendars()) == {"holidays", "other"}


async def test_a_calendar_can_be_pruned_together_with_its_last_user(world: World):
    await world.apply(calendar(), definition("digest", "holidays"), applyset="set")
    assert await world.apply(definition("second"), applyset="set") == {
        "ActivityDefinition/second": "created",
        "ActivityDefinition/digest": "deleted",
        "Calendar/holidays": "deleted",
    }
    with pytest.raises(NotFoundError):
        await world.delete("holidays")


async def test_a_calendar_of_an_apply_set_cannot_be_applied_in_another_set(world: World):
    await world.apply(calendar(), applyset="set")
    with pytest.raises(ConflictError, match='calendar/holidays belongs to the apply set "set"'):
        await world.apply(calendar(), applyset="another")
    with pytest.raises(InvalidInputError, match="no manifest"):
        await world.apply(applyset="set")


async def test_a_deleted_calendar_comes_back_with_its_days_by_a_rollback(world: World):
    await world.apply(calendar("holidays", "2026-12-24"))
    await world.apply(calendar("holidays", "2026-12-25"))
    await world.delete("holidays")
    assert await world.ports.catalog.calendars() == {}

    async def back(number: int | None = None) -> Plan:
        catalog = world.ports.catalog
        return await roll_back(catalog, "Calendar", "holidays", number, lambda: NOW, UNKNOWN_ORIGIN)

    assert actions(await back()) == {"Calendar/holidays": "created"}
    assert await world.days() == ["2026-12-25"]
    assert actions(await back(1)) == {"Calendar/holidays": "configured"}
    assert await world.days() == ["2026-12-24"]


async def test_a_rollback_does_not_bring_back_a_use_of_a_deleted_calendar(world: World):
    await world.apply(calendar(), definition("digest", "holidays"))
    await world.apply(definition())
    await world.delete("holidays")
    with pytest.raises(InvalidManifestsError):
        await roll_back(
            world.ports.catalog,
            "ActivityDefinition",
            "digest",
            None,
            lambda: NOW,
            UNKNOWN_ORIGIN,
        )


async def test_an_exported_calendar_can_be_applied_unchanged(world: World):
    made = calendar("holidays", "2026-12-25", "2026-12-24", labels={"team": "a"})
    await world.apply(made, definition("digest", "holidays"))
    first, _ = await export(world.ports.catalog, Selection())
    assert first["spec"] == {"days": ["2026-12-24/2026-12-25"]}
    content = {"metadata": first["metadata"], "spec": first["spec"]}
    again = DayCalendar.model_validate_json(json.dumps(content))
    assert await world.apply(again) == {"Calendar/holidays": "unchanged"}


async def test_a_saved_plan_is_refused_when_a_calendar_that_it_uses_has_changed(world: World):
    await world.apply(calendar("live", "2026-01-06"))
    files = manifest_set(calendar(), definition("digest", "holidays", "live"))
    planned = await world.plan(*files.calendars.values(), *files.definitions.values())
    saved = save(planned, files.wanted)
    restored = restore(saved, "plan.json")
    wanted, fingerprint = restored.wanted, restored.fingerprint
    assert wanted.calendars == files.calendars
    await world.apply(calendar("unrelated"))
    catalog = world.ports.catalog
    await world.apply(calendar("live", "2026-01-07"))
    with pytest.raises(ConflictError, match="out of date"):
        await apply_saved(wanted, fingerprint, catalog, NOW, UNKNOWN_ORIGIN)
    await world.apply(calendar("live", "2026-01-06"))
    plan = await apply_saved(wanted, fingerprint, catalog, NOW, UNKNOWN_ORIGIN)
    assert actions(plan)["Calendar/holidays"] == "created"
