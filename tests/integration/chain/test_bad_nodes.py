"""No block is lost and no log told twice, whatever the nodes of a chain do."""

import asyncio
import functools
import random

from support.chain_watch import TRANSFER, Watched, forwarding, transfer_input
from support.http_server import answering
from support.rpc_server import error, result, serving

NOW = {"chainId": 31337, "abi": TRANSFER, "confirmations": 0}


class Unreliable:
    """Fails in many ways, and takes only ranges of fifty blocks."""

    def __init__(self) -> None:
        self.random = random.Random(16)  # the faults of a test

    def __call__(self, method, params, number):
        if method == "eth_getLogs" and "fromBlock" in params[0]:
            asked = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16)
            if asked >= 50:
                return error(-32005, "query returned more than 10000 results", number)
        match self.random.randrange(9):
            case 2:
                return error(-32000, "internal error", number, status="500 Oops")
            case 4:
                return result(None, number)
            case 5:
                return answering(b"<html>")
            case _:
                return None


class Lagging:
    """Is ten blocks behind, without a word about it."""

    def __init__(self, chain) -> None:
        self.chain = chain

    def __call__(self, method, params, number):
        height = self.chain.height - 10
        match method:
            case "eth_getLogs" if "fromBlock" in params[0]:
                logs = self.chain.call(method, *params)
                return result([log for log in logs if _number(log) <= height], number)
            case "eth_blockNumber":
                return result(hex(max(height, 0)), number)
            case "eth_getBlockByNumber" if int(params[0], 16) > height:
                return result(None, number)
            case _:
                return None


async def test_nodes_with_faults_lose_no_block(chain, ports):
    contract = chain.deploy_logger(3)
    chain.mine(20)
    async with (
        serving(forwarding(chain, Unreliable())) as first,
        serving(forwarding(chain, Lagging(chain))) as second,
    ):
        watched = Watched(ports, second.url, first.url, speed=100)
        await watched.apply({**NOW, "address": contract})
        await watched.watch_until(functools.partial(_has_begun, watched))
        for value in range(1, 6):
            chain.send(contract, transfer_input(value))
            chain.mine(40)
        chain.send(contract, transfer_input(6))
        await watched.watch_until(functools.partial(watched.is_read_up_to, chain.height))
        assert await watched.firings() == [("t0", str(value)) for value in range(1, 7)]
        await watched.stack.aclose()


async def test_a_node_on_a_branch_of_its_own_raises_no_alarm(chain, ports):
    contract = chain.deploy_logger(3)
    strange = {"is": False}

    def forked(method, params, number):
        if strange["is"] and method == "eth_getBlockByNumber":
            block = chain.call(method, *params)
            if block is not None:
                block |= {"hash": "0x" + "ee" * 32, "parentHash": "0x" + "dd" * 32}
            return result(block, number)
        return None

    async with serving(forwarding(chain, forked)) as bad, serving(forwarding(chain)) as good:
        watched = Watched(ports, bad.url, good.url, speed=100)
        await watched.apply({**NOW, "address": contract})
        await watched.watch()
        chain.send(contract, transfer_input(1))
        await watched.watch()
        strange["is"] = True
        chain.send(contract, transfer_input(2))
        chain.send(contract, transfer_input(3))
        await watched.watch_until(functools.partial(watched.is_read_up_to, chain.height))
        assert await watched.values() == ["1", "2", "3"], "and no event that a log is gone"
        await watched.stack.aclose()


async def test_an_outage_loses_nothing_and_is_said(chain, ports):
    contract = chain.deploy_logger(3)
    async with serving(forwarding(chain)) as node:
        watched = Watched(ports, node.url, speed=100)
        await watched.apply({**NOW, "address": contract})
        await watched.watch()
        port = node.server.port
    chain.send(contract, transfer_input(1))
    await watched.watcher.watch()
    (summary,) = await ports.chains.summary()
    assert f"127.0.0.1:{port}: " in summary.error
    assert summary.failing_since is not None
    await watched.apply({**NOW, "address": contract}, {**NOW, "address": contract})
    await watched.watcher.watch()  # the second trigger begins without a node
    chain.send(contract, transfer_input(2))
    listener = node.server
    server = await asyncio.start_server(listener.talk, "127.0.0.1", port)
    async with server:
        await watched.watch_until(functools.partial(watched.is_read_up_to, chain.height))
        for talk in listener.talks:
            talk.cancel()
    assert await watched.firings() == [("t0", "1"), ("t0", "2"), ("t1", "1"), ("t1", "2")]
    (summary,) = await ports.chains.summary()
    assert summary.error is None
    await watched.stack.aclose()


async def _has_begun(watched: Watched) -> bool:
    return bool((await watched.ports.chains.state()).watches)


def _number(log) -> int:
    return int(log["blockNumber"], 16)
