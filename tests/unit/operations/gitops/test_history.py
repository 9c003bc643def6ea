"""History, rollback, export and deletion of objects, on the catalog in memory."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.domain.gitops.history import Origin, PastChange, rolled_back_to
from activityctl.domain.gitops.plan import Action, Kind, Plan, Wanted, live_document
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.document import Document, differences
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, InvalidManifestsError, NotFoundError
from activityctl.operations.gitops.apply import apply
from activityctl.operations.gitops.history import delete, export, history, roll_back
from support import manifests
from support.examples import examples
from support.manifests import ANY_PARAMS, HOURLY, Manifest, manifest_set, subscription

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CI = Origin("apply", "ci", "c0ffee")
ME = Origin("apply", "me", None)
ACTIVE, PAUSED, DELETED = SubscriptionStatus
DEFINITION: Kind = "ActivityDefinition"
SUBSCRIPTION: Kind = "Subscription"
definition = partial(manifests.definition, params=ANY_PARAMS)


def parsed(documents: Sequence[Document]) -> list[Manifest]:
    """Return the documents as manifests that were read from files."""
    models = {"ActivityDefinition": ActivityDefinition, "Subscription": SubscriptionManifest}
    return [
        models[document["kind"]].model_validate_json(
            json.dumps({"metadata": document["metadata"], "spec": document["spec"]})
        )
        for document in documents
    ]


@dataclass(frozen=True)
class World:
    """A catalog in memory, with the operations as methods."""

    ports: MemoryPorts

    async def apply(
        self, *manifests: Manifest, applyset: str | None = None, origin: Origin = CI
    ) -> Plan:
        found = manifest_set(*manifests)
        wanted = Wanted(found.definitions, found.subscriptions, applyset)
        applied = await apply(
            found,
            self.ports.catalog,
            self.ports.register,
            self.ports.workers,
            lambda: NOW,
            timeout_seconds=0,
            wanted=wanted,
            origin=origin,
        )
        return applied.plan

    async def delete(self, kind: Kind, name: str) -> Plan:
        return await delete(self.ports.catalog, kind, name, lambda: NOW, ME)

    async def roll_back(self, kind: Kind, name: str, number: int | None = None) -> Plan:
        later = NOW + timedelta(hours=1)
        return await roll_back(self.ports.catalog, kind, name, number, lambda: later, ME)

    async def history(self, kind: Kind, name: str) -> list[PastChange]:
        return await history(self.ports.catalog, kind, name)

    async def export(self, selection: Selection | None = None) -> list[Document]:
        return await export(self.ports.catalog, selection or Selection())

    async def live(self, kind: Kind, name: str) -> Document | None:
        present = await self.ports.catalog.present()
        if kind == DEFINITION:
            return present.definitions[name].document if name in present.definitions else None
        found = present.live(name)
        return live_document(found) if found else None

    async def set_status(self, name: str, status: SubscriptionStatus) -> None:
        found = await self.ports.catalog.find_subscription(name)
        await self.ports.catalog.set_subscription_status(found.id, status, NOW)


def world() -> World:
    return World(memory_ports())


@pytest.fixture
def here() -> World:
    return world()


# ---- any history ---------------------------------------------------------------------

definitions = st.builds(
    definition,
    labels=st.sampled_from([{}, {"team": "a"}]),
    triggers=st.sampled_from([[], [HOURLY]]),
    timeout=st.sampled_from(["1h", "2h"]),
)
subscriptions = st.builds(
    subscription,
    labels=st.sampled_from([{}, {"team": "a"}]),
    params=st.sampled_from([{}, {"a": 1}, {"a": True}, {"a": []}, {"a": 1.0}, {"a.b": None}]),
    paused=st.sampled_from([None, True, False]),
)
fast = settings(max_examples=examples(50), deadline=None)


@fast
@given(st.lists(definitions | subscriptions | st.just("delete"), min_size=2, max_size=6), st.data())
async def test_a_rollback_restores_exactly_the_document_of_that_change(
    changes: list[Any], data: st.DataObject
):
    here = world()
    await here.apply(definition(), subscription())
    for change in changes:
        if change != "delete":
            await here.apply(change)
        elif await here.live(SUBSCRIPTION, "sub") is not None:
            await here.delete(SUBSCRIPTION, "sub")
    kind, name = data.draw(st.sampled_from([(DEFINITION, "digest"), (SUBSCRIPTION, "sub")]))
    entries = await here.history(kind, name)
    assert [entry.number for entry in entries] == list(range(len(entries), 0, -1))
    chosen = data.draw(st.sampled_from(entries))
    assume(chosen.document is not None)
    await here.roll_back(kind, name, chosen.number)
    expected = json.loads(json.dumps(chosen.document))
    paused = expected["spec"].pop("paused", None)
    assert differences(await here.live(kind, name), expected) == ()
    if paused is not None:
        status = (await here.ports.catalog.find_subscription("sub")).status
        assert status is (PAUSED if paused else ACTIVE)
    (latest, *before) = await here.history(kind, name)
    assert before in (entries, entries[1:])  # nothing is edited, only added
    assert differences(latest.document, chosen.document) == () or latest == entries[0]


@fast
@given(st.lists(definitions | subscriptions, max_size=5), st.sampled_from([None, "shop"]))
async def test_an_export_can_be_applied_unchanged_here_and_elsewhere(
    changes: list[Manifest], applyset: str | None
):
    here, elsewhere = world(), world()
    await here.apply(definition(), subscription("other"), applyset=applyset)
    for change in changes:
        await here.apply(change, applyset=applyset)
    exported = await here.export()
    assert (await here.apply(*parsed(exported))).is_empty
    await elsewhere.apply(*parsed(exported))
    assert await elsewhere.export() == exported


# ---- history -------------------------------------------------------------------------


async def test_the_history_has_actor_commit_and_change_newest_first(here: World):
    await here.apply(definition(), subscription(), applyset="shop")
    you = Origin("apply", "you", None)
    await here.apply(subscription(params={"a": 1}), applyset="shop", origin=you)
    await here.delete(SUBSCRIPTION, "sub")
    entries = await here.history(SUBSCRIPTION, "sub")
    assert [
        (
            change.number,
            change.action,
            change.origin.command,
            change.origin.actor,
            change.origin.source_commit,
        )
        for change in entries
    ] == [
        (3, "deleted", "delete", "me", None),
        (2, "configured", "apply", "you", None),
        (1, "created", "apply", "ci", "c0ffee"),
    ]
    assert [change.applyset for change in entries] == [None, "shop", "shop"]
    assert entries[1].fields == ({"path": "spec.params.a", "new": 1},)
    assert (entries[0].document, entries[0].revision_id) == (None, None)
    assert {change.at for change in entries} == {NOW}


async def test_an_apply_without_a_change_adds_no_history(here: World):
    for _ in range(3):
        await here.apply(definition(), subscription())
    assert len(await here.history(DEFINITION, "digest")) == 1
    await here.apply(definition(), subscription(params={"a": 1}))
    assert len(await here.history(DEFINITION, "digest")) == 1
    assert len(await here.history(SUBSCRIPTION, "sub")) == 2


async def test_a_definitions_history_names_its_revisions(here: World):
    await here.apply(definition())
    await here.apply(definition(timeout="2h"))
    newest, oldest = await here.history(DEFINITION, "digest")
    assert newest.revision_id != oldest.revision_id
    current = (await here.ports.catalog.present()).definitions["digest"]
    assert newest.revision_id == current.revision_id


async def test_an_unknown_object_has_no_history(here: World):
    await here.apply(definition())
    for kind, name in ((SUBSCRIPTION, "digest"), (DEFINITION, "nothing")):
        with pytest.raises(NotFoundError):
            await here.history(kind, name)


# ---- rollback ------------------------------------------------------------------------


async def test_without_a_number_the_version_before_the_latest_change_is_restored(here: World):
    await here.apply(definition(timeout="1h"))
    await here.apply(definition(timeout="2h"))
    plan = await here.roll_back(DEFINITION, "digest")
    (change,) = plan.changes
    assert [(field.path, field.old, field.new) for field in change.fields] == [
        ("spec.timeout", "2h", "1h")
    ]
    latest = (await here.history(DEFINITION, "digest"))[0]
    assert (latest.number, latest.origin.command, latest.origin.actor) == (3, "rollback", "me")
    assert latest.at == NOW + timedelta(hours=1)


async def test_two_rollbacks_restore_the_first_state(here: World):
    await here.apply(definition(timeout="1h"))
    await here.apply(definition(timeout="2h"))
    before = await here.live(DEFINITION, "digest")
    await here.roll_back(DEFINITION, "digest")
    await here.roll_back(DEFINITION, "digest")
    assert await here.live(DEFINITION, "digest") == before


async def test_a_deleted_subscription_is_restored_with_its_id_and_active(here: World):
    await here.apply(definition(), subscription(params={"a": 1}, paused=None), applyset="shop")
    old = await here.ports.catalog.find_subscription("sub")
    await here.set_status("sub", PAUSED)
    await here.delete(SUBSCRIPTION, "sub")
    assert await here.live(SUBSCRIPTION, "sub") is None
    plan = await here.roll_back(SUBSCRIPTION, "sub")
    assert [change.action for change in plan.changes] == [Action.CREATED]
    new = await here.ports.catalog.find_subscription("sub")
    assert (new.id, new.params, new.status) == (old.id, {"a": 1}, ACTIVE)
    rows = await here.ports.register.schedules(Selection())
    assert [row.wanted.trigger for row in rows] == ["hourly"]


async def test_a_deleted_definition_is_restored(here: World):
    await here.apply(definition())
    await here.delete(DEFINITION, "digest")
    await here.roll_back(DEFINITION, "digest")
    assert await here.live(DEFINITION, "digest") is not None


async def test_a_rollback_keeps_an_object_in_its_apply_set(here: World):
    await here.apply(definition(), subscription(), applyset="shop")
    await here.apply(subscription(params={"a": 1}), applyset="shop")
    await here.roll_back(SUBSCRIPTION, "sub")
    assert (await here.ports.catalog.find_subscription("sub")).applyset == "shop"


async def test_a_restored_object_returns_to_its_set_while_that_has_members(here: World):
    await here.apply(definition(), subscription(), subscription("other"), applyset="shop")
    await here.apply(subscription(params={"a": 1}), applyset="shop")
    for name in ("sub", "other"):
        await here.delete(SUBSCRIPTION, name)
    plan = await here.roll_back(SUBSCRIPTION, "sub")
    assert plan.applyset == "shop"
    assert (await here.ports.catalog.find_subscription("sub")).applyset == "shop"
    again = await here.apply(definition(), subscription(params={"a": 1}), applyset="shop")
    assert again.is_empty
    await here.delete(SUBSCRIPTION, "sub")
    await here.roll_back(SUBSCRIPTION, "sub")  # an earlier rollback keeps the set, too
    assert (await here.ports.catalog.find_subscription("sub")).applyset == "shop"


async def test_a_restored_object_is_in_no_set_when_its_set_has_no_members(here: World):
    await here.apply(definition())
    await here.apply(subscription(), applyset="shop")
    await here.delete(SUBSCRIPTION, "sub")
    assert (await here.roll_back(SUBSCRIPTION, "sub")).applyset is None
    assert (await here.ports.catalog.find_subscription("sub")).applyset is None


async def test_the_history_names_the_change_that_was_rolled_back_to(here: World):
    for n in (1, 2, 3):
        await here.apply(definition(), subscription(params={"a": n}))
    await here.roll_back(SUBSCRIPTION, "sub", 1)
    await here.roll_back(SUBSCRIPTION, "sub")
    entries = await here.history(SUBSCRIPTION, "sub")
    restored = {change.number: rolled_back_to(change, entries) for change in entries}
    assert restored == {5: 3, 4: 1, 3: None, 2: None, 1: None}


async def test_a_rollback_without_an_earlier_version_is_refused(here: World):
    await here.apply(definition(), subscription())
    with pytest.raises(ConflictError, match="no earlier version"):
        await here.roll_back(SUBSCRIPTION, "sub")
    with pytest.raises(NotFoundError, match='change "7"'):
        await here.roll_back(SUBSCRIPTION, "sub", 7)
    with pytest.raises(NotFoundError):
        await here.roll_back(SUBSCRIPTION, "nothing")
    await here.delete(SUBSCRIPTION, "sub")
    with pytest.raises(ConflictError, match="change 2 deleted subscription/sub") as refusal:
        await here.roll_back(SUBSCRIPTION, "sub", 2)
    assert refusal.value.hint == "activityctl rollback subscription sub"


async def test_a_version_that_no_longer_fits_is_refused(here: World):
    await here.apply(definition(), subscription(params={"a": 1}))
    await here.apply(subscription(params={"a": "one"}))
    strict = {"type": "object", "properties": {"a": {"type": "string"}}}
    await here.apply(definition(params=strict))
    with pytest.raises(InvalidManifestsError) as caught:
        await here.roll_back(SUBSCRIPTION, "sub")
    (problem,) = caught.value.problems
    assert "earlier version of subscription/sub: spec.params.a" in str(problem)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("activityctl history subscription sub")
    assert len(await here.history(SUBSCRIPTION, "sub")) == 2


async def test_a_subscription_is_not_restored_without_its_definition(here: World):
    await here.apply(definition(), subscription())
    await here.delete(SUBSCRIPTION, "sub")
    await here.delete(DEFINITION, "digest")
    with pytest.raises(InvalidManifestsError) as caught:
        await here.roll_back(SUBSCRIPTION, "sub")
    assert caught.value.hint == "activityctl rollback def digest"
    await here.roll_back(DEFINITION, "digest")
    await here.roll_back(SUBSCRIPTION, "sub")


async def test_a_restored_definition_must_fit_its_subscriptions(here: World):
    strict = {"type": "object", "properties": {"a": {"type": "string"}}}
    await here.apply(definition(params=strict))
    await here.apply(definition(), subscription(params={"a": 1}))
    with pytest.raises(InvalidManifestsError) as caught:
        await here.roll_back(DEFINITION, "digest")
    assert "breaks subscription 'sub'" in str(caught.value.problems[0])


# ---- export and delete ---------------------------------------------------------------


async def test_an_export_has_live_objects_definitions_first_without_the_paused_status(here: World):
    await here.apply(definition("b"), definition("a"), definition(), subscription("y", paused=True))
    await here.apply(subscription("x"), subscription("gone"))
    await here.delete(SUBSCRIPTION, "gone")
    found = await here.export()
    assert [document["metadata"]["name"] for document in found] == ["a", "b", "digest", "x", "y"]
    assert all(list(document) == ["apiVersion", "kind", "metadata", "spec"] for document in found)
    assert found[-1]["spec"] == {"activity": "digest"}
    assert (await here.apply(*parsed(found))).is_empty
    assert (await here.ports.catalog.find_subscription("y")).status is PAUSED


async def test_an_export_is_selected_by_name_and_labels(here: World):
    team = {"team": "a", "env": "prod"}
    await here.apply(definition(labels=team), subscription("digest"), subscription(labels=team))

    async def names(**selection: Any) -> list[tuple[str, str]]:
        found = await here.export(Selection(**selection))
        return [(document["kind"], document["metadata"]["name"]) for document in found]

    assert await names(name="digest") == [(DEFINITION, "digest"), (SUBSCRIPTION, "digest")]
    assert await names(labels={"team": "a"}) == [(DEFINITION, "digest"), (SUBSCRIPTION, "sub")]
    assert await names(labels={"team": "b"}) == []


async def test_deleting_a_subscription_deletes_its_schedules_and_nothing_else(here: World):
    await here.apply(definition(), subscription(), subscription("other"))
    plan = await here.delete(SUBSCRIPTION, "sub")
    assert [(change.name, change.action) for change in plan.changes] == [("sub", Action.DELETED)]
    rows = await here.ports.register.schedules(Selection())
    assert [row.subscription for row in rows] == ["other"]
    with pytest.raises(ConflictError, match='"other" uses it'):
        await here.delete(DEFINITION, "digest")
    with pytest.raises(NotFoundError):
        await here.delete(SUBSCRIPTION, "sub")
