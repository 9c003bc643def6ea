"""What became of a trigger: skipped, executed or failed, with a stable type of error."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass


class HookError(StrEnum):
    """The types of errors that a task fails with, and that the executed hook carries."""

    SIGNATURE_INVALID = "signature_invalid"
    """The response is for another request, or not signed by who should sign it."""
    BAD_RESPONSE = "bad_response"
    """The response is not what the Builder Kit describes."""
    SKIP_WITH_TASK = "skip_with_task"
    """The response skips, and has a task."""
    ACCOUNT_MISMATCH = "account_mismatch"
    """The task is for another account."""
    EXECUTOR_MISMATCH = "executor_mismatch"
    """The task is of another executor."""
    BAD_EXECUTABLE = "bad_executable"
    """The call in the task cannot be made."""
    POLICY_REFUSED = "policy_refused"
    """The policy does not allow the call."""
    GAS_CAP = "gas_cap"
    """The call needs more gas than the policy allows."""
    EXPIRED = "expired"
    """The answer is too old to be carried out."""
    KEY_MISSING = "key_missing"
    """The key that should sign is not on this machine, or has another address."""
    PLUGIN_UNUSABLE = "plugin_unusable"
    """The contract that should check the executor's signature is not what it should be."""
    RELAYER_MISSING = "relayer_missing"
    """There is nothing here that could send the call."""
    SIMULATION_REVERTED = "simulation_reverted"
    """The call was tried without sending it, and a contract refused it."""
    REVERTED = "reverted"
    """The transaction is in a block, and a contract refused it there."""
    RELAY_FAILED = "relay_failed"
    """The transaction was not carried out, for another reason."""


class OutcomeKind(StrEnum):
    """How a trigger ended."""

    SKIPPED = "skipped"
    EXECUTED = "executed"
    FAILED = "failed"


@frozen_dataclass
class HookOutcome:
    """What became of a trigger; it is kept before the executor is told."""

    kind: OutcomeKind
    error_type: str = ""
    message: str = ""
    relay_response: Mapping[str, JsonValue] | None = None
    transaction_hash: str | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """Return the form that is kept."""
        return {
            "kind": self.kind.value,
            "errorType": self.error_type,
            "message": self.message,
            "relayResponse": None if self.relay_response is None else dict(self.relay_response),
            "transactionHash": self.transaction_hash,
        }


SKIPPED = HookOutcome(OutcomeKind.SKIPPED)


def failed(error_type: HookError, message: str) -> HookOutcome:
    """Return the outcome of a trigger from which nothing was relayed."""
    return HookOutcome(OutcomeKind.FAILED, error_type.value, message)


def outcome_of(fields: Mapping[str, Any]) -> HookOutcome:
    """Return the outcome that was kept."""
    return HookOutcome(
        OutcomeKind(fields["kind"]),
        fields["errorType"],
        fields["message"],
        fields["relayResponse"],
        fields["transactionHash"],
    )
