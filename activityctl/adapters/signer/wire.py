"""What a signer and its clients say to each other: a line of JSON for each request and answer."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from activityctl.domain.chain.executable import Executable, ExecutionContext, read_executable
from activityctl.domain.chain.field_set import FieldSet
from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.chain.policy import Refusal
from activityctl.domain.chain.relaying import RelayState, RelayTransaction
from activityctl.domain.runs.signing import SigningRefusedError
from activityctl.errors import (
    ActivityctlError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnreachableError,
)
from activityctl.ports import ExecutionDraft, SignedTransaction, TransactionDraft

LONGEST_LINE: Final = 1 << 20
ADDRESSES: Final = "addresses"
COUNT_CALL: Final = "count_call"
SIGN_EXECUTION: Final = "sign_execution"
SIGN_TRANSACTION: Final = "sign_transaction"
_KINDS: Final[Mapping[str, type[ActivityctlError]]] = {
    kind.code: kind for kind in (ConflictError, InvalidInputError, NotFoundError, UnreachableError)
}


def to_line(value: Mapping[str, Any]) -> bytes:
    """Return the line of a request or an answer."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def of_line(line: bytes) -> dict[str, Any]:
    """Return the request or the answer of a line. Raises ValueError if it is none."""
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("is no object")  # noqa: TRY004  # what callers catch
    return value


def execution_form(draft: ExecutionDraft) -> dict[str, Any]:
    """Return the JSON of a draft."""
    return {
        "hook_key": draft.hook_key,
        "key": draft.key,
        "executable": draft.executable.as_json(),
        "context": asdict(draft.context),
    }


def read_execution(form: Mapping[str, Any]) -> ExecutionDraft:
    """Return the draft of its JSON. Raises ValueError, TypeError or KeyError for anything else."""
    given = form["context"]
    context = ExecutionContext(
        FieldSet(given["field_set"]),
        _whole(given["chain_id"]),
        _text(given["plugin"]),
        _text(given["account"]),
        _text(given["executor"]),
        _whole(given["nonce"]),
    )
    executable: Executable = read_executable(form["executable"])
    return ExecutionDraft(_text(form["hook_key"]), _text(form["key"]), executable, context)


def transaction_form(draft: TransactionDraft) -> dict[str, Any]:
    """Return the JSON of a draft."""
    return {**asdict(draft), "data": draft.data.hex()}


def read_transaction(form: Mapping[str, Any]) -> TransactionDraft:
    """Return the draft of its JSON. Raises ValueError, TypeError or KeyError for anything else."""
    return TransactionDraft(
        _text(form["hook_key"]),
        _whole(form["number"]),
        _text(form["relayer"]),
        _whole(form["chain_id"]),
        _text(form["to"]),
        bytes.fromhex(form["data"]),
        _whole(form["gas"]),
        _whole(form["max_fee_wei"]),
        _whole(form["priority_fee_wei"]),
        _whole(form["chain_nonce"]),
        form["is_chain_new"] is True,
    )


def signed_form(signed: SignedTransaction) -> dict[str, Any]:
    """Return the JSON of a signed transaction."""
    fields = asdict(signed.transaction)
    moments = {name: fields[name] and fields[name].isoformat() for name in ("signed_at", "sent_at")}
    return {"transaction": {**fields, **moments}, "drift": signed.drift}


def read_signed(form: Mapping[str, Any]) -> SignedTransaction:
    """Return the signed transaction of its JSON."""
    fields = dict(form["transaction"])
    fields["state"] = RelayState(fields["state"])
    for name in ("signed_at", "sent_at"):
        fields[name] = fields[name] and datetime.fromisoformat(fields[name])
    return SignedTransaction(RelayTransaction(**fields), form["drift"])


def error_form(error: ActivityctlError) -> dict[str, Any]:
    """Return the JSON of an error; it has no part of a key."""
    form = {"code": error.code, "message": error.message, "hint": error.hint}
    if isinstance(error, SigningRefusedError):
        form["type"] = error.refusal.error.value
    return form


def read_error(form: Mapping[str, Any]) -> ActivityctlError:
    """Return the error of its JSON, to be raised again."""
    message, hint = str(form["message"]), form.get("hint")
    if form["code"] == SigningRefusedError.code:
        return SigningRefusedError(Refusal(HookError(form["type"]), message))
    kind = _KINDS.get(str(form["code"]), ActivityctlError)
    error = kind.__new__(kind)
    ActivityctlError.__init__(error, message, hint=hint)
    return error


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_LINE:
        raise ValueError("should be a text")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 256:
        raise ValueError("should be a whole number")
    return value
