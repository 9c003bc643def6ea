"""Tasks that run another automation."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.operations.gitops.apply import apply
from support.engine import ANY_PARAMS, NAME, Engine, now, shell

DOUBLE = {"tasks": [{"name": "n", "value": "${ trigger.payload.n * 2 }"}]}


async def applied(engine: Engine, specs: Mapping[str, Mapping[str, Any]]) -> None:
    """Apply several definitions, each with a subscription of its name."""
    definitions, subscriptions = {}, {}
    for name, spec in specs.items():
        document = {"metadata": {"name": name}, "spec": {"params": ANY_PARAMS, **spec}}
        text = ids.canonical_json(document)
        definitions[name] = ActivityDefinition.model_validate_json(text)
        wanted = {"metadata": {"name": name}, "spec": {"activity": name}}
        subscriptions[name] = SubscriptionManifest.model_validate(wanted)
    manifests = ManifestSet(definitions, subscriptions, {})
    ports = engine.ports
    done = await apply(
        manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=60
    )
    assert not done.errors


async def runs_of(engine: Engine, name: str) -> list[Run]:
    owner = await engine.ports.catalog.find_subscription(name)
    return await engine.ports.run_lists.runs(Selection(subscription_id=owner.id))


def call(**body: Any) -> dict[str, Any]:
    return {"name": "call", "activity": {"subscription": "child", **body}}


@pytest.mark.usefixtures("worker")
async def test_a_run_waits_for_another_and_reads_its_results(engine: Engine) -> None:
    result = {"name": "result", "needs": ["call"], "value": "${ tasks.call.output.tasks.n + 1 }"}
    await applied(engine, {NAME: {"tasks": [call(payload={"n": 20}), result]}, "child": DOUBLE})
    run = await engine.ended(await engine.fire())
    assert run.status is RunStatus.SUCCEEDED
    tasks = await engine.tasks(run.id)
    assert tasks["result"].output == 41
    (child,) = await runs_of(engine, "child")
    assert (child.trigger, tasks["call"].output["run"]) == ("activity", child.id)
    assert child.firing_key == f"child/1/{tasks['call'].id}"


@pytest.mark.usefixtures("worker")
async def test_a_failed_or_missing_run_fails_the_task(engine: Engine) -> None:
    failing = {"tasks": [{"name": "bad", "value": "${ 1 / 0 }"}]}
    await applied(engine, {NAME: {"tasks": [call()]}, "child": failing})
    run = await engine.ended(await engine.fire())
    assert run.status is RunStatus.FAILED
    (child,) = await runs_of(engine, "child")
    assert f"task call failed: run {child.id[:8]} of child failed: task bad failed" in str(
        run.reason
    )
    await engine.apply({"tasks": [call(subscription="nobody")]})
    run = await engine.ended(await engine.fire())
    assert run.reason == 'task call failed: there is no subscription "nobody"'


@pytest.mark.usefixtures("worker")
async def test_a_cancellation_goes_down_unless_nobody_waits(engine: Engine) -> None:
    sleeping = {"tasks": [shell("sleep 60")]}
    for waits in (True, False):
        pause = {"name": "pause", "wait": {"for": "1h"}}
        await applied(engine, {NAME: {"tasks": [call(wait=waits), pause]}, "child": sleeping})
        run_id = await engine.fire()
        async with asyncio.timeout(60):
            while not (found := await runs_of(engine, "child")) or found[0].has_ended:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        await engine.cancel(run_id)
        assert (await engine.ended(run_id)).status is RunStatus.CANCELLED
        child = found[0].id
        if waits:
            ended = await engine.ended(child)
            assert ended.status is RunStatus.CANCELLED
            assert ended.reason == "cancelled with the task that started it"
        else:
            assert (await engine.run_of(child)).status is RunStatus.RUNNING
            await engine.cancel(child)
            await engine.ended(child)


@pytest.mark.usefixtures("worker")
async def test_a_run_that_starts_itself_ends_at_the_depth_limit(engine: Engine) -> None:
    await engine.apply({"tasks": [call(subscription=NAME)]})
    run = await engine.ended(await engine.fire(), 60)
    assert run.status is RunStatus.FAILED
    runs = await runs_of(engine, NAME)
    assert len(runs) == 11
    deepest = next(run for run in runs if run.firing_key.startswith("child/10/"))
    assert "10 deep, and this would be deeper" in str(deepest.reason)
