"""The calls to a node that the watcher makes, with answers that are checked."""

from collections.abc import Mapping
from typing import Any

from activityctl.domain.chain.chain_log import BlockHeader, ChainLog, read_header, read_log
from activityctl.domain.chain.hexadecimal import quantity
from activityctl.domain.chain.node_answer import AnswerFault
from activityctl.ports import CallRefusedError, ChainNode, JsonValue, NodeFaultError


async def _ask(node: ChainNode, method: str, *params: JsonValue) -> JsonValue:
    """Call the node; if it refuses what every node should answer, another one may do it."""
    try:
        return await node.call(method, *params)
    except CallRefusedError as error:
        if error.fault is AnswerFault.TOO_WIDE:
            raise
        raise NodeFaultError(f"{method}: {error} (code {error.rpc_code})") from None


async def read_height(node: ChainNode) -> int:
    """Return the number of the node's last block."""
    try:
        return quantity(await _ask(node, "eth_blockNumber"))
    except ValueError as error:
        raise NodeFaultError(f"eth_blockNumber: {error}") from None


async def header_at(node: ChainNode, number: int) -> BlockHeader | None:
    """Return the header of a block; None if the node does not have the block."""
    found = await _ask(node, "eth_getBlockByNumber", hex(number), False)
    if found is None:
        return None
    try:
        header = read_header(found)
    except ValueError as error:
        raise NodeFaultError(f"eth_getBlockByNumber: {error}") from None
    if header.number != number:
        raise NodeFaultError(f"eth_getBlockByNumber: the answer is block {header.number}")
    return header


async def needed_header(node: ChainNode, number: int) -> BlockHeader:
    """Return the header of a block that the node should have; another node may have it."""
    header = await header_at(node, number)
    if header is None:
        raise NodeFaultError(f"lags behind: it does not have block {number}")
    return header


async def logs_of_block(
    node: ChainNode, query: Mapping[str, Any], header: BlockHeader
) -> list[ChainLog]:
    """Return the logs of exactly this block: a node that does not know its hash says so."""
    logs = await _logs(node, {**query, "blockHash": header.hash})
    if any(log.block_hash != header.hash for log in logs):
        raise NodeFaultError("eth_getLogs: a log is of another block")
    return logs


async def logs_between(
    node: ChainNode, query: Mapping[str, Any], first: int, last: BlockHeader
) -> list[ChainLog]:
    """Return the logs from a block up to another one, in order."""
    logs = await _logs(node, {**query, "fromBlock": hex(first), "toBlock": hex(last.number)})
    for log in logs:
        if not first <= log.block_number <= last.number:
            raise NodeFaultError("eth_getLogs: a log is outside the range")
        if log.block_number == last.number and log.block_hash != last.hash:
            raise NodeFaultError("eth_getLogs: a log is of another block")
    return logs


async def _logs(node: ChainNode, query: Mapping[str, Any]) -> list[ChainLog]:
    found = await _ask(node, "eth_getLogs", dict(query))
    if not isinstance(found, list):
        raise NodeFaultError("eth_getLogs: the answer is no list")
    try:
        logs = [read_log(log) for log in found]
    except ValueError as error:
        raise NodeFaultError(f"eth_getLogs: {error}") from None
    return sorted(logs, key=lambda log: log.place)
