"""Relayed calls on a real chain: once, whatever fails between; watched until they are settled."""

import asyncio
import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from keyring.backends import fail

from activityctl import wiring
from activityctl.adapters.chain.nodes import open_nodes
from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.domain.chain.hook_payloads import empty_relay_response
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.chain.relaying import RelayState
from activityctl.errors import TaskError
from support.anvil import Anvil
from support.relaying import Bench, Plugin, triggers
from support.rpc_server import error, result, rpc_server
from support.unchecked_signer import AssigningLedger

CHAIN = 31337


class LostWorkerError(Exception):
    """The worker is killed here."""


@dataclass
class Cut:
    """A ledger whose worker dies right before or after a call, once."""

    ledger: Any
    where: str
    is_after: bool

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self.ledger, name)
        if name != self.where:
            return inner

        async def call(*arguments: Any) -> Any:
            self.where = ""
            if self.is_after:
                await inner(*arguments)
            raise LostWorkerError

        return call


@pytest.fixture
async def bench(ports: wiring.Ports, chain: Anvil, tmp_path, monkeypatch):
    monkeypatch.setattr("keyring.get_keyring", fail.Keyring)
    keys = KeyStores(tmp_path / "home")
    await keys.create("relayer-1", KeyKind.RELAYER)
    async with open_nodes(CHAIN, [chain.url]) as nodes:
        made = Bench(ports, keys, Plugin(chain), nodes)
        made.fund()
        yield made
    chain.call("evm_setAutomine", True)


def sent_count(bench: Bench, name: str = "relayer-1") -> int:
    count = bench.plugin.chain.call("eth_getTransactionCount", bench.sender(name), "latest")
    return int(count, 16)


async def state_of(bench: Bench, key: str) -> list[RelayState]:
    return [each.state for each in await bench.ports.relays.transactions(key)]


async def until(bench: Bench, key: str, *states: RelayState) -> None:
    async with asyncio.timeout(60):
        while await state_of(bench, key) != list(states):
            await asyncio.sleep(0.02)


async def test_a_call_is_carried_out_and_told_with_every_field(bench: Bench):
    await triggers(bench.ports, "a")
    outcome = await bench.relayer().execute(bench.request("a", "add(uint256)", 5))
    assert bench.plugin.total == 5
    (kept,) = await bench.ports.relays.transactions("a")
    assert (outcome.kind, outcome.error_type, outcome.transaction_hash) == (
        "executed",
        "",
        kept.hash,
    )
    response = outcome.relay_response
    assert response.keys() == empty_relay_response().keys()
    assert response["metadata"]["request"] == {
        "taskId": "request-a",
        "to": bench.plugin.address,
        "callData": kept.data,
        "requestedAt": int(kept.signed_at.timestamp()),
        "timeout": 120,
        "signer": bench.sender(),
        "chainID": "31337",
        "useSafeGasEstimate": False,
        "maxGasLimit": kept.gas,
        "enableAccessList": False,
        "backendId": "activityctl",
        "webhook": "",
    }
    said = {"isSuccessful": True, "error": "", "transactionHash": kept.hash}
    assert response["metadata"]["response"] == said
    assert (response["taskId"], response["status"]) == ("request-a", "successful")
    assert response["outputTransactionHash"] == kept.hash
    assert response["createdAt"].startswith(f"{kept.signed_at:%Y-%m-%dT%H:%M:%S}")
    receipt = bench.plugin.chain.receipt(kept.hash)
    assert int(receipt["gasUsed"], 16) < kept.gas
    # Another attempt sends nothing, and has the same result.
    assert await bench.relayer().execute(bench.request("a", "add(uint256)", 5)) == outcome
    assert (bench.plugin.total, sent_count(bench)) == (5, 1)
    assert [line.partition(" of relayer-1 ")[2] for line in bench.told] == [
        "is sent, with nonce 0",
    ]


async def test_twenty_runs_at_once_through_one_relayer_have_nonces_without_a_gap(bench: Bench):
    names = [f"hook-{number}" for number in range(20)]
    accounts = [f"0x{number:040x}" for number in range(100, 120)]
    await triggers(bench.ports, *names)
    workers = [bench.relayer(), bench.relayer()]
    outcomes = await asyncio.gather(
        *(
            workers[index % 2].execute(bench.request(name, account=accounts[index]))
            for index, name in enumerate(names)
        )
    )
    assert {outcome.kind for outcome in outcomes} == {"executed"}
    assert (bench.plugin.total, sent_count(bench)) == (20, 20)
    kept = [(await bench.ports.relays.transactions(name))[-1] for name in names]
    assert sorted(each.nonce for each in kept) == list(range(20))
    assert {each.state for each in kept} == {RelayState.CONFIRMED}


