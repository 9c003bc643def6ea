"""What workflows in memory were told is compared with their histories in a real Temporal.

What a worker does about a loss is in tests/drills/test_lost_seconds.py.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.worker import Worker

from activityctl import wiring
from activityctl.adapters.temporal import remembered
from activityctl.adapters.temporal.remembered import LOOK_AFTER, LOOK_AGAIN, RememberedHistories
from activityctl.adapters.temporal.watching_runner import WatchingRunner
from activityctl.settings import Settings

QUEUE = "remembered"


@activity.defn
async def slow() -> None:
    await asyncio.sleep(0.3)


@workflow.defn
class Waiting:
    """Waits for signals. `fails` says how often its code fails before it hears of one."""

    failures = 0

    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_local_activity(slow, start_to_close_timeout=timedelta(seconds=9))
        await workflow.wait_condition(lambda: "end" in self.heard)
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.signal
    async def hear(self, word: str) -> None:
        if word == "fail" and Waiting.failures < 2:
            Waiting.failures += 1
            raise RuntimeError("not yet")
        self.heard.append(word)
        await workflow.execute_local_activity(slow, start_to_close_timeout=timedelta(seconds=9))

    @workflow.query
    def words(self) -> list[str]:
        return self.heard


class Watch:
    def failed(self, workflow_id: str, error: str) -> None: ...

    def worked(self, workflow_id: str) -> None: ...


class Bench:
    """A worker that remembers workflows, and a clock of the test's own."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.seconds = 0.0
        self.histories = RememberedHistories(client, lambda: self.seconds)
        self.last = WorkflowActivation()
        """The last that a workflow was told with a signal."""

    def note(
        self, workflow_id: str, act: WorkflowActivation, done: WorkflowActivationCompletion
    ) -> None:
        if any(job.HasField("signal_workflow") for job in act.jobs):
            self.last = act
        self.histories.note(workflow_id, act, done)

    async def told(self, handle: WorkflowHandle[Any, Any], *words: str) -> None:
        """Wait until the workflow has heard the last of these words."""
        for word in words:
            await handle.signal(Waiting.hear, word)
            async with asyncio.timeout(60):
                while word not in await handle.query(Waiting.words):
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)  # what follows the word

    async def lost_after(self, seconds: float) -> list[str]:
        self.seconds += seconds
        return await self.histories.lost()


@pytest.fixture
async def bench(settings: Settings) -> AsyncIterator[Bench]:
    bench = Bench(await wiring.connect_temporal(settings))
    runner = WatchingRunner(Watch(), bench.note)
    async with Worker(
        bench.client,
        task_queue=QUEUE,
        workflows=[Waiting],
        activities=[slow],
        workflow_runner=runner,
    ):
        yield bench


@pytest.fixture
async def handle(bench: Bench) -> AsyncIterator[WorkflowHandle[Any, Any]]:
    handle = await bench.client.start_workflow(Waiting.run, id="remembered", task_queue=QUEUE)
    yield handle
    with suppress(RPCError):  # it has ended
        await handle.terminate()


async def test_a_history_that_has_everything_is_whole_also_after_failed_tasks(
    bench: Bench, handle: WorkflowHandle[Any, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remembered, "_PAGE", 3)
    monkeypatch.setattr(Waiting, "failures", 0)
    await bench.told(handle, "a", "fail", "b")
    assert Waiting.failures == 2
    assert await bench.lost_after(LOOK_AFTER) == []
    await bench.told(handle, "c")
    assert await bench.lost_after(LOOK_AFTER) == []
    for pause in LOOK_AGAIN:
        assert await bench.lost_after(pause) == []
    await handle.signal(Waiting.hear, "end")
    assert await handle.result() is None
    assert not bench.histories._remembered


async def test_a_start_that_the_history_lacks_is_found_once(
    bench: Bench, handle: WorkflowHandle[Any, Any]
):
    await bench.told(handle, "a", "b")
    act = bench.last
    act.history_length += 100  # Temporal has lost what came after
    bench.histories.note(handle.id, act, WorkflowActivationCompletion())
    assert await bench.lost_after(LOOK_AFTER) == [handle.id]
    assert await bench.lost_after(LOOK_AGAIN[-1]) == []


async def test_a_history_that_went_on_in_another_way_is_found(
    bench: Bench, handle: WorkflowHandle[Any, Any]
):
    await bench.told(handle, "a")
    act = bench.last
    act.timestamp.nanos = (act.timestamp.nanos + 1) % 10**9
    bench.histories.note(handle.id, act, WorkflowActivationCompletion())
    await bench.told(handle, "b", "c")  # the last starts are the same
    assert await bench.lost_after(LOOK_AFTER) == [handle.id]


async def test_a_task_that_came_again_at_another_time_is_found(
    bench: Bench, handle: WorkflowHandle[Any, Any]
):
    await bench.told(handle, "a")
    again = WorkflowActivation()
    again.CopyFrom(bench.last)
    bench.last.timestamp.nanos = (bench.last.timestamp.nanos + 1) % 10**9
    for act in (bench.last, again):  # the history has only the second one
        bench.histories.note(handle.id, act, WorkflowActivationCompletion())
    assert await bench.lost_after(LOOK_AFTER) == [handle.id]
