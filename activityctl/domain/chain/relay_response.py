"""The `relayResponse` of the executed hook for what our own relayer has sent."""

from typing import Final

from activityctl.domain.chain.moments import chain_timestamp
from activityctl.domain.chain.relaying import RelayState, RelayTransaction
from activityctl.domain.values.model import JsonValue

BACKEND: Final = "activityctl"
_STATUSES: Final = {
    RelayState.CONFIRMED: "successful",
    RelayState.REVERTED: "failed",
    RelayState.LOST: "cancelled",
}


def relay_response(
    request_id: str,
    first: RelayTransaction,
    last: RelayTransaction,
    state: RelayState,
    error: str,
    timeout_seconds: float,
) -> dict[str, JsonValue]:
    """Return it with every field of the text.

    `first` is the transaction that was signed first, `last` the one that has ended, as `state`
    says.
    """
    is_successful = state is RelayState.CONFIRMED
    transaction_hash = None if state is RelayState.LOST else last.hash
    return {
        "taskId": request_id,
        "metadata": {
            "request": {
                "taskId": request_id,
                "to": last.to,
                "callData": last.data,
                "requestedAt": int(first.signed_at.timestamp()),
                "timeout": int(timeout_seconds),
                "signer": last.sender,
                "chainID": str(last.chain_id),
                "useSafeGasEstimate": False,
                "maxGasLimit": last.gas,
                "enableAccessList": False,
                "backendId": BACKEND,
                "webhook": "",
            },
            "response": {
                "isSuccessful": is_successful,
                "error": error,
                "transactionHash": transaction_hash,
            },
        },
        "outputTransactionHash": transaction_hash,
        "status": _STATUSES[state],
        "createdAt": chain_timestamp(first.signed_at),
    }