@pytest.mark.parametrize(
    "cut", [("assign", False), ("assign", True), ("move", False), ("move", True)], ids=str
)
async def test_a_worker_that_dies_around_the_broadcast_sends_one_transaction(
    bench: Bench, cut: tuple[str, bool]
):
    """`move` comes right after the broadcast; `assign` writes the transaction down before it."""
    await triggers(bench.ports, "a")
    ledger = Cut(AssigningLedger(bench.ports), *cut)
    with pytest.raises(LostWorkerError):
        await bench.relayer(ledger).execute(bench.request("a"))
    before = [each.hash for each in await bench.ports.relays.transactions("a")]
    outcome = await bench.relayer().execute(bench.request("a"))
    assert outcome.transaction_hash in (before or [outcome.transaction_hash])
    assert (bench.plugin.total, sent_count(bench)) == (1, 1)


async def test_a_node_that_is_down_or_answers_with_errors_gets_one_transaction(bench: Bench):
    """Each call fails once; the broadcast is taken, and its answer is lost."""
    await triggers(bench.ports, "a")
    chain, failed, raws = bench.plugin.chain, set(), []

    def reply(method, params, number):
        if method == "eth_sendRawTransaction":
            raws.append(params[0])
        if method in failed:
            try:
                return result(chain.call(method, *params), number)
            except RuntimeError:
                return error(-32000, "already known", number)
        failed.add(method)
        if method == "eth_sendRawTransaction":
            chain.call(method, *params)
            return error(-32603, "internal error", number, status=503)
        return error(-32000, "header not found", number)  # with status 200

    async with rpc_server(reply) as node, open_nodes(CHAIN, [node.url]) as nodes:
        bench.nodes = nodes
        outcome = await bench.relayer().execute(bench.request("a"))
        assert outcome.kind == "executed"
        assert len(failed) >= 7
        assert (len(set(raws)), bench.plugin.total, sent_count(bench)) == (1, 1, 1)
        # Down for longer than an attempt: it ends, and the next one begins anew.
        await triggers(bench.ports, "b")
        node.reply = lambda _method, _params, number: error(-32603, "down", number, status=503)
        with pytest.raises(TaskError, match="no node of chain 31337") as raised:
            await bench.relayer().execute(bench.request("b", nonce=1, seconds=0.2))
        assert (raised.value.task_code, raised.value.may_retry) == ("unreachable", True)
        node.reply = reply
        assert (await bench.relayer().execute(bench.request("b", nonce=1))).kind == "executed"
        assert (bench.plugin.total, sent_count(bench)) == (2, 2)


async def test_a_block_that_is_taken_back_makes_it_pending_and_it_is_done_once(bench: Bench):
    await triggers(bench.ports, "a")
    chain = bench.plugin.chain
    chain.mine(3)
    task = asyncio.create_task(bench.relayer().execute(bench.request("a", confirmations=2)))
    await until(bench, "a", RelayState.INCLUDED)
    chain.call("evm_setAutomine", False)
    chain.call("anvil_reorg", 1, [])
    async with asyncio.timeout(60):
        while not any("lost its block" in line for line in bench.told):
            await asyncio.sleep(0.02)
    await until(bench, "a", RelayState.SENT)
    assert bench.plugin.total == 0
    chain.mine()
    await until(bench, "a", RelayState.INCLUDED)
    assert not task.done()
    chain.mine(2)
    outcome = await task
    assert (outcome.kind, bench.plugin.total, sent_count(bench)) == ("executed", 1, 1)
    assert await state_of(bench, "a") == [RelayState.CONFIRMED]


async def test_a_stuck_transaction_is_replaced_with_the_same_nonce_and_higher_fees(bench: Bench):
    await triggers(bench.ports, "a")
    chain = bench.plugin.chain
    chain.call("evm_setAutomine", False)
    soon = timedelta(seconds=0.3)
    task = asyncio.create_task(bench.relayer().execute(bench.request("a", replace_after=soon)))
    await until(bench, "a", RelayState.SENT)
    (first,) = await bench.ports.relays.transactions("a")
    async with asyncio.timeout(60):
        while await state_of(bench, "a") == [RelayState.SENT] or bench.plugin.total == 0:
            # Too much for the first one, in each block.
            chain.call("anvil_setNextBlockBaseFeePerGas", hex(first.max_fee_wei + 1))
            chain.mine()
            await asyncio.sleep(0.05)
    outcome = await task
    kept = await bench.ports.relays.transactions("a")
    assert {each.nonce for each in kept} == {0}
    for before, after in itertools.pairwise(kept):
        assert 10 * after.max_fee_wei >= 11 * before.max_fee_wei
        assert 10 * after.priority_fee_wei >= 11 * before.priority_fee_wei
    (winner,) = [each for each in kept if each.state is RelayState.CONFIRMED]
    assert winner.number > 1
    assert outcome.transaction_hash == winner.hash
    assert kept[0].state is RelayState.REPLACED
    assert (bench.plugin.total, sent_count(bench)) == (1, 1)


