"""Event sources in plan, apply, prune, delete, rollback, export and saved plans."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.domain.gitops.apply_set import apply_set_view, apply_sets
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.event_source import EventSource
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError
from activityctl.operations.gitops.apply import apply, apply_saved
from activityctl.operations.gitops.history import delete, export, roll_back
from activityctl.operations.gitops.plan import Planned, documents, plan_of_files, wanted_of
from activityctl.operations.gitops.saved_plan import restore, save
from activityctl.operations.looking.secret_users import live_users, users_in_files
from activityctl.operations.looking.sources import source_views
from support.manifests import Manifest, manifest_set

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SIGNED: Any = {"verify": {"bearer": {"secret": {"secretRef": "key"}}}}
OPEN: Any = {"verify": {"none": {}}}


def source(name: str = "shop", spec: Any = None, **metadata: Any) -> EventSource:
    document = {"metadata": {"name": name, **metadata}, "spec": spec or SIGNED}
    return EventSource.model_validate_json(json.dumps(document))


@pytest.fixture
def ports() -> MemoryPorts:
    return memory_ports()


async def applied(
    ports: MemoryPorts, *manifests: Manifest, applyset: str | None = None
) -> dict[str, str]:
    found = manifest_set(*manifests)
    made = await apply(
        found,
        ports.catalog,
        ports.register,
        ports.workers,
        lambda: NOW,
        timeout_seconds=0,
        wanted=wanted_of(found, applyset=applyset, prune=applyset is not None),
    )
    return actions(made.plan)


async def planned(ports: MemoryPorts, *manifests: Manifest, applyset: str | None = None) -> Planned:
    found = manifest_set(*manifests)
    wanted = wanted_of(found, applyset=applyset, prune=False)
    return await plan_of_files(found, wanted, ports.catalog, ports.run_lists, lambda: NOW)


def actions(plan: Plan) -> dict[str, str]:
    return {f"{change.kind}/{change.name}": change.action.value for change in plan.changes}


async def test_a_source_is_created_changed_and_pruned(ports: MemoryPorts):
    assert await applied(ports, source(), source("b"), applyset="set") == {
        "EventSource/shop": "created",
        "EventSource/b": "created",
    }
    assert (await planned(ports, source())).plan.is_empty
    changed = source(spec={**SIGNED, "event": {"type": "a"}})
    made = await planned(ports, changed, applyset="set")
    assert [field.path for field in made.plan.changes[0].fields] == ["spec.event.type"]
    assert made.view["openSources"] == []
    ((name, live, wanted),) = documents(made.plan, made.present)
    assert live is not None
    assert wanted is not None
    assert name == "eventsource/shop"
    assert (live["spec"], wanted["spec"]["event"]) == (SIGNED, {"type": "a"})
    assert (await planned(ports, source(spec=OPEN), applyset="set")).view["openSources"] == ["shop"]
    labelled = source(labels={"team": "a"})
    assert await applied(ports, labelled, applyset="set") == {
        "EventSource/shop": "configured",
        "EventSource/b": "deleted",
    }
    with pytest.raises(ConflictError, match="eventsource/shop"):
        await applied(ports, source(spec=OPEN), applyset="other")
    (found,) = await source_views(ports.catalog, Selection(labels={"team": "a"}))
    assert (found["name"], found["path"]) == ("shop", "/v1/sources/shop")
    (owner,) = apply_sets(await ports.catalog.present(), {})
    assert apply_set_view(owner)["sources"] == 1
    assert owner.members == (("EventSource", "shop"),)


async def test_a_deleted_source_is_rolled_back_and_exported(ports: MemoryPorts):
    await applied(ports, source(spec={**SIGNED, "event": {"type": "a"}}))
    await delete(ports.catalog, "EventSource", "shop", lambda: NOW, UNKNOWN_ORIGIN)
    with pytest.raises(NotFoundError) as caught:
        await delete(ports.catalog, "EventSource", "shop", lambda: NOW, UNKNOWN_ORIGIN)
    assert caught.value.hint == "activityctl get sources"
    assert await export(ports.catalog, Selection()) == []
    await roll_back(ports.catalog, "EventSource", "shop", None, lambda: NOW, UNKNOWN_ORIGIN)
    (document,) = await export(ports.catalog, Selection(name="shop"), "EventSource")
    assert document["spec"] == {**SIGNED, "event": {"type": "a"}}
    assert await export(ports.catalog, Selection(), "Calendar") == []


async def test_a_saved_plan_has_its_sources_and_is_refused_after_a_change(ports: MemoryPorts):
    await applied(ports, source())
    files = manifest_set(source(spec=OPEN))
    saved = restore(save(await planned(ports, source(spec=OPEN)), files.wanted), "plan.json")
    assert saved.wanted.sources == files.sources
    await applied(ports, source(labels={"x": "y"}))
    with pytest.raises(ConflictError):
        await apply_saved(saved.wanted, saved.fingerprint, ports.catalog, NOW, UNKNOWN_ORIGIN)
    await applied(ports, source())
    plan = await apply_saved(saved.wanted, saved.fingerprint, ports.catalog, NOW, UNKNOWN_ORIGIN)
    assert actions(plan) == {"EventSource/shop": "configured"}


async def test_the_secrets_of_sources_are_known(ports: MemoryPorts):
    both = {"bearer": {"secret": {"secretRef": "new"}, "oldSecret": {"secretRef": "old"}}}
    manifests = (source(), source("b", {"verify": both}), source("c", OPEN))
    assert users_in_files(manifest_set(*manifests)) == {
        "key": ["eventsource/shop"],
        "new": ["eventsource/b"],
        "old": ["eventsource/b"],
    }
    await applied(ports, *manifests)
    assert await live_users(ports.catalog) == users_in_files(manifest_set(*manifests))
