"""An executable: the call that an executor wants done for an account, and its EIP-712 signature.

Two contracts check such signatures, over different fields. A definition names which one is meant.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, assert_never

from activityctl.domain.chain.address import ZERO_ADDRESS
from activityctl.domain.chain.field_set import FieldSet
from activityctl.domain.chain.hexadecimal import checksum_address, hex_bytes
from activityctl.domain.chain.signatures import recover_signer, sign_digest
from activityctl.domain.chain.typed_data import Digest, Fields, typed_data_digest
from activityctl.frozen_dataclass import frozen_dataclass

IS_VALID_SIGNATURE: Final = bytes.fromhex("1626ba7e")
"""The selector of `isValidSignature(bytes32,bytes)`, and what it returns (EIP-1271)."""
LARGEST_DATA: Final = 128 * 1024
"""In bytes; no node takes a larger transaction."""
_DECIMAL: Final = re.compile("0|[1-9][0-9]{0,77}")
_WORD: Final = 32
_KEYS: Final = frozenset({"callType", "to", "value", "data"})


_SDK_12: Final[Fields] = (
    ("operation", "uint8"),
    ("to", "address"),
    ("account", "address"),
    ("executor", "address"),
    ("gasToken", "address"),
    ("refundReceiver", "address"),
    ("value", "uint256"),
    ("nonce", "uint256"),
    ("safeTxGas", "uint256"),
    ("baseGas", "uint256"),
    ("gasPrice", "uint256"),
    ("data", "bytes"),
)
_AUDITED_7: Final[Fields] = (
    ("to", "address"),
    ("value", "uint256"),
    ("data", "bytes"),
    ("operation", "uint8"),
    ("account", "address"),
    ("executor", "address"),
    ("nonce", "uint256"),
)


@frozen_dataclass
class Executable:
    """One call: of the account, to an address, with native currency and data."""

    call_type: int
    """0 is a call, 1 a delegate call."""
    to: str
    value_wei: int
    data: bytes

    def as_json(self) -> dict[str, Any]:
        """Return the form of the Builder Kit's text."""
        return {
            "callType": self.call_type,
            "to": self.to,
            "value": str(self.value_wei),
            "data": "0x" + self.data.hex(),
        }


@frozen_dataclass
class ExecutionContext:
    """What a signature of an executable binds it to, beside the call itself."""

    field_set: FieldSet
    chain_id: int
    plugin: str
    """The contract that checks the signature and lets the account make the call."""
    account: str
    executor: str
    nonce: int
    """`executorNonce(account, executor)` of the plugin; it makes each signature good for once."""


def read_executable(value: Any) -> Executable:
    """Return the executable of a JSON value; ValueError with the field that is wrong."""
    if not isinstance(value, Mapping):
        raise _wrong("should be an object")
    if missing := _KEYS - value.keys():
        raise ValueError(f"executable.{min(missing)} is missing")
    if unknown := value.keys() - _KEYS:
        raise ValueError(f"executable.{min(unknown)[:80]} is not a field of the Builder Kit")
    to, data = value["to"], value["data"]
    if not isinstance(to, str) or not isinstance(data, str):
        raise _wrong("should have the texts to and data")
    try:
        address = checksum_address(to)
    except ValueError as error:
        raise ValueError(f"executable.to: {error}") from None
    try:
        content = hex_bytes(data)
    except ValueError as error:
        raise ValueError(f"executable.data {error}") from None
    if len(content) > LARGEST_DATA:
        raise ValueError(f"executable.data has more than {LARGEST_DATA:,} bytes")
    return Executable(_call_type(value["callType"]), address, _wei(value["value"]), content)


def execution_digest(executable: Executable, context: ExecutionContext) -> Digest:
    """Return what the executor signs for this call in this context."""
    domain = {
        "name": "ExecutorPlugin",
        "version": "1.0",
        "chainId": context.chain_id,
        "verifyingContract": context.plugin,
    }
    message: dict[str, Any] = {
        "operation": executable.call_type,
        "to": executable.to,
        "account": context.account,
        "executor": context.executor,
        "value": executable.value_wei,
        "nonce": context.nonce,
        "data": executable.data,
    }
    match context.field_set:
        case FieldSet.SDK_12:
            fields = _SDK_12
            message |= {"gasToken": ZERO_ADDRESS, "refundReceiver": ZERO_ADDRESS}
            message |= {"safeTxGas": 0, "baseGas": 0, "gasPrice": 0}
        case FieldSet.AUDITED_7:
            fields = _AUDITED_7
        case other:
            assert_never(other)
    return typed_data_digest(domain, {"ExecutionParams": fields}, "ExecutionParams", message)


def sign_executable(executable: Executable, context: ExecutionContext, private_key: bytes) -> str:
    """Return the signature of an executor whose key we hold (autosign)."""
    return sign_digest(private_key, execution_digest(executable, context))


def check_executable(executable: Executable, context: ExecutionContext, signature: str) -> None:
    """Raise ValueError unless the executor's own key signed this call in this context."""
    signer = recover_signer(execution_digest(executable, context), signature)
    if signer != checksum_address(context.executor):
        raise ValueError(
            f"the signature is of {signer}, not of the executor {context.executor}: another key, "
            "call, nonce, account, chain or plugin was signed"
        )


def safe_message_digest(digest: Digest, context: ExecutionContext) -> Digest:
    """Return what the owners of a Safe sign that is the executor: the digest as SafeMessage."""
    domain = {"chainId": context.chain_id, "verifyingContract": context.executor}
    types: dict[str, Fields] = {"SafeMessage": (("message", "bytes"),)}
    return typed_data_digest(domain, types, "SafeMessage", {"message": bytes(digest)})


def is_valid_signature_call(digest: Digest, signature: bytes) -> bytes:
    """Return the data of the call that asks a contract whether a signature is its own."""
    padded = signature.ljust(-(-len(signature) // _WORD) * _WORD, b"\0")
    head = digest + (2 * _WORD).to_bytes(_WORD) + len(signature).to_bytes(_WORD)
    return IS_VALID_SIGNATURE + head + padded


def says_valid(answer: bytes) -> bool:
    """Return whether a contract's answer to that call means yes."""
    return len(answer) == _WORD and answer == IS_VALID_SIGNATURE.ljust(_WORD, b"\0")


def _call_type(value: Any) -> int:
    """Return the operation of a Safe; the text writes it as a string, the SDKs as a number."""
    number = int(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else value
    if isinstance(number, bool) or not isinstance(number, int) or number not in {0, 1}:
        raise ValueError("executable.callType should be 0 (call) or 1 (delegate call)")
    return number


def _wei(value: Any) -> int:
    number = int(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else 1 << 256
    if number >= 1 << 256:
        raise ValueError('executable.value should be wei as a decimal text, such as "0"')
    return number


def _wrong(reason: str) -> ValueError:
    return ValueError(f"executable {reason}")
