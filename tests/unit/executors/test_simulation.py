"""A simulation judges as a worker would, and signs, sends and keeps nothing."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.adapters.memory.runs.spends import MemorySpendLedger
from activityctl.domain.chain.account import Account
from activityctl.domain.chain.hook_payloads import HookContext
from activityctl.domain.chain.hook_signatures import hmac_hex
from activityctl.domain.chain.node_answer import AnswerFault
from activityctl.domain.chain.simulation import Simulated, SimulatedTrigger
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.signing import SigningRefusedError
from activityctl.domain.values.ids import SubscriptionId
from activityctl.errors import NotFoundError
from activityctl.executors.simulated_task import SimulatedTask
from activityctl.executors.simulation import NoSigner, Simulation
from activityctl.executors.webhook_body import WebhookBody
from activityctl.ports import CallRefusedError

AT = datetime(2026, 5, 1, 12, 30, 5, tzinfo=UTC)
ACCOUNT = "0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"
EXECUTOR = "0xd1f745f0d14918a2c1e31153f2492891e4526ea4"
PLUGIN = "0xb92929d03768a4f8d69552e15a8071eafee73df9"
WETH = "0x4200000000000000000000000000000000000006"
KEY = "ed2cff7120f726311a0eb048c2d3af3ef3a411cc93bcf82883bc8988638dcae7"
BODY = {
    "baseURL": "https://executor.example/",
    "registryID": "registry-1",
    "executorAddress": EXECUTOR,
    "hmacKey": "hook",
    "plugin": PLUGIN,
    "policy": {"targets": [WETH]},
    "relay": {"relayers": ["relayer-1"]},
}
OWNER = Subscription(
    SubscriptionId("sub-1"), "one", "rebalancer", {}, {}, SubscriptionStatus.ACTIVE, AT, AT
)


@dataclass
class Nodes:
    """The one node of a chain; it takes reads only."""

    reverts: bool = False
    calls: list[str] = field(default_factory=list)
    chain_id: int = 8453
    name: str = "node"

    async def nodes(self, _chain_id: int) -> "Nodes":
        return self

    async def use(self, work: Callable[..., Any]) -> Any:
        return await work(self)

    async def each(self, work: Callable[..., Any]) -> list[Any]:
        return [await work(self)]

    async def call(self, method: str, *params: Any) -> Any:
        self.calls.append(method)
        assert method in {"eth_call", "eth_estimateGas"}
        if self.reverts and "from" in params[0]:
            raise CallRefusedError(AnswerFault.REVERTED, 3, "execution reverted: closed", None)
        return hex(50_000) if method == "eth_estimateGas" else "0x" + 64 * "0"


class NoChains:
    async def nodes(self, chain_id: int) -> Any:
        raise NotFoundError("secret", f"chain-{chain_id}", hint="activityctl secrets set")


def answer(signature: str = "0x", *, key: str = KEY, skip: bool = False, to: str = WETH) -> bytes:
    executable = {"callType": 0, "to": to, "value": "0", "data": "0xd0e30db0"}
    task = {"subaccount": ACCOUNT, "executor": EXECUTOR, "executorSignature": signature}
    signed = hmac_hex(key, f"request-1:{'0x' if skip else signature}")
    whole = None if skip else {**task, "executable": executable}
    value = {"skip": skip, "requestID": "request-1", "task": whole, "signature": signed}
    return json.dumps(value).encode()


def simulation(chains: Any = None, **fields: Any) -> Simulation:
    account = Account.model_validate({"chainId": 8453, "subAccountAddress": ACCOUNT})
    body = WebhookBody.model_validate_json(json.dumps({**BODY, **fields}))
    trigger = SimulatedTrigger("tick", "interval", AT, {"every": 30}, None, "request-1")
    task = SimulatedTask(OWNER, account, body, HookContext(), trigger, (KEY,), EXECUTOR)
    return Simulation(task, MemorySpendLedger(), chains)


def verdicts(simulated: Simulated) -> Mapping[str, str]:
    return {check.name: check.verdict for check in simulated.checks}


async def test_without_an_answer_only_the_request_is_shown():
    shown = await simulation().judged(None)
    assert shown.url == "https://executor.example/kernel/trigger"
    assert shown.request["signature"] == hmac_hex(KEY, "request-1")
    assert shown.request["trigger"] == {"type": "INTERVAL", "data": "2026-05-01T12:30:05.000000Z"}
    assert shown.request["params"]["subscription"]["metadata"] == {"every": 30}
    assert shown.headers["webhook-id"] == shown.headers["Idempotency-Key"] == "request-1"
    assert set(verdicts(shown).values()) == {"skipped"}
    assert (shown.would_send, shown.response, shown.transaction) == (True, None, None)
    assert KEY not in json.dumps(shown.as_json())


async def test_each_answer_has_its_verdict():
    skips = await simulation().judged(answer(skip=True))
    assert verdicts(skips)["response"] == "passed"
    assert skips.checks[0].message == "is signed, and skips"
    forged = await simulation().judged(answer(key="other"))
    assert forged.checks[0].message.startswith("signature_invalid: ")
    assert verdicts(forged)["policy"] == "skipped"
    assert not forged.would_send
    unchecked = await simulation(verifyPayload=False).judged(answer(key="other"))
    assert "need not be signed" in unchecked.checks[0].message
    refused = await simulation().judged(answer(to=ACCOUNT))
    (policy,) = [check for check in refused.checks if check.name == "policy"]
    assert policy.message.startswith("policy_refused: the policy of the definition does not have")
    broken = await simulation().judged(b"not json")
    assert (broken.response, broken.would_send) == ("not json", False)


async def test_the_chain_is_only_read():
    good = Nodes()
    wrong = await simulation(good).judged(answer("0x" + 65 * "11"))
    # No contract of the chain says that this signature is the executor's.
    assert verdicts(wrong) == {
        "response": "passed",
        "policy": "passed",
        "executor signature": "failed",
        "transaction": "passed",
    }
    assert wrong.transaction is not None
    assert wrong.transaction["from"] == EXECUTOR
    assert str(wrong.transaction["to"]).lower() == PLUGIN
    assert set(good.calls) == {"eth_call", "eth_estimateGas"}
    signed = answer("0x" + 65 * "11")
    reverted = await simulation(Nodes(reverts=True)).judged(signed)
    assert reverted.checks[-1].message.startswith("simulation_reverted: ")
    small = {"targets": [WETH], "maxGas": 40_000}
    costly = await simulation(Nodes(), policy=small).judged(signed)
    assert costly.checks[-1].message.startswith("gas_cap: ")
    offline = await simulation().judged(signed)
    assert [check.verdict for check in offline.checks] == ["passed", "passed", "skipped", "skipped"]
    unknown = await simulation(NoChains()).judged(signed)
    assert [check.verdict for check in unknown.checks] == ["passed", "passed", "skipped", "skipped"]


async def test_activityctl_signs_nothing():
    autosigned = await simulation(Nodes(), autosign="signer").judged(answer())
    assert verdicts(autosigned)["executor signature"] == "skipped"
    assert autosigned.transaction is None
    unsigned = await simulation(Nodes()).judged(answer())
    assert verdicts(unsigned)["executor signature"] == "failed"
    no_plugin = await simulation(plugin=None, relay=None).judged(answer())
    assert no_plugin.checks[-1].message.startswith("relayer_missing: ")
    refused: Any = None
    for sign in (NoSigner().sign_execution, NoSigner().sign_transaction, NoSigner().count_call):
        with pytest.raises(SigningRefusedError):
            await sign(refused)


async def test_a_saved_response_says_which_request_it_is_for():
    simulated = simulation()
    task = simulated._task
    object.__setattr__(task, "trigger", SimulatedTrigger("manual", None, AT))
    shown = await simulated.judged(answer(skip=True))
    assert shown.request["requestID"] == "request-1"
    assert shown.would_send
