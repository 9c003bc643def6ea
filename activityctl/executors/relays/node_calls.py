"""What a relayer asks a node of a chain; each answer is read strictly."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from activityctl.domain.chain.fees import Market
from activityctl.domain.chain.hexadecimal import quantity, word
from activityctl.domain.chain.node_answer import AnswerFault
from activityctl.domain.chain.relaying import (
    ChainView,
    Receipt,
    RelayTerms,
    RelayTransaction,
    lost_depth,
)
from activityctl.ports import CallRefusedError, ChainNode, NodeFaultError

_LATEST: Final = "latest"
_PENDING: Final = "pending"


async def read_number(node: ChainNode, method: str, *params: Any) -> int:
    """Return the quantity that a method answers."""
    number: int = _read(method, quantity, await node.call(method, *params))
    return number


async def read_market(node: ChainNode) -> Market | None:
    """Return what gas costs now; None if the chain has no base fee (EIP-1559)."""
    block = await node.call("eth_getBlockByNumber", _LATEST, False)
    if not isinstance(block, Mapping):
        raise NodeFaultError("eth_getBlockByNumber: the latest block is no object")
    if block.get("baseFeePerGas") is None:
        return None
    base_fee = _read("eth_getBlockByNumber", quantity, block["baseFeePerGas"])
    try:
        priority = await read_number(node, "eth_maxPriorityFeePerGas")
    except CallRefusedError:  # not every node has this method
        priority = max(0, await read_number(node, "eth_gasPrice") - base_fee)
    return Market(base_fee, priority)


async def next_nonce(node: ChainNode, sender: str) -> int:
    """Return the nonce after everything that the node knows of the sender, the mempool too."""
    return await read_number(node, "eth_getTransactionCount", sender, _PENDING)


async def knows(node: ChainNode, transaction_hash: str) -> bool:
    """Return whether the node has the transaction, in a block or waiting."""
    return await node.call("eth_getTransactionByHash", transaction_hash) is not None


async def look(
    node: ChainNode, versions: Sequence[RelayTransaction], terms: RelayTerms
) -> ChainView:
    """Return what the node says of the transactions of one trigger, and of their nonce.

    The nonces are asked first: so a nonce that is used has its receipt, if it is one of ours.
    """
    newest = versions[-1]
    head = await read_number(node, "eth_blockNumber")
    nonce = await read_number(node, "eth_getTransactionCount", newest.sender, _LATEST)
    settled = 0
    if nonce > newest.nonce:
        depth = hex(max(0, head - lost_depth(terms.confirmations)))
        settled = await read_number(node, "eth_getTransactionCount", newest.sender, depth)
    receipts = {}
    for version in reversed(versions):
        receipt = await _receipt(node, version.hash)
        if receipt is not None:
            receipts[version.hash] = receipt
            break
    is_known = bool(receipts) or await knows(node, newest.hash)
    return ChainView(head, nonce, settled, receipts, is_known)


async def revert_data(
    node: ChainNode, transaction: RelayTransaction, receipt: Receipt
) -> tuple[str | None, str]:
    """Return the bytes and the message with which the same call is refused now, as far as known.

    The node may have no state of the block any more; then nothing is known.
    """
    call = {"from": transaction.sender, "to": transaction.to, "data": transaction.data}
    before = hex(max(0, receipt.block_number - 1))
    try:
        await node.call("eth_call", call, before)
    except CallRefusedError as error:
        if error.fault is AnswerFault.REVERTED:
            return error.data, error.message
    except NodeFaultError:
        pass
    return None, ""


async def _receipt(node: ChainNode, transaction_hash: str) -> Receipt | None:
    method = "eth_getTransactionReceipt"
    found = await node.call(method, transaction_hash)
    if not isinstance(found, Mapping) or found.get("blockHash") is None:
        return None
    return Receipt(
        _read(method, quantity, found.get("blockNumber")),
        _read(method, word, found.get("blockHash")),
        _read(method, quantity, found.get("status")) == 1,
    )


def _read(method: str, reader: Any, value: Any) -> Any:
    try:
        return reader(value)
    except ValueError as error:
        raise NodeFaultError(f"{method}: {error}") from None
