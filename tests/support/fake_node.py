"""A node of a chain that takes every transaction, and a call for it."""

from typing import Any

PLUGIN = "0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"


class FakeNode:
    """Answers JSON-RPC; what is sent is in a block at once."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        method, params = request["method"], request["params"]
        if method == "eth_sendRawTransaction":
            self.sent.append(params[0])
        count = hex(len(self.sent))
        block = {"number": "0x10", "hash": "0x" + 64 * "a", "baseFeePerGas": "0x1"}
        receipt = {"blockNumber": "0x10", "blockHash": "0x" + 64 * "a", "status": "0x1"}
        results = {
            "eth_chainId": "0x1",
            "eth_blockNumber": "0x100",
            "eth_call": "0x" + 64 * "0",
            "eth_estimateGas": "0x5208",
            "eth_getBalance": hex(10**20),
            "eth_getCode": "0x00",
            "eth_getBlockByNumber": block,
            "eth_maxPriorityFeePerGas": "0x1",
            "eth_gasPrice": "0x1",
            "eth_getTransactionCount": count,
            "eth_sendRawTransaction": "0x" + 64 * "b",
            "eth_getTransactionReceipt": receipt if self.sent else None,
            "eth_getTransactionByHash": {} if self.sent else None,
        }
        return {"jsonrpc": "2.0", "id": request["id"], "result": results[method]}


def call_of(params: dict[str, Any]) -> dict[str, Any]:
    """Return the task of a response: a call of the plugin, which its executor has not signed."""
    return {
        "subaccount": params["subAccountAddress"],
        "executor": params["executorAddress"],
        "executorSignature": "0x",
        "executable": {"callType": 0, "to": PLUGIN, "value": "0", "data": "0xd0e30db0"},
    }
