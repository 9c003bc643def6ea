"""The requests of hooks, with every field of the Builder Kit's text, and in its order."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from activityctl.domain.chain.hook_outcome import HookOutcome, OutcomeKind
from activityctl.domain.chain.moments import NEVER, chain_timestamp
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

TRIGGER_PATH: Final = "/kernel/trigger"
EXECUTED_PATH: Final = "/kernel/executed"
_TYPES: Final[Mapping[str, str]] = {"interval": "INTERVAL", "chain": "FILTER"}
"""What the Builder Kit calls its two kinds of triggers; others have our own names in capitals."""
_NO_TRIGGER: Final = "MANUAL"


@frozen_dataclass
class HookContext:
    """What the ledger knows of the earlier triggers of a subscription."""

    count: int = 0
    """How many of them the executor has answered."""
    last_at: datetime | None = None
    last_request_id: str = ""

    def as_json(self) -> dict[str, JsonValue]:
        """Return the `context` of a trigger."""
        return {
            "executionCount": self.count,
            "prevExecutionAt": NEVER if self.last_at is None else chain_timestamp(self.last_at),
            "prevExecutionID": self.last_request_id,
        }


def request_id(idempotency_key: str, due_at: datetime) -> str:
    """Return the id of a trigger; it is the same for all attempts, and has the form of the text."""
    return f"{idempotency_key}-{due_at:%Y-%m-%dT%H:%M:%S}Z"


def trigger_object(
    kind: str | None, due_at: datetime, event: Mapping[str, JsonValue] | None
) -> dict[str, JsonValue]:
    """Return the `trigger`: its type, and the time or the data that caused it.

    `kind` is that of our trigger; None for a run by hand.
    """
    name = _NO_TRIGGER if kind is None else _TYPES.get(kind, kind.upper())
    if event is None:
        return {"type": name, "data": chain_timestamp(due_at)}
    return {"type": name, "data": event.get("data") if kind == "chain" else dict(event)}


def trigger_payload(
    key: str,
    context: HookContext,
    subscription: Mapping[str, JsonValue],
    executor_address: str,
    trigger: Mapping[str, JsonValue],
) -> dict[str, JsonValue]:
    """Return the trigger's request, with an empty signature; `key` is its request id."""
    return {
        "context": context.as_json(),
        "params": {
            "executorAddress": executor_address,
            "subAccountAddress": subscription["subAccountAddress"],
            "executorID": subscription["registryId"],
            "chainID": subscription["chainId"],
            "subscription": dict(subscription),
        },
        "requestID": key,
        "signature": "",
        "trigger": dict(trigger),
    }


def executed_payload(key: str, outcome: HookOutcome) -> dict[str, JsonValue]:
    """Return the executed hook's request, with an empty signature."""
    return {
        "requestID": key,
        "successful": outcome.kind is OutcomeKind.EXECUTED,
        "error": {"type": outcome.error_type, "message": outcome.message},
        "executionRequestID": key,
        "relayResponse": outcome.relay_response or empty_relay_response(),
        "signature": "",
    }


def empty_relay_response() -> dict[str, JsonValue]:
    """Return a relay response of which nothing is known: an executor may read all its fields."""
    return {
        "taskId": "",
        "metadata": {
            "request": {
                "taskId": "",
                "to": "",
                "callData": "",
                "requestedAt": 0,
                "timeout": 0,
                "signer": "",
                "chainID": "",
                "useSafeGasEstimate": False,
                "maxGasLimit": 0,
                "enableAccessList": False,
                "backendId": "",
                "webhook": "",
            },
            "response": {"isSuccessful": False, "error": "", "transactionHash": None},
        },
        "outputTransactionHash": None,
        "status": "",
        "createdAt": NEVER,
    }


def payload_text(payload: Mapping[str, Any], signature: str) -> str:
    """Return the JSON text that is sent, with its signature."""
    return json.dumps(
        {**payload, "signature": signature}, ensure_ascii=False, separators=(",", ":")
    )
