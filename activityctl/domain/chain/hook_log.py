"""The log entry of a trigger, with the fields of the Builder Kit's text."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from activityctl.domain.chain.hook_outcome import HookOutcome, OutcomeKind
from activityctl.domain.values.log import Level, LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.untrusted import parse_storable_json

MESSAGE: Final = "trigger"
NO_TRANSACTION: Final = "0x" + 64 * "0"
LARGEST: Final = 20_000
"""In characters: larger values are not repeated in the log; the row of the trigger has them."""


def unfinished_outcome(
    error_type: str, reason: str, decided: HookOutcome | None = None
) -> HookOutcome:
    """Return what became of a trigger whose task ended before the trigger did.

    What was decided about its call holds, although the executor may not have heard it.
    """
    return decided or HookOutcome(OutcomeKind.FAILED, error_type, reason)


def hook_entry(
    *,
    subscription_id: str,
    run_id: str,
    task: str,
    request: Mapping[str, Any],
    response: str | None,
    executed_response: str | None,
    outcome: HookOutcome,
    at: datetime,
) -> LogEntry:
    """Return the entry for the log of the subscription."""
    level: Level = "error" if outcome.kind is OutcomeKind.FAILED else "info"
    metadata: dict[str, JsonValue] = {
        "task": task,
        "requestID": request["requestID"],
        "outcome": outcome.kind.value,
        "request": _bounded(dict(request)),
        "response": _bounded(_json_of(response)),
        "postExecutionState": _bounded(_log_of(executed_response)),
        "subAccountAddress": request["params"]["subAccountAddress"],
        "chainId": request["params"]["chainID"],
        "outputTxHash": outcome.transaction_hash or NO_TRANSACTION,
    }
    if outcome.error_type:
        metadata["error"] = {"type": outcome.error_type, "message": outcome.message}
    return LogEntry(subscription_id, run_id, MESSAGE, level, at, metadata)


def told_message(message: str, metadata: Mapping[str, JsonValue]) -> str:
    """Return the message of an entry for a person: that of a trigger with what became of it."""
    outcome = metadata.get("outcome")
    if message != MESSAGE or outcome is None:
        return message
    sent, error = metadata.get("outputTxHash"), metadata.get("error")
    told = f"{message} {outcome}"
    if isinstance(error, Mapping):
        told += f": [{error.get('type')}] {error.get('message')}"
    return told if sent in {None, NO_TRANSACTION} else f"{told}: transaction {sent}"


def _json_of(text: str | None) -> JsonValue:
    if text is None or not text.strip():
        return None
    try:
        return parse_storable_json(text)
    except ValueError:
        return text


def _log_of(text: str | None) -> JsonValue:
    value = _json_of(text)
    return value.get("log") if isinstance(value, Mapping) else None


def _bounded(value: JsonValue) -> JsonValue:
    if value is None or len(json.dumps(value)) <= LARGEST:
        return value
    return f"left out, because it has more than {LARGEST:,} characters"
