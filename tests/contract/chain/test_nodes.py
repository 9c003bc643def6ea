"""Nodes of a chain that misbehave: each fault is met by another node, or said."""

import asyncio
import gzip

import pytest

from activityctl.adapters.chain.nodes import open_nodes
from activityctl.domain.chain.node_answer import AnswerFault
from activityctl.errors import UnreachableError
from activityctl.ports import CallRefusedError
from support.http_server import answering
from support.rpc_server import error, result, rpc_server

CHAIN = 31337


def good(_method, _params, number):
    return result("0x10", number)


async def height(node):
    return await node.call("eth_blockNumber")


async def dripping(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


FAULTS = {
    "too many requests": (
        lambda _m, _p, _n: answering(b"", status="429 Too Many", headers=["Retry-After: 7"]),
        "HTTP 429",
    ),
    "a limit that comes with 200": (
        lambda _m, _p, n: error(-32005, "daily request count exceeded, request rate limited", n),
        "rate limited",
    ),
    "a server error": (lambda _m, _p, _n: answering(b"oops", status="502 Bad"), "HTTP 502"),
    "no JSON": (lambda _m, _p, _n: answering(b"<html>"), "no JSON-RPC result"),
    "nesting without end": (lambda _m, _p, _n: answering(b"[" * 100_000), "no JSON-RPC result"),
    "another call's answer": (lambda _m, _p, n: result("0x1", n + 1), "another call"),
    "neither result nor error": (lambda _m, _p, _n: answering(b'{"id": 2}'), "no JSON-RPC"),
    "a redirect": (
        lambda _m, _p, _n: answering(
            b"", status="307 Moved", headers=["Location: http://127.0.0.1:1/"]
        ),
        "a redirect, which is not followed",
    ),
    "a body that drips": (lambda _m, _p, _n: dripping, "no answer within 1.5 s"),
    "a huge body": (
        lambda _m, _p, _n: answering(
            gzip.compress(b" " * 3_000_000), headers=["Content-Encoding: gzip"]
        ),
        "larger than 1024 KiB",
    ),
    "a block that it lacks": (
        lambda _m, _p, n: error(-32000, "header not found", n),
        "header not found",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_another_node_answers_when_one_has_a_fault(name):
    reply, reason = FAULTS[name]
    async with (
        rpc_server(reply) as bad,
        rpc_server(good) as other,
        open_nodes(CHAIN, [bad.url, other.url], seconds=1.5, max_body=1 << 20) as nodes,
    ):
        assert await nodes.use(height) == "0x10"
        asked = len(bad.methods)
        assert await nodes.use(height) == "0x10"
        assert len(bad.methods) == asked, "a node with a fault rests"
        assert await nodes.each(height) == ["0x10"]
    async with (
        rpc_server(reply) as alone,
        open_nodes(CHAIN, [alone.url], seconds=1.5, max_body=1 << 20) as nodes,
    ):
        with pytest.raises(UnreachableError, match=reason) as caught:
            await nodes.use(height)
        assert alone.url not in str(caught.value)


async def test_a_node_of_another_chain_is_not_used():
    async with (
        rpc_server(good, chain_id=1) as other,
        open_nodes(CHAIN, [other.url]) as nodes,
    ):
        with pytest.raises(UnreachableError, match="is a node of chain 1, not 31337"):
            await nodes.use(height)
        assert other.methods == ["eth_chainId"]


async def test_a_token_in_the_address_is_never_in_a_message():
    async with open_nodes(CHAIN, ["http://user:word@127.0.0.1:1/v3/token-abc?key=xyz"]) as nodes:
        with pytest.raises(UnreachableError) as caught:
            await nodes.use(height)
    text = f"{caught.value} {caught.value.hint}"
    assert "127.0.0.1:1: eth_chainId: no connection" in text
    assert not any(part in text for part in ("word", "token", "xyz"))


async def test_a_node_rests_as_long_as_it_says_and_is_preferred_again_afterwards():
    now = [100.0]
    limited = [True]

    def reply(_method, _params, number):
        if limited[0]:
            return answering(b"", status="429 Too Many", headers=["Retry-After: 60"])
        return result("0x99", number)

    async with (
        rpc_server(reply) as first,
        rpc_server(good) as second,
        open_nodes(CHAIN, [first.url, second.url], clock=lambda: now[0]) as nodes,
    ):
        assert await nodes.use(height) == "0x10"
        limited[0] = False
        now[0] += 59
        assert await nodes.use(height) == "0x10"
        now[0] += 2
        assert await nodes.use(height) == "0x99"
    async with (
        rpc_server(reply) as alone,
        open_nodes(CHAIN, [alone.url], clock=lambda: now[0]) as nodes,
    ):
        limited[0] = True
        with pytest.raises(UnreachableError):
            await nodes.use(height)
        asked = len(alone.methods)
        with pytest.raises(UnreachableError, match="HTTP 429"):
            await nodes.use(height)
        assert len(alone.methods) == asked


async def test_a_refusal_that_every_node_would_give_is_raised_at_once():
    def reply(method, _params, number):
        if method == "eth_getLogs":
            return error(-32005, "query returned more than 10000 results", number)
        return error(3, "execution reverted: too low", number, "0x08c379a0", status="400 Bad")

    async with (
        rpc_server(reply) as first,
        rpc_server(good) as second,
        open_nodes(CHAIN, [first.url, second.url]) as nodes,
    ):
        with pytest.raises(CallRefusedError) as wide:
            await nodes.use(lambda node: node.call("eth_getLogs", {}))
        with pytest.raises(CallRefusedError) as reverted:
            await nodes.use(lambda node: node.call("eth_call", {}, "latest"))
        assert second.methods == []
    assert wide.value.fault is AnswerFault.TOO_WIDE
    assert (reverted.value.fault, reverted.value.data) == (AnswerFault.REVERTED, "0x08c379a0")


async def test_logs_that_are_too_slow_or_too_large_are_asked_for_in_smaller_ranges():
    replies = [lambda _m, _p, _n: dripping, lambda _m, _p, _n: answering(b" " * 2_000_000)]
    for reply in replies:
        async with (
            rpc_server(reply) as node,
            open_nodes(CHAIN, [node.url], seconds=1.0, max_body=1 << 20) as nodes,
        ):
            with pytest.raises(CallRefusedError) as caught:
                await nodes.use(lambda node: node.call("eth_getLogs", {}))
            assert caught.value.fault is AnswerFault.TOO_WIDE


async def test_the_real_chain_answers(chain):
    chain.mine(5)
    async with open_nodes(CHAIN, [chain.url]) as nodes:
        assert await nodes.use(height) == hex(chain.height)
        with pytest.raises(CallRefusedError) as caught:
            await nodes.use(lambda node: node.call("eth_nonsense"))
    assert caught.value.fault is AnswerFault.REFUSED
