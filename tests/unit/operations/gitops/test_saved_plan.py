"""Saved plans: written, restored, applied once, and refused when they no longer fit."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.domain.gitops.fingerprint import hash_of_parts
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN, Origin
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.ids import canonical_json, content_hash
from activityctl.domain.values.model import canonical
from activityctl.errors import ConflictError, InvalidInputError
from activityctl.operations.gitops.apply import apply_saved
from activityctl.operations.gitops.history import delete
from activityctl.operations.gitops.plan import Planned, plan_of_files
from activityctl.operations.gitops.saved_plan import restore, save
from support.examples import examples

NOW = datetime(2026, 5, 1, tzinfo=UTC)
Manifest = ActivityDefinition | SubscriptionManifest

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
texts = st.dictionaries(st.sampled_from(["team", "app.example/a b"]), st.text(max_size=4))


@given(st.lists(st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values)))
def test_the_hash_of_parts_is_that_of_the_whole(parts: list[Any]):
    assert hash_of_parts(parts) == content_hash(parts)


def definition(name: str, tasks: Any, params: Any, labels: Any, timeout: str) -> ActivityDefinition:
    schema = {"type": "object", "additionalProperties": True, "default": params}
    spec = {"params": schema, "timeout": timeout, "tasks": [{"name": "a", "say": {"to": tasks}}]}
    return ActivityDefinition.model_validate_json(
        json.dumps({"metadata": {"name": name, "labels": labels}, "spec": spec})
    )


def subscription(name: str, params: Any, labels: Any, paused: object) -> SubscriptionManifest:
    spec = {"activity": "d0", "params": params, "paused": paused, "triggers": {}}
    return SubscriptionManifest.model_validate_json(
        json.dumps({"metadata": {"name": name, "annotations": labels}, "spec": spec})
    )


definitions = st.builds(
    definition,
    st.sampled_from(["d0", "d1"]),
    values,
    st.dictionaries(st.text(max_size=3), values, max_size=2),
    texts,
    st.sampled_from(["1d", "90s"]),
)
subscriptions = st.builds(
    subscription,
    st.sampled_from(["s0", "s1"]),
    st.dictionaries(st.text(max_size=3), values, max_size=3),
    texts,
    st.sampled_from([None, True, False]),
)


def manifest_set(*manifests: Manifest) -> ManifestSet:
    return ManifestSet(
        {
            manifest.metadata.name: manifest
            for manifest in manifests
            if isinstance(manifest, ActivityDefinition)
        },
        {
            manifest.metadata.name: manifest
            for manifest in manifests
            if isinstance(manifest, SubscriptionManifest)
        },
    )


def wanted(*manifests: Manifest, applyset: str | None = None, prune: bool = False) -> Wanted:
    found = manifest_set(*manifests)
    return Wanted(found.definitions, found.subscriptions, applyset, prune)


async def planned(ports: MemoryPorts, want: Wanted) -> Planned:
    manifests = ManifestSet(want.definitions, want.subscriptions)
    return await plan_of_files(manifests, want, ports.catalog, ports.run_lists, lambda: NOW)


async def carried_out(ports: MemoryPorts, text: str, origin: Origin = UNKNOWN_ORIGIN) -> Any:
    saved = restore(text, "a.plan")
    return await apply_saved(saved.wanted, saved.fingerprint, ports.catalog, NOW, origin)


def exactly(want: Wanted) -> Any:
    """Return the wanted state as text, so that `true` and 1, or 1 and 1.0, are different."""
    kinds = (want.definitions, want.subscriptions)
    documents = [[name, canonical(manifest)] for kind in kinds for name, manifest in kind.items()]
    return canonical_json([documents, want.applyset, want.prune])


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(definitions | subscriptions, max_size=4),
    st.sampled_from([None, "shop"]),
    st.booleans(),
)
async def test_a_saved_plan_restores_to_what_was_wanted(
    manifests: list[Manifest], applyset: str | None, prune: Any
):
    base = definition("d0", None, {}, {}, "1d")
    want = wanted(base, *manifests, applyset=applyset, prune=prune)
    made = await planned(memory_ports(), want)
    saved = restore(save(made, want), "a.plan")
    restored, made_against = saved.wanted, saved.fingerprint
    assert restored == want
    assert exactly(restored) == exactly(want)
    assert made_against == made.fingerprint


DIGEST = definition("d0", "you", {}, {}, "1d")
SUB = subscription("s0", {"a": 1}, {}, None)


@pytest.fixture
def ports() -> MemoryPorts:
    return memory_ports()


async def test_a_saved_plan_is_applied_exactly_as_reviewed_and_only_once(ports: MemoryPorts):
    want = wanted(DIGEST, SUB, applyset="shop", prune=True)
    made = await planned(ports, want)
    text = save(made, want)
    done = await carried_out(ports, text, Origin("apply", "ci", "c0ffee"))
    assert done == made.plan
    (entry,) = await ports.catalog.history("Subscription", "s0")
    assert (entry.origin.actor, entry.origin.source_commit) == ("ci", "c0ffee")
    assert entry.applyset == "shop"
    before = await ports.catalog.present()
    with pytest.raises(ConflictError, match="out of date"):
        await carried_out(ports, text)
    assert await ports.catalog.present() == before


async def test_a_saved_plan_is_refused_after_another_apply(ports: MemoryPorts):
    first, second = wanted(DIGEST, SUB), wanted(subscription("s0", {"a": 2}, {}, None))
    await carried_out(ports, save(await planned(ports, first), first))
    text = save(await planned(ports, second), second)
    meanwhile = wanted(subscription("s0", {"a": 3}, {}, None))
    await carried_out(ports, save(await planned(ports, meanwhile), meanwhile))
    with pytest.raises(ConflictError) as caught:
        await carried_out(ports, text)
    assert caught.value.hint is not None
    assert "activityctl plan" in caught.value.hint
    assert (await ports.catalog.find_subscription("s0")).params == {"a": 3}


async def test_a_saved_plan_is_refused_when_its_definition_was_deleted(ports: MemoryPorts):
    first, second = wanted(DIGEST), wanted(SUB)
    await carried_out(ports, save(await planned(ports, first), first))
    text = save(await planned(ports, second), second)
    await delete(ports.catalog, "ActivityDefinition", "d0", lambda: NOW, UNKNOWN_ORIGIN)
    with pytest.raises(ConflictError):
        await carried_out(ports, text)


async def test_an_edited_saved_plan_is_refused(ports: MemoryPorts):
    want = wanted(DIGEST, SUB)
    text = save(await planned(ports, want), want)
    with pytest.raises(ConflictError):
        await carried_out(ports, text.replace('"to": "you"', '"to": "${ broken"'))
    assert (await ports.catalog.present()).definitions == {}


def edited(text: str, **fields: Any) -> str:
    return json.dumps({**json.loads(text), **fields})


async def test_a_file_that_is_not_a_saved_plan_is_refused(ports: MemoryPorts):
    want = wanted(DIGEST, SUB)
    good = save(await planned(ports, want), want)
    assert restore(good, "a.plan").wanted == want
    document = json.loads(good)["documents"][1]
    for text in (
        "",
        "null",
        "[]",
        '"SavedPlan"',
        "{}",
        good[: len(good) // 2],
        "[" * 100_000,
        edited(good, kind="Plan"),
        edited(good, apiVersion="activityctl/v0"),
        edited(good, applyset=1),
        edited(good, prune="no"),
        edited(good, documents=None),
        edited(good, documents=[1]),
        edited(good, documents=[{**document, "kind": "Secret"}]),
        edited(good, documents=[{**document, "kind": "ActivityDefinition"}]),
        edited(good, documents=[{**document, "metadata": {"name": "Not a name"}}]),
        edited(good, documents=[{"kind": "Subscription"}]),
        re.sub('"fingerprint": "[^"]*",', "", good),
    ):
        with pytest.raises(InvalidInputError, match=r"a\.plan is not a saved plan"):
            restore(text, "a.plan")


@pytest.mark.parametrize("commit", [None, "ab12" * 10, "ab12" * 10 + "-dirty"])
async def test_a_saved_plan_keeps_the_commit_of_its_files(commit: str | None):
    want = wanted(definition("d0", 1, {}, {}, "1d"))
    made = await planned(memory_ports(), want)
    saved = restore(save(made, want, commit), "a.plan")
    assert (saved.source_commit, saved.knows_commit) == (commit, True)
    older = json.loads(save(made, want))
    del older["sourceCommit"]
    assert not restore(json.dumps(older), "a.plan").knows_commit
    for forged in (7, "a\nb", "x" * 1_001):
        with pytest.raises(InvalidInputError):
            restore(json.dumps({**older, "sourceCommit": forged}), "a.plan")
