"""A `python` task whose strategy wants a call done: it runs once, and the call is made once."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from activityctl import wiring
from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.run import Run
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.errors import TaskError
from activityctl.executors.executor_signatures import SignatureRefusedError
from activityctl.executors.python import PythonExecutor
from activityctl.executors.strategies.asked import StrategyAnswer
from activityctl.executors.trigger_steps import TriggerSteps
from activityctl.ports import ExecutorOutcome
from activityctl.steps.limited import parse_body
from support.calling import HASH, Cut, LostWorkerError, Sent, call_body
from support.commands import ENVIRONMENT, a_call
from support.hooked import Signed

AT = datetime(2026, 5, 1, 12, 30, 5, tzinfo=UTC)
ACCOUNT = "0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"
EXECUTOR = "0xd1f745f0d14918a2c1e31153f2492891e4526ea4"
WETH = "0x4200000000000000000000000000000000000006"
CALLS = {
    "executorAddress": EXECUTOR,
    "plugin": WETH,
    "policy": {"targets": [WETH], "maxValue": "9"},
}
CALL = {"executable": {"callType": 0, "to": WETH, "value": "0", "data": "0xd0e30db0"}}
MakeRun = Callable[..., Awaitable[Run]]
SAMPLES = Path(__file__).parents[2] / "sample_strategies"


@pytest_asyncio.fixture(loop_scope="session")
async def mine(ports: wiring.Ports, apply, define, subscribe) -> Subscription:
    account = {"chainId": 8453, "subAccountAddress": ACCOUNT}
    await apply(define("digest"), subscribe("mine", account=account))
    return await ports.catalog.find_subscription("mine")


@dataclass
class Task:
    """One task of a run; each attempt is a new executor, as of another worker."""

    ports: wiring.Ports
    run: Run
    notes: str
    answer: StrategyAnswer | None = None
    """What stands for the strategy; None to run the real one."""
    relay: Sent = field(default_factory=Sent)
    ledger: Any = None
    signatures: Any = field(default_factory=Signed)
    key: str = "key-1"
    asked: list[Any] = field(default_factory=list)

    async def attempt(self, **fields: Any) -> ExecutorOutcome:
        steps = TriggerSteps(
            self.ports.runs,
            self.ledger or self.ports.hooks,
            self.ports.spends,
            self.signatures,
            relay=self.relay,
        )
        executor = PythonExecutor(
            self.ports.runs, any_class=True, base_environment=ENVIRONMENT, steps=steps
        )
        if self.answer is not None:
            executor.ask = self._ask  # type: ignore[method-assign]
        call = replace(a_call(), run_id=self.run.id, idempotency_key=self.key)
        try:
            body = parse_body(executor, call_body(self.notes, **{**CALLS, **fields}))
            return await executor.execute(body, call)
        finally:
            await executor.close()

    async def _ask(self, _body: Any, _call: Any, _seconds: float, account: Any) -> StrategyAnswer:
        self.asked.append(account)
        assert self.answer is not None
        return self.answer

    async def fails(self, **fields: Any) -> TaskError:
        with pytest.raises(TaskError) as raised:
            await self.attempt(**fields)
        return raised.value


def wants(task: Mapping[str, Any] = CALL) -> StrategyAnswer:
    return StrategyAnswer(ExecutorOutcome({}), {"executorSignature": "0x", **task})


async def entries(ports: wiring.Ports, mine: Subscription) -> list[Any]:
    found, _ = await ports.logbook.page(LogFilter((mine.id,)), Cursor(), limit=100)
    return [entry for entry in found if entry.message == "trigger"]


@pytest.mark.parametrize(
    "cut",
    [
        ("begin", True, 1, 1),
        ("answered", False, 2, 1),
        ("answered", True, 1, 1),
        ("decided", False, 1, 2),
        ("decided", True, 1, 1),
        ("close", False, 1, 1),
        ("close", True, 1, 1),
    ],
    ids=lambda cut: f"{'after' if cut[1] else 'before'} {cut[0]}",
)
async def test_a_worker_that_dies_between_two_steps_asks_no_second_time_what_is_kept(
    ports: wiring.Ports,
    mine: Subscription,
    make_run: MakeRun,
    cut: tuple[str, bool, int, int],
):
    where, is_after, asked, relayed = cut
    task = Task(ports, await make_run("a", at=AT), "", wants())
    task.ledger = Cut(ports.hooks, where, is_after)
    with pytest.raises(LostWorkerError):
        await task.attempt(autosign="signer")
    outcome = await task.attempt(autosign="signer")
    assert outcome.output == {
        "response": None,
        "requestID": "key-1-2026-05-01T12:30:05Z",
        "skip": False,
        "outcome": "executed",
        "transactionHash": HASH,
    }
    assert await task.attempt(autosign="signer") == outcome
    assert (len(task.asked), len(task.relay.requests)) == (asked, relayed)
    assert {each["subAccountAddress"] for each in task.asked} == {ACCOUNT}
    (request,) = {(each.key, each.executor_signature) for each in task.relay.requests}
    assert request == ("key-1", "0x")
    (entry,) = await entries(ports, mine)
    assert entry.metadata["outputTxHash"] == HASH
    assert entry.metadata["response"]["task"] == {
        "subaccount": ACCOUNT,
        "executor": EXECUTOR,
        "executorSignature": "0x",
        **CALL,
    }
    assert entry.metadata["request"]["params"]["executorID"] == "sample_strategies:Calls"
    assert (entry.metadata["chainId"], entry.metadata["subAccountAddress"]) == (8453, ACCOUNT)


@pytest.mark.parametrize("ports", ["memory"], indirect=True)
async def test_what_is_refused_relays_nothing_and_is_in_the_log(
    ports: wiring.Ports, mine: Subscription, make_run: MakeRun
):
    task = Task(ports, await make_run("a", at=AT), "", wants())
    bad = wants({"executable": {**CALL["executable"], "to": "0x1"}})
    forged = Signed(SignatureRefusedError(HookError.SIGNATURE_INVALID, "of somebody else"))
    for number, (changed, fields, code) in enumerate(
        [
            ({}, {"policy": {"targets": [ACCOUNT]}}, "policy_refused"),
            ({}, {"policy": None}, "policy_refused"),
            ({"answer": bad}, {}, "bad_executable"),
            ({"signatures": forged}, {}, "signature_invalid"),
        ]
    ):
        error = await replace(task, key=f"key-{number}", **changed).fails(**fields)
        assert (error.task_code, error.may_retry) == (code, False)
        assert (await entries(ports, mine))[-1].metadata["error"]["type"] == code
    assert task.relay.requests == []
    failure = TaskError("not today", code="strategy", retryable=True)
    later = replace(task, key="later")

    async def fail(*_arguments: Any) -> StrategyAnswer:
        raise failure

    later._ask = fail  # type: ignore[method-assign]
    error = await later.fails()
    assert (str(error), error.task_code, error.may_retry) == ("not today", "strategy", True)
    outcome = await replace(task, key="later").attempt()  # nothing was kept: it is asked again
    assert outcome.output["outcome"] == "executed"


@pytest.mark.parametrize("ports", ["memory"], indirect=True)
async def test_real_strategies_return_executables_responses_and_reasons_to_skip(
    ports: wiring.Ports,
    mine: Subscription,
    make_run: MakeRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("PYTHONPATH", str(SAMPLES))
    notes = tmp_path / "notes"
    task = Task(ports, await make_run("a", at=AT), str(notes))
    call = {"to": WETH, "value": 7, "bytes": "d0e30db0", "executor_signature": "0x12"}
    outcome = await task.attempt(call=call)
    assert outcome.output["transactionHash"] == HASH
    (request,) = task.relay.requests
    assert request.executable.as_json() == {**CALL["executable"], "to": WETH, "value": "7"}
    assert request.executor_signature == "0x12"
    second = replace(task, key="key-2")
    outcome = await second.attempt()
    assert outcome.output["response"] == {"looked": True}
    assert (outcome.output["skip"], outcome.skipped) == (True, None)
    assert await second.attempt() == outcome  # it is kept, too
    skipped = await replace(task, key="key-3").attempt(skip="nothing to do")
    assert skipped.skipped == "nothing to do"
    error = await replace(task, key="key-4").fails(
        call=call, executorAddress=None, plugin=None, policy=None
    )
    assert (error.task_code, error.may_retry) == ("bad_output", False)
    assert "add executorAddress, plugin, policy and relay" in error.message
    assert notes.read_text().split() == [ACCOUNT, ACCOUNT, ACCOUNT, "None"]
    outcomes = [entry.metadata["outcome"] for entry in await entries(ports, mine)]
    assert outcomes == ["executed", "skipped", "skipped"]
