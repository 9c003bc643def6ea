"""Changing a subscription's state: what differs is recorded, and a rollback skips it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.gitops.history import Origin
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.ids import canonical_json
from activityctl.errors import ConflictError, NotFoundError
from activityctl.operations.gitops.history import delete, roll_back
from activityctl.operations.runs.state import change_state, with_values, without_keys
from support.manifests import ANY_PARAMS

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TASK = {"name": "t", "value": 1}
ANN = Origin("state set", "ann")


async def apply(ports: MemoryPorts, params: Mapping[str, Any]) -> None:
    definition = ActivityDefinition.model_validate_json(
        canonical_json({"metadata": {"name": "d"}, "spec": {"params": ANY_PARAMS, "tasks": [TASK]}})
    )
    subscription = SubscriptionManifest.model_validate_json(
        canonical_json({"metadata": {"name": "s"}, "spec": {"activity": "d", "params": params}})
    )
    async with ports.catalog.changing():
        wanted = Wanted({"d": definition}, {"s": subscription})
        await ports.catalog.write(plan_changes(wanted, await ports.catalog.present()), NOW)


@pytest.fixture
def memory() -> MemoryState:
    return MemoryState()


@pytest.fixture
async def ports(memory: MemoryState) -> MemoryPorts:
    found = memory_ports(memory)
    for number in (1, 2):
        await apply(found, {"a": number})
    return found


async def change(ports: MemoryPorts, how: Any, origin: Origin = ANN) -> Any:
    return await change_state(ports.catalog, "s", how, lambda: NOW, origin)


async def state_of(ports: MemoryPorts) -> Mapping[str, Any]:
    return (await ports.catalog.find_subscription("s")).state


async def test_what_differs_is_stored_and_recorded(ports: MemoryPorts):
    await change(ports, with_values({"cursor": 1, "last": {"id": 7}}))
    done = await change(ports, with_values({"cursor": 2}))
    assert [(field.path, field.old, field.new) for field in done.fields] == [("state.cursor", 1, 2)]
    assert await state_of(ports) == {"cursor": 2, "last": {"id": 7}}
    newest = (await ports.catalog.history("Subscription", "s"))[0]
    assert (newest.number, newest.action, newest.origin) == (4, "state", ANN)
    assert newest.fields == ({"path": "state.cursor", "old": 1, "new": 2},)
    assert not (await change(ports, with_values({"cursor": 2}))).fields
    assert len(await ports.catalog.history("Subscription", "s")) == 4


async def test_keys_are_removed_and_unknown_ones_are_said(ports: MemoryPorts):
    await change(ports, with_values({"a": 1, "b": 2, "c": 3}))
    await change(ports, without_keys(["a"]))
    assert await state_of(ports) == {"b": 2, "c": 3}
    with pytest.raises(NotFoundError, match="a") as caught:
        await change(ports, without_keys(["a"]))
    assert caught.value.hint == "keys: b, c"
    await change(ports, without_keys([]))
    assert await state_of(ports) == {}


async def test_a_change_that_a_run_made_meanwhile_is_kept(ports: MemoryPorts, memory: MemoryState):
    await change(ports, with_values({"cursor": 1}))
    calls = 0

    def racing(before: Mapping[str, Any]) -> Mapping[str, Any]:
        nonlocal calls
        calls += 1
        if calls == 1:
            (owner,) = memory.catalog.subscriptions.values()
            memory.catalog.subscriptions[owner.id] = replace(owner, state={"cursor": 5})
        return {**before, "other": 1}

    await change(ports, racing)
    assert await state_of(ports) == {"cursor": 5, "other": 1}


async def test_a_rollback_goes_to_the_manifest_before_the_last_one(ports: MemoryPorts):
    await change(ports, with_values({"cursor": 1}))
    await roll_back(ports.catalog, "Subscription", "s", None, lambda: NOW, Origin())
    found = await ports.catalog.find_subscription("s")
    assert found.params == {"a": 1}
    assert found.state == {"cursor": 1}


async def test_a_deleted_subscription_is_refused(ports: MemoryPorts):
    await delete(ports.catalog, "Subscription", "s", lambda: NOW, Origin())
    with pytest.raises(ConflictError, match="was deleted"):
        await change(ports, with_values({"cursor": 1}))
