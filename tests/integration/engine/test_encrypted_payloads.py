"""With a key for payloads, Temporal has nothing to read; runs outlive its coming and rotation."""

import asyncio
import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload

from activityctl import wiring
from activityctl.domain.runs import fresh_start
from activityctl.domain.runs.run import RunStatus, TaskStatus
from activityctl.domain.runs.waiting import Answer
from activityctl.operations.runs.complete import complete
from activityctl.secret import SecretReference
from activityctl.settings import Secret, Settings
from support.engine import Engine
from support.worker import working

SPEC = {"tasks": [{"name": "look", "manual": {"instructions": "look"}}]}
OLD, NEW = (base64.b64encode(32 * letter).decode() for letter in (b"o", b"n"))


def reference(key: str) -> SecretReference:
    return SecretReference("temporal_payload_key_ref", "env", "KEY", found=Secret(key))


def with_keys(settings: Settings, key: str, former: str | None = None) -> Settings:
    return replace(
        settings,
        temporal_payload_key_ref=reference(key),
        temporal_former_payload_key_ref=None if former is None else reference(former),
    )


def payloads_in(message: Message) -> Iterator[Payload]:
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None or field.name == "marker_recorded_event_attributes":
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                for each in value.values():
                    yield from payloads_in(each)
            continue
        for each in value if field.is_repeated else [value]:
            yield from payloads_in(each)


async def waits(engine: Engine, run_id: str) -> None:
    async with asyncio.timeout(60):
        while True:
            tasks = await engine.tasks(run_id)
            if tasks and tasks["look"].status is TaskStatus.WAITING:
                return
            await asyncio.sleep(0.02)


async def answer(engine: Engine, run_id: str) -> None:
    task = (await engine.tasks(run_id))["look"]
    await complete(engine.ports.waits, task, Answer({}, None, "test"))


async def verified(settings: Settings, run_id: str) -> list[str | None]:
    """Return why the run's history cannot be replayed, if it cannot."""
    histories = wiring.build_histories(settings)
    found = histories.verify_server(only_open=False, since=None, limit=100, save_to=None)
    return [each.reason async for each in found if run_id in each.runs]


async def encodings_of(settings: Settings, run_id: str, engine: Engine) -> list[bytes]:
    """Return how the payloads of a run are encoded, except those by which Temporal searches."""
    run = await engine.run_of(run_id)
    client = await wiring.connect_temporal(settings)
    workflow = f"run/{run.subscription_id}/{run.trigger}/{run.firing_key}"
    history = await client.get_workflow_handle(workflow).fetch_history()
    found = (each for event in history.events for each in payloads_in(event))
    return [each.metadata["encoding"] for each in found if "type" not in each.metadata]


async def test_runs_outlive_the_coming_and_the_rotation_of_the_key(
    engine: Engine, settings: Settings
) -> None:
    rotated = with_keys(settings, NEW, OLD)
    runs = []
    for each in (settings, with_keys(settings, OLD), rotated):
        async with working(each):
            await engine.apply(SPEC)
            runs.append(await engine.fire())
            await waits(engine, runs[-1])
    encodings = [set(await encodings_of(settings, run_id, engine)) for run_id in runs]
    assert encodings == [{b"json/plain"}, {b"binary/encrypted"}, {b"binary/encrypted"}]
    async with working(rotated):
        for run_id in runs:
            await answer(engine, run_id)
        for run_id in runs:
            assert (await engine.ended(run_id)).status is RunStatus.SUCCEEDED
    assert [await verified(rotated, run_id) for run_id in runs] == [[None]] * 3


@pytest.mark.usefixtures("soon")
async def test_a_run_whose_key_is_missing_is_stuck_until_a_new_workflow_goes_on_with_it(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh_start, "AT_LATEST", timedelta(0))
    async with working(with_keys(settings, OLD)):
        await engine.apply(SPEC)
        run_id = await engine.fire()
        await waits(engine, run_id)
    async with working(settings), asyncio.timeout(120):
        await answer(engine, run_id)
        while not (stuck := await engine.run_of(run_id)).is_stuck:
            await asyncio.sleep(0.02)
        assert "which this process does not have: name it as" in str(stuck.stuck_reason)
        assert (await engine.ended(run_id, seconds=120)).status is RunStatus.SUCCEEDED