async def test_calls_that_are_refused_say_why_and_use_no_nonce(bench: Bench):
    await triggers(bench.ports, *"abcdefg")
    refusals = {
        "a": bench.request("a", "add(uint256)", 5000),
        "b": bench.request("b", "divide(uint256)", 0),
        "c": bench.request("c", max_gas=30_000),
        "d": bench.request("d", relayers=("relayer-9",)),
        "e": bench.request("e", nonce=7),
    }
    found = {}
    for key, request in refusals.items():
        outcome = await bench.relayer().execute(request)
        assert outcome.kind == "failed"
        found[key] = (outcome.error_type, outcome.message)
    bench.fund(wei=10)
    with pytest.raises(TaskError, match="send more to") as raised:
        await bench.relayer().execute(bench.request("g", seconds=0))
    assert (raised.value.task_code, raised.value.may_retry) == ("relayer_funds", True)
    bench.fund()
    with pytest.raises(TaskError, match="maxFeePerGas is 1") as raised:
        await bench.relayer().execute(bench.request("g", seconds=0, max_fee_wei=1))
    assert (raised.value.task_code, raised.value.may_retry) == ("fee_too_high", True)
    bench.plugin.close()
    outcome = await bench.relayer().execute(bench.request("f"))
    found["f"] = (outcome.error_type, outcome.message)
    assert [found[key][0] for key in "abcdef"] == [
        "simulation_reverted",
        "simulation_reverted",
        "gas_cap",
        "key_missing",
        "simulation_reverted",
        "simulation_reverted",
    ]
    asked = f"{5000:064x}{1000:064x}"
    assert found["a"][1].endswith(f"{asked}")
    assert "custom error 0x" in found["a"][1]
    assert "panic 0x12: division by zero" in found["b"][1]
    assert "maxGas of the policy is 30,000" in found["c"][1]
    assert "keys create relayer-9 --kind relayer" in found["d"][1]
    assert found["f"][1].endswith("closed")
    assert sent_count(bench) == 0
    for key in "abcdefg":
        assert not await bench.ports.relays.transactions(key)


async def test_a_call_that_is_refused_only_in_its_block_is_told_as_reverted(bench: Bench):
    await triggers(bench.ports, "a")
    chain = bench.plugin.chain
    chain.call("evm_setAutomine", False)
    task = asyncio.create_task(bench.relayer().execute(bench.request("a")))
    await until(bench, "a", RelayState.SENT)
    bench.plugin.close(maxPriorityFeePerGas=hex(10**11), maxFeePerGas=hex(10**12))
    chain.mine()
    outcome = await task
    assert (outcome.error_type, outcome.kind) == ("reverted", "failed")
    assert outcome.relay_response["status"] == "failed"
    assert outcome.relay_response["metadata"]["response"]["isSuccessful"] is False
    assert outcome.transaction_hash is not None
    assert await state_of(bench, "a") == [RelayState.REVERTED]


async def test_a_dropped_transaction_is_sent_again_by_who_waits_behind_it(bench: Bench):
    """The run of the first has ended; the second one needs its nonce first."""
    await triggers(bench.ports, "a", "b", "c")
    chain = bench.plugin.chain
    chain.call("evm_setAutomine", False)
    with pytest.raises(TaskError, match="waits for a block") as raised:
        await bench.relayer().execute(bench.request("a", seconds=0.1))
    assert raised.value.task_code == "relay_pending"
    (first,) = await bench.ports.relays.transactions("a")
    chain.call("anvil_dropTransaction", first.hash)
    other = "0x" + "22" * 20
    task = asyncio.create_task(bench.relayer().execute(bench.request("b", account=other)))
    await until(bench, "b", RelayState.SENT)
    async with asyncio.timeout(60):
        while chain.call("eth_getTransactionByHash", first.hash) is None:
            await asyncio.sleep(0.02)
    chain.mine()
    assert (await task).kind == "executed"
    assert (await bench.relayer().execute(bench.request("a"))).transaction_hash == first.hash
    assert (bench.plugin.total, sent_count(bench)) == (2, 2)
    # Another program uses the key: the nonces go on after it, and the log says so.
    chain.call("evm_setAutomine", True)
    chain.call("anvil_setNonce", bench.sender(), hex(9))
    assert (await bench.relayer().execute(bench.request("c", nonce=1))).kind == "executed"
    assert [each.nonce for each in await bench.ports.relays.transactions("c")] == [9]
    assert any("another program has sent 7 transactions" in line for line in bench.told)


async def test_the_relayer_with_the_least_to_do_and_enough_to_pay_is_chosen(bench: Bench):
    await triggers(bench.ports, *"abc")
    for name in ("relayer-2", "relayer-3"):
        await bench.keys.create(name, KeyKind.RELAYER)
    bench.fund("relayer-3")
    chain, names = bench.plugin.chain, ("relayer-1", "relayer-2", "relayer-3", "gone")
    chain.call("evm_setAutomine", False)
    for number, key in enumerate("abc"):
        account = f"0x{number + 1:040x}"
        request = bench.request(key, relayers=names, account=account, seconds=0.05)
        with pytest.raises(TaskError, match="waits for a block"):
            await bench.relayer().execute(request)
    kept = [(await bench.ports.relays.transactions(key))[0].relayer for key in "abc"]
    assert kept == ["relayer-1", "relayer-3", "relayer-1"]
