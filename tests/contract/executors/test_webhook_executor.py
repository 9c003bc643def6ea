"""The `webhook` task: one trigger with one request id, whatever fails between its steps."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from keyring.backends import fail

from activityctl import wiring
from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.replay_request import ReplayOptions, ReplayRequest
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values import ids
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.errors import TaskError
from activityctl.executors.executor_signatures import SignatureRefusedError
from activityctl.executors.hook_client import HookClient
from activityctl.executors.trigger_steps import TriggerSteps
from activityctl.executors.webhook import WebhookExecutor
from activityctl.ports import ExecutorOutcome, TaskCall
from activityctl.steps.limited import parse_body
from support.calling import Cut, LostWorkerError, Sent
from support.hooked import Signed
from support.http_server import LOOPBACK
from support.node_executor import NodeExecutor, node_executor

AT = datetime(2026, 5, 1, 12, 30, 5, tzinfo=UTC)
ACCOUNT = "0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"
EXECUTOR = "0xd1f745f0d14918a2c1e31153f2492891e4526ea4"
WETH = "0x4200000000000000000000000000000000000006"
BODY = {
    "registryID": "registry-1",
    "executorAddress": EXECUTOR,
    "hmacKey": "hook",
    "policy": {"targets": [WETH]},
}
FIRST = "ed2cff7120f726311a0eb048c2d3af3ef3a411cc93bcf82883bc8988638dcae7"
MakeRun = Callable[..., Awaitable[Run]]


@pytest.fixture(scope="module")
def service() -> Iterator[NodeExecutor]:
    with node_executor(FIRST) as started:
        yield started


@pytest.fixture
def node(service: NodeExecutor) -> NodeExecutor:
    service.use_key(FIRST)
    return service


@pytest_asyncio.fixture(loop_scope="session")
async def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyStores:
    monkeypatch.setattr("keyring.get_keyring", fail.Keyring)
    made = KeyStores(tmp_path / "home")
    await made.create("hook", KeyKind.HMAC, FIRST)
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def mine(ports: wiring.Ports, apply, define, subscribe) -> Subscription:
    account = {"chainId": 8453, "subAccountAddress": ACCOUNT, "metadata": {"target": WETH}}
    await apply(define("digest"), subscribe("mine", account=account))
    return await ports.catalog.find_subscription("mine")


async def silent(_level: str, _message: str, _metadata: Mapping[str, Any]):
    pass


@dataclass
class Task:
    """One task of a run; each attempt is a new executor, as of another worker."""

    ports: Any
    keys: Any
    url: str
    run: Run
    relay: Any = None
    ledger: Any = None
    key: str = "task-1"
    fields: dict[str, Any] = field(default_factory=dict)
    attempts: int = 0
    signatures: Any = field(default_factory=Signed)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def attempt(self) -> ExecutorOutcome:
        self.attempts += 1
        call = TaskCall(self.run.id, "task-1", "tell", 0, self.attempts, self.key, 10.0, silent)
        client = HookClient(allow_http=True, allowed_networks=LOOPBACK)
        ledger = self.ledger or self.ports.hooks
        steps = TriggerSteps(
            self.ports.runs,
            ledger,
            self.ports.spends,
            self.signatures,
            relay=self.relay,
            clock=self.now,
        )
        executor = WebhookExecutor(client, self.keys, steps)
        try:
            body = parse_body(executor, {**BODY, "baseURL": self.url, **self.fields})
            return await executor.execute(body, call)
        finally:
            await executor.close()

    async def fails(self) -> TaskError:
        with pytest.raises(TaskError) as raised:
            await self.attempt()
        return raised.value


def new(node: NodeExecutor, before: int) -> list[tuple[str, dict[str, Any]]]:
    """Return path and payload of each request since `before`."""
    return [(each["path"], json.loads(each["body"])) for each in node.seen()[before:]]


async def entries(ports: wiring.Ports, mine: Subscription) -> list[Any]:
    found, _ = await ports.logbook.page(LogFilter((mine.id,)), Cursor(), limit=100)
    return [entry for entry in found if entry.message == "trigger"]


async def test_a_trigger_that_is_skipped_and_the_context_of_the_next(
    ports: wiring.Ports, mine: Subscription, make_run: MakeRun, keys: KeyStores, node: NodeExecutor
):
    before = len(node.seen())
    task = Task(ports, keys, f"{node.url}/skip", await make_run("a", at=AT))
    outcome = await task.attempt()
    assert outcome.skipped == "the executor has skipped this trigger"
    assert outcome.output["requestID"] == "task-1-2026-05-01T12:30:05Z"
    # Another attempt after the end asks nobody; it has the same result.
    assert await task.attempt() == outcome
    second = Task(ports, keys, f"{node.url}/skip", await make_run("b", at=AT), key="task-2")
    await second.attempt()
    (path, first), (_, following) = new(node, before)
    assert path == "/skip/kernel/trigger"
    subscription = first["params"]["subscription"]
    assert subscription["id"] == mine.id
    assert subscription["metadata"] == {"target": WETH}
    assert first["params"] | {"subscription": None} == {
        "executorAddress": EXECUTOR,
        "subAccountAddress": ACCOUNT,
        "executorID": "registry-1",
        "chainID": 8453,
        "subscription": None,
    }
    assert first["trigger"] == {"type": "MANUAL", "data": "2026-05-01T12:30:05.000000Z"}
    assert first["context"] == {
        "executionCount": 0,
        "prevExecutionAt": "0001-01-01T00:00:00Z",
        "prevExecutionID": "",
    }
    assert following["context"]["executionCount"] == 1
    assert following["context"]["prevExecutionID"] == first["requestID"]
    headers = node.seen()[before]["headers"]
    assert headers["idempotency-key"] == headers["webhook-id"] == first["requestID"]
    entry = (await entries(ports, mine))[0]
    assert entry.metadata["request"] == first
    assert entry.metadata["response"]["skip"] is True
    assert entry.metadata["postExecutionState"] is None


async def test_a_call_without_a_relayer_fails_and_its_executor_is_told(
    ports: wiring.Ports, mine: Subscription, make_run: MakeRun, keys: KeyStores, node: NodeExecutor
):
    before = len(node.seen())
    task = Task(ports, keys, f"{node.url}/task/", await make_run("a", at=AT))
    error = await task.fails()
    assert (error.task_code, error.may_retry) == ("relayer_missing", False)
    (_, trigger), (path, executed) = new(node, before)
    assert path == "/task/kernel/executed"
    assert executed["requestID"] == executed["executionRequestID"] == trigger["requestID"]
    assert executed["successful"] is False
    assert executed["error"]["type"] == "relayer_missing"
    (entry,) = await entries(ports, mine)
    assert entry.level == "error"
    assert entry.metadata["postExecutionState"]["successful"] is False
    assert entry.metadata["response"]["task"]["executable"]["to"] == WETH
    assert (entry.metadata["chainId"], entry.metadata["subAccountAddress"]) == (8453, ACCOUNT)


@pytest.mark.parametrize(
    "cut",
    [
        ("begin", True, 1, 1, 1),
        ("sending", True, 1, 1, 1),
        ("answered", False, 2, 1, 1),
        ("answered", True, 1, 1, 1),
        ("decided", False, 1, 2, 1),
        ("decided", True, 1, 1, 1),
        ("close", False, 1, 1, 2),
        ("close", True, 1, 1, 1),
    ],
    ids=lambda cut: f"{'after' if cut[1] else 'before'} {cut[0]}",
)
async def test_a_worker_that_dies_between_two_steps_changes_no_request_id_and_forgets_nothing(
    ports: wiring.Ports,
    mine: Subscription,
    make_run: MakeRun,
    keys: KeyStores,
    node: NodeExecutor,
    cut: tuple[str, bool, int, int, int],
):
    where, is_after, triggers, relayed, told = cut
    before = len(node.seen())
    relay = Sent()
    task = Task(ports, keys, f"{node.url}/task", await make_run("a", at=AT), relay)
    task.ledger = Cut(ports.hooks, where, is_after)
    with pytest.raises(LostWorkerError):
        await task.attempt()
    outcome = await task.attempt()
    assert outcome.output["transactionHash"] == "0x" + "ab" * 32
    requests = new(node, before)
    assert {payload["requestID"] for _, payload in requests} == {"task-1-2026-05-01T12:30:05Z"}
    paths = [path.rsplit("/", 1)[1] for path, _ in requests]
    assert paths == ["trigger"] * triggers + ["executed"] * told
    assert len({json.dumps(payload) for path, payload in requests if "trigger" in path}) == 1
    assert len(relay.requests) == relayed
    assert len({request.request_id for request in relay.requests}) == 1
    (entry,) = await entries(ports, mine)
    assert entry.metadata["outputTxHash"] == "0x" + "ab" * 32
    owner = await ports.hooks.owner(mine.id)
    assert owner.context.count == 1


async def test_a_replay_sends_a_call_only_if_whoever_asked_for_it_said_so(
    ports: wiring.Ports, make_run: MakeRun, keys: KeyStores, node: NodeExecutor
):
    before = len(node.seen())
    first, relay = await make_run("a", at=AT, status=RunStatus.FAILED), Sent()
    fields = {"plugin": EXECUTOR, "relay": {"relayers": ["relayer-1"]}}

    async def again(name: str, *, relays: bool, key: str = "task-1") -> Task:
        request = ReplayRequest(name, "ann", ReplayOptions(relays=relays))
        await ports.replays.replay([first.id], request, AT)
        run = await make_run(ids.replay_of_key(first.id, name), at=AT, replay_of=first.id)
        return Task(ports, keys, f"{node.url}/task/", run, relay, key=key, fields=fields)

    error = await (await again("off", relays=False)).fails()
    assert (error.task_code, error.may_retry) == ("relaying_off", False)
    assert "replay it with --relay" in str(error)
    assert relay.requests == []
    begun = await again("begun", relays=False)  # a transaction of the run before is followed
    relay.begun = True
    assert (await begun.attempt()).output["outcome"] == "executed"
    relay.begun = False
    on = await again("on", relays=True, key="task-2")
    assert (await on.attempt()).output["outcome"] == "executed"
    assert len(relay.requests) == 2
    paths = [path.rsplit("/", 1)[1] for path, _ in new(node, before)]
    assert paths == ["trigger", "executed"] * 2  # the answer of the first is kept


async def test_the_executor_is_told_until_it_has_heard_it(
    ports: wiring.Ports, mine: Subscription, make_run: MakeRun, keys: KeyStores, node: NodeExecutor
):
    before = len(node.seen())
    relay = Sent()
    task = Task(ports, keys, f"{node.url}/broken", await make_run("a", at=AT), relay)
    error = await task.fails()
    assert (error.may_retry, error.status) == (True, 500)
    task.url = f"{node.url}/deaf"  # 404: it does not want to be told
    await task.attempt()
    paths = [path for path, _ in new(node, before)]
    assert [path.rsplit("/", 1)[1] for path in paths] == ["trigger", "executed", "executed"]
    assert len(relay.requests) == 1
    (entry,) = await entries(ports, mine)
    assert entry.metadata["postExecutionState"] is None


async def test_a_forged_response_fails_for_good_and_nothing_is_relayed(
    ports: wiring.Ports, mine: Subscription, make_run: MakeRun, keys: KeyStores, node: NodeExecutor
):
    relay = Sent()
    task = Task(ports, keys, f"{node.url}/forged", await make_run("a", at=AT), relay)
    for _ in range(2):
        error = await task.fails()
        assert (error.task_code, error.may_retry) == ("signature_invalid", False)
    assert relay.requests == []
    (entry,) = await entries(ports, mine)
    assert entry.metadata["error"]["type"] == "signature_invalid"
    lax = Task(ports, keys, f"{node.url}/forged", await make_run("b", at=AT), relay, key="task-2")
    lax.fields = {"verifyPayload": False}
    await lax.attempt()
    assert len(relay.requests) == 1


async def test_what_the_policy_refuses_is_not_relayed_and_its_executor_is_told(
    ports: wiring.Ports, mine: Subscription, make_run: MakeRun, keys: KeyStores, node: NodeExecutor
):
    before = len(node.seen())
    relay = Sent()
    run = await make_run("a", at=AT)
    task = Task(ports, keys, f"{node.url}/task", run, relay)
    for number, (policy, message) in enumerate(
        [
            (None, "the definition has no policy"),
            ({"targets": [ACCOUNT]}, f"does not have {WETH} in targets"),
            ({"targets": [WETH], "selectors": ["withdraw(uint256)"]}, "0xd0e30db0"),
        ],
        start=2,
    ):
        error = await replace(task, key=f"task-{number}", fields={"policy": policy}).fails()
        assert (error.task_code, error.may_retry) == ("policy_refused", False)
        assert message in error.message
        path, executed = new(node, before)[-1]
        assert path.endswith("/kernel/executed")
        assert executed["error"] == {"type": "policy_refused", "message": error.message}
    assert relay.requests == []
    assert (await entries(ports, mine))[-1].metadata["error"]["type"] == "policy_refused"
    forged = Signed(SignatureRefusedError(HookError.SIGNATURE_INVALID, "of somebody else"))
    error = await replace(task, key="forged", signatures=forged).fails()
    assert (error.task_code, error.may_retry) == ("signature_invalid", False)
    told = {"type": "signature_invalid", "message": "of somebody else"}
    assert new(node, before)[-1][1]["error"] == told
    assert relay.requests == []
    service = {"plugin": WETH, "relay": {"service": {"url": "https://relay.example"}}}
    error = await replace(task, key="service", fields=service).fails()
    assert (error.task_code, error.message) == ("policy_refused", "the window is full")
    assert relay.requests == []
    # An answer is judged by its age when it is carried out, not when it was given.
    old = replace(task, key="old", ledger=Cut(ports.hooks, "answered"))
    with pytest.raises(LostWorkerError):
        await old.attempt()
    later = datetime.now(UTC) + timedelta(minutes=11)
    begun = Sent(begun=True)  # something was sent in time, so nothing is judged again
    again = replace(old, ledger=Cut(ports.hooks, "decided", False), relay=begun, now=lambda: later)
    with pytest.raises(LostWorkerError):
        await again.attempt()
    assert len(begun.requests) == 1
    assert (await replace(old, ledger=None, now=lambda: later).fails()).task_code == "expired"
    assert relay.requests == []


@pytest.mark.parametrize("ports", ["memory"], indirect=True)
async def test_a_service_with_one_key_is_understood_at_each_moment_of_a_rotation(
    ports: wiring.Ports, make_run: MakeRun, keys: KeyStores, node: NodeExecutor
):
    run = await make_run("a", at=AT)
    new_key = (await keys.rotate("hook", None, timedelta(hours=1))).current.secret
    task = Task(ports, keys, f"{node.url}/skip", run)
    assert (await task.attempt()).skipped  # it knows the former key alone
    node.use_key(new_key)
    assert (await replace(task, key="task-2").attempt()).skipped
    await keys.remove("hook", 1)
    assert (await replace(task, key="task-3").attempt()).skipped
    node.use_key(FIRST)
    error = await replace(task, key="task-4").fails()
    assert (error.task_code, error.status) == ("unexpected_status", 401)
    await keys.remove("hook")
    error = await replace(task, key="task-5").fails()
    assert (error.task_code, error.may_retry) == ("key_missing", False)
    assert "activityctl keys create hook --kind hmac" in error.message


@pytest.mark.parametrize("ports", ["memory"], indirect=True)
async def test_a_subscription_without_account_and_a_forbidden_address_are_refused(
    ports: wiring.Ports, apply, define, subscribe, make_run: MakeRun, keys: KeyStores
):
    run = await make_run("a", at=AT)
    task = Task(ports, keys, "http://169.254.1.1", run)
    assert (await task.fails()).task_code == "destination_forbidden"
    await apply(define("digest"), subscribe("mine"))
    error = await replace(task, key="task-2").fails()
    assert error.task_code == "account_missing"
