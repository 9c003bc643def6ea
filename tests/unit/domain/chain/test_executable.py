"""An executable is read strictly, and its signature binds it to everything around it."""

from dataclasses import replace
from typing import Any

import pytest
from eth_abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak

from activityctl.domain.chain.executable import (
    ExecutionContext,
    FieldSet,
    check_executable,
    execution_digest,
    is_valid_signature_call,
    read_executable,
    safe_message_digest,
    says_valid,
    sign_executable,
)

KEY = keccak(b"executor")
EXECUTOR = Account.from_key(KEY).address
PLUGIN, ACCOUNT, TARGET = (Account.from_key(keccak(name)).address for name in (b"p", b"a", b"t"))
GIVEN = {"callType": 0, "to": TARGET, "value": "1000000000000000000", "data": "0xdeadbeef"}
CALL = read_executable(GIVEN)
TYPES = {
    FieldSet.SDK_12: "uint8 operation,address to,address account,address executor,"
    "address gasToken,address refundReceiver,uint256 value,uint256 nonce,uint256 safeTxGas,"
    "uint256 baseGas,uint256 gasPrice,bytes data",
    FieldSet.AUDITED_7: "address to,uint256 value,bytes data,uint8 operation,address account,"
    "address executor,uint256 nonce",
}
"""As the SDKs and the contracts write them."""


def context(field_set: FieldSet = FieldSet.SDK_12) -> ExecutionContext:
    return ExecutionContext(field_set, 8453, PLUGIN, ACCOUNT, EXECUTOR, 7)


@pytest.mark.parametrize("field_set", FieldSet)
def test_both_field_sets_are_signed_as_eth_account_signs_them(field_set: FieldSet):
    fields = [part.split(" ") for part in TYPES[field_set].split(",")]
    zero = "0x" + 40 * "0"
    values = {
        "operation": 0,
        "to": TARGET,
        "account": ACCOUNT,
        "executor": EXECUTOR,
        "gasToken": zero,
        "refundReceiver": zero,
        "value": 10**18,
        "nonce": 7,
        "safeTxGas": 0,
        "baseGas": 0,
        "gasPrice": 0,
        "data": bytes.fromhex("deadbeef"),
    }
    message = encode_typed_data(
        domain_data={
            "name": "ExecutorPlugin",
            "version": "1.0",
            "chainId": 8453,
            "verifyingContract": PLUGIN,
        },
        message_types={"ExecutionParams": [{"name": name, "type": kind} for kind, name in fields]},
        message_data={name: values[name] for _, name in fields},
    )
    theirs = "0x" + Account.sign_message(message, KEY).signature.hex()
    assert sign_executable(CALL, context(field_set), KEY) == theirs
    check_executable(CALL, context(field_set), theirs)


@pytest.mark.parametrize("field_set", FieldSet)
@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": 1},
        {"plugin": TARGET},
        {"account": TARGET},
        {"executor": ACCOUNT},
        {"nonce": 8},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_signature_for_another_context_is_refused(field_set: FieldSet, change: dict[str, Any]):
    signature = sign_executable(CALL, context(field_set), KEY)
    with pytest.raises(ValueError, match="not of the executor"):
        check_executable(CALL, replace(context(field_set), **change), signature)


@pytest.mark.parametrize(
    "change", [{"callType": 1}, {"to": PLUGIN}, {"value": "1"}, {"data": "0x"}], ids=str
)
def test_a_signature_of_another_call_or_field_set_is_refused(change: dict[str, Any]):
    signature = sign_executable(CALL, context(), KEY)
    with pytest.raises(ValueError, match="not of the executor"):
        check_executable(read_executable({**GIVEN, **change}), context(), signature)
    with pytest.raises(ValueError, match="not of the executor"):
        check_executable(CALL, context(FieldSet.AUDITED_7), signature)


@pytest.mark.parametrize("call_type", [0, 1, "0", "1"])
def test_the_call_type_is_a_number_or_its_text(call_type: Any):
    read = read_executable({**GIVEN, "callType": call_type, "to": TARGET.lower()})
    assert read.call_type == int(call_type)
    assert read.as_json() == {**GIVEN, "callType": int(call_type)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"callType": 2}, "callType"),
        ({"callType": True}, "callType"),
        ({"callType": "01"}, "callType"),
        ({"callType": None}, "callType"),
        ({"value": 1}, "value"),
        ({"value": "-1"}, "value"),
        ({"value": "01"}, "value"),
        ({"value": "0x1"}, "value"),
        ({"value": "1.5"}, "value"),
        ({"value": str(2**256)}, "value"),
        ({"to": "0x0"}, "executable.to: .* not an address"),
        ({"to": None}, "should have the texts"),
        ({"data": "0xabc"}, "executable.data is not hex"),
        ({"data": ""}, "executable.data is not hex"),
        ({"data": "0x" + 131_073 * "00"}, "more than 131,072 bytes"),
        ({"gas": 1}, "executable.gas is not a field"),
    ],
)
def test_what_is_no_executable_is_refused(change: dict[str, Any], reason: str):
    with pytest.raises(ValueError, match=reason):
        read_executable({**GIVEN, **change})


def test_a_missing_field_and_no_object_are_refused():
    with pytest.raises(ValueError, match=r"executable\.data is missing"):
        read_executable({key: value for key, value in GIVEN.items() if key != "data"})
    with pytest.raises(ValueError, match="should be an object"):
        read_executable([])


def test_a_contract_is_asked_as_eip_1271_says():
    digest = execution_digest(CALL, context())
    for signature in (b"", b"\x01" * 65, b"\x02" * 64):
        asked = is_valid_signature_call(digest, signature)
        assert asked[:4] == keccak(b"isValidSignature(bytes32,bytes)")[:4]
        assert asked[4:] == encode(["bytes32", "bytes"], [digest, signature])
    assert says_valid(bytes.fromhex("1626ba7e") + bytes(28))
    for text in ("", "00" * 32, "1626ba7e", "1626ba7e" + "31" * 28):
        assert not says_valid(bytes.fromhex(text))


def test_the_owners_of_a_safe_sign_its_message():
    digest = execution_digest(CALL, context())
    message = encode_typed_data(
        domain_data={"chainId": 8453, "verifyingContract": EXECUTOR},
        message_types={"SafeMessage": [{"name": "message", "type": "bytes"}]},
        message_data={"message": digest},
    )
    wanted = keccak(b"\x19\x01" + message.header + message.body)
    assert safe_message_digest(digest, context()) == wanted
