"""The log tells of each trigger whose task ended before the trigger did, however it ended."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest_asyncio

from activityctl import wiring
from activityctl.domain.chain.hook_outcome import SKIPPED, HookOutcome, OutcomeKind
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.ids import task_id
from activityctl.domain.values.log import LogEntry, LogFilter
from activityctl.ports import HookEnd, HookRow
from activityctl.steps.record import RecordStep
from activityctl.workflows.calls import StopOrder

MakeRun = Callable[..., Awaitable[Run]]
SENT_HASH = "0x" + "ab" * 32


class Triggers:
    """A run whose tasks have asked an executor, and the step that records how they end."""

    def __init__(self, ports: wiring.Ports, run: Run, now: datetime) -> None:
        self.ports = ports
        self.run = run
        self.now = now
        self.step = RecordStep(ports.runs, lambda: now)

    def key(self, index: int) -> str:
        return task_id(self.run.id, "note", index)

    async def ask(self, index: int) -> str:
        """Begin the attempt of the task, and keep its trigger."""
        key, run = self.key(index), self.run
        await self.ports.runs.begin_attempt(key, self.now, "worker-1")
        params = {"subAccountAddress": "0x1", "chainID": 8453}
        payload = {"requestID": f"{key}-at", "params": params}
        row = HookRow(key, run.subscription_id, run.id, f"{key}-at", payload, self.now)
        await self.ports.hooks.begin(row)
        return key

    async def end(self, index: int, reason: str, status: str = "failed") -> None:
        """Record the end as the workflow does."""
        await self.step.record(StopOrder(self.run.id, status, reason, self.key(index)))

    async def entries(self) -> list[LogEntry]:
        wanted = LogFilter((self.run.subscription_id,), run_id=self.run.id)
        entries, _ = await self.ports.logbook.last(wanted, 100)
        return [entry for entry in entries if entry.message == "trigger"]


@pytest_asyncio.fixture(loop_scope="session")
async def triggers(ports: wiring.Ports, make_run: MakeRun, now: datetime) -> Triggers:
    run = await make_run("k", tasks=5, kind="webhook")
    return Triggers(ports, run, now + timedelta(minutes=1))


async def test_an_end_that_the_workflow_records_leaves_an_entry_once(triggers: Triggers):
    key = await triggers.ask(0)
    reason = "the worker was lost or did not stop the task in time"
    for _ in range(2):  # the answer of the first call may be lost
        await triggers.end(0, reason)
    (entry,) = await triggers.entries()
    assert entry.level == "error"
    metadata = dict(entry.metadata)
    assert metadata.pop("error") == {"type": "task_failed", "message": reason}
    assert metadata.pop("request")["requestID"] == f"{key}-at"  # type: ignore[call-overload,index]  # JSON
    assert metadata == {
        "task": "note",
        "index": 0,
        "taskId": key,
        "attempt": 1,
        "requestID": f"{key}-at",
        "outcome": "failed",
        "response": None,
        "postExecutionState": None,
        "subAccountAddress": "0x1",
        "chainId": 8453,
        "outputTxHash": "0x" + "0" * 64,
    }
    read = await triggers.ports.hooks.entries(triggers.run.subscription_id, offset=0, limit=9)
    assert [each.metadata["requestID"] for each in read] == [f"{key}-at"]
    again = HookRow(key, triggers.run.subscription_id, "x", "y", {}, triggers.now)
    row = await triggers.ports.hooks.begin(again)  # a retry goes on with the same request
    assert (row.request_id, row.closed_at) == (f"{key}-at", None)


async def test_what_was_answered_and_decided_is_told_although_the_executor_was_not(
    triggers: Triggers,
):
    key, hooks = await triggers.ask(0), triggers.ports.hooks
    await hooks.sending(
        key, '{"requestID": "as-sent", "params": {"subAccountAddress": "0x1", "chainID": 1}}'
    )
    await hooks.answered(key, '{"skip": false}', None, triggers.now)
    executed = HookOutcome(OutcomeKind.EXECUTED, transaction_hash=SENT_HASH)
    await hooks.decided(key, executed)
    await triggers.end(0, "the task took longer than timeout.total")
    (entry,) = await triggers.entries()
    assert (entry.level, entry.metadata["outcome"]) == ("info", "executed")
    assert entry.metadata["outputTxHash"] == SENT_HASH
    assert entry.metadata["response"] == {"skip": False}
    assert entry.metadata["requestID"] == "as-sent"


async def test_a_trigger_that_had_ended_is_not_told_again(triggers: Triggers):
    key = await triggers.ask(0)
    at = triggers.now
    own = LogEntry(triggers.run.subscription_id, triggers.run.id, "trigger", "info", at)
    await triggers.ports.hooks.answered(key, "{}", SKIPPED, at)
    await triggers.ports.hooks.close(key, HookEnd(None, None, own, at))
    await triggers.end(0, "lost")
    assert len(await triggers.entries()) == 1


async def test_a_cancelled_run_tells_of_the_triggers_of_its_tasks(triggers: Triggers):
    ports, run = triggers.ports, triggers.run
    begun = [await triggers.ask(index) for index in (0, 1)]
    await ports.runs.request_cancel(run.id, triggers.now)
    await triggers.step.record(StopOrder(run.id, "cancelled", "on request", waits=True))
    assert await triggers.entries() == []  # their attempts may still hear an answer
    await triggers.end(0, "", "cancelled")  # it has stopped
    assert [each.metadata["taskId"] for each in await triggers.entries()] == begun[:1]
    await triggers.step.record(StopOrder(run.id, "cancelled", "on request"))  # or never does
    found = {each.metadata["taskId"]: each.metadata["error"] for each in await triggers.entries()}
    assert set(found) == set(begun)
    assert {dict(error)["type"] for error in found.values()} == {"cancelled"}  # type: ignore[arg-type,call-overload]  # JSON
    (after,) = await ports.run_lists.runs_of([run.id])
    assert after.status is RunStatus.CANCELLED


async def test_a_failed_attempt_of_a_task_leaves_its_trigger_when_no_other_comes(
    triggers: Triggers,
):
    key = await triggers.ask(2)
    run, error = triggers.run, "no answer"
    await triggers.step.end_task(run.id, key, error=error, code="unreachable", is_attempt=True)
    (entry,) = await triggers.entries()
    assert entry.metadata["error"] == {"type": "unreachable", "message": error}
