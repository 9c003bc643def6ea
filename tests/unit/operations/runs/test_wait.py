"""The reasons that `wait` gives for a run that has not ended in time."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from activityctl.adapters.memory.runs.lists import MemoryRunLists
from activityctl.adapters.memory.signals import MemoryWorkers
from activityctl.adapters.memory.state import MemoryState, RunRow
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.domain.values.ids import RevisionId, RunId, SubscriptionId
from activityctl.errors import WaitTimeoutError
from activityctl.operations.runs import wait
from activityctl.operations.runs.wait import wait_for_run

NOW = datetime.now(UTC)
QUEUED = Run(
    RunId("r1"),
    SubscriptionId("s1"),
    "sub",
    "def",
    RevisionId("v1"),
    "manual",
    "k",
    NOW,
    RunStatus.QUEUED,
    NOW,
    reason="queued at 2026-05-01T12:00:00Z: waiting for 1 run (concurrency policy queue, limit 1)",
)


@pytest.mark.parametrize(
    ("run", "has_worker", "answers", "reason", "hint"),
    [
        (None, False, True, "not started, no worker is running", "activityctl status"),
        (None, True, False, "not started, Temporal does not answer", "activityctl doctor"),
        (None, True, True, "not started, although a worker is running", "activityctl doctor"),
        (QUEUED, True, True, QUEUED.reason, "activityctl describe run r1"),
        (QUEUED, False, True, "queued, no worker is running", "activityctl status"),
        (
            replace(QUEUED, status=RunStatus.RUNNING, reason=None),
            True,
            True,
            "running",
            "activityctl describe run r1",
        ),
        (
            replace(QUEUED, status=RunStatus.CANCELLING, reason="cancelled on request"),
            True,
            True,
            "cancelling, waiting for its tasks to end",
            "activityctl describe run r1",
        ),
    ],
)
async def test_a_timeout_says_why_the_run_has_not_ended(
    run: Run | None, *, has_worker: bool, answers: bool, reason: str, hint: str
):
    state = MemoryState()
    if run is not None:
        state.runs[run.id] = RunRow(run, "w", None, None)
    workers = MemoryWorkers(state)
    if has_worker:
        await workers.beat(WorkerBeat("w1", "host", 1, "1", datetime.now(UTC)))

    async def reaches_temporal() -> bool:
        return answers

    with pytest.raises(WaitTimeoutError) as caught:
        await wait_for_run(
            MemoryRunLists(state),
            workers,
            "r1",
            timeout_seconds=0,
            reaches_temporal=reaches_temporal,
        )
    assert caught.value.message == f"run r1 has not ended after 0s: {reason}"
    assert caught.value.hint == hint


async def test_a_stuck_run_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wait, "_STUCK_FOR", 0.0)
    state = MemoryState()
    stuck = replace(QUEUED, status=RunStatus.RUNNING, stuck_since=NOW, stuck_reason="TMPRL1100")
    state.runs[stuck.id] = RunRow(stuck, "w", None, None)

    async def reaches_temporal() -> bool:
        raise AssertionError

    workers = MemoryWorkers(state)
    with pytest.raises(WaitTimeoutError, match=r"run r1 is stuck .* TMPRL1100") as caught:
        async with asyncio.timeout(60):
            await wait_for_run(
                MemoryRunLists(state),
                workers,
                "r1",
                timeout_seconds=600,
                reaches_temporal=reaches_temporal,
            )
    assert "activityctl cancel r1" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("run", "has_worker", "told"),
    [
        (None, False, ["is recorded; no worker is running, waiting for one"]),
        (QUEUED, False, ["cannot go on; no worker is running, waiting for one"]),
        (QUEUED, True, []),
    ],
)
async def test_who_waits_hears_at_once_that_no_worker_is_running(
    run: Run | None, *, has_worker: bool, told: list[str]
):
    state = MemoryState()
    if run is not None:
        state.runs[run.id] = RunRow(run, "w", None, None)
    workers = MemoryWorkers(state)
    if has_worker:
        await workers.beat(WorkerBeat("w1", "host", 1, "1", datetime.now(UTC)))

    async def reaches_temporal() -> bool:
        return True

    heard: list[str] = []
    with pytest.raises(WaitTimeoutError):
        await wait_for_run(
            MemoryRunLists(state),
            workers,
            "r1",
            timeout_seconds=0.2,
            reaches_temporal=reaches_temporal,
            on_progress=heard.append,
        )
    assert heard == told
