"""Typed data gives the digests that others publish, and refuses what is not of its type."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak

from activityctl.domain.chain.config_signature import check_config, config_digest
from activityctl.domain.chain.signatures import recover_signer, sign_digest
from activityctl.domain.chain.typed_data import typed_data_digest

# Cases of the tests of ethers.js (MIT), testcases/typed-data.json.gz.
CASES = json.loads(Path(__file__).with_name("typed_data.json").read_text("utf-8"))
PERSON = (("name", "string"), ("wallet", "address"))
MAIL = {"Person": PERSON, "Mail": (("from", "Person"), ("to", "Person"), ("contents", "string"))}
MESSAGE = {
    "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
    "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
    "contents": "Hello, Bob!",
}
DOMAIN = {
    "name": "Ether Mail",
    "version": "1",
    "chainId": 1,
    "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
}
CONFIG = "0x074ba142945d2456155acfd4bbcb5dac506f370e8b56900b1b6fb213db0c379a"


def numbers(value: Any, kind: str, types: dict[str, Any]) -> Any:
    """Read the integers that these cases write as texts."""
    if kind.endswith("]"):
        return [numbers(item, kind[: kind.rindex("[")], types) for item in value]
    if kind in types:
        return {
            each["name"]: numbers(value[each["name"]], each["type"], types) for each in types[kind]
        }
    return int(value) if "int" in kind else value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_published_digests_and_signatures_are_met(case: dict[str, Any]):
    types = {
        name: [(each["name"], each["type"]) for each in fields]
        for name, fields in case["types"].items()
    }
    message = numbers(case["data"], case["primaryType"], case["types"])
    digest = typed_data_digest(case["domain"], types, case["primaryType"], message)
    assert "0x" + digest.hex() == case["digest"]
    if "signature" in case:
        assert sign_digest(bytes.fromhex(case["privateKey"][2:]), digest) == case["signature"]


def test_the_example_of_eip_712_holds():
    digest = typed_data_digest(DOMAIN, MAIL, "Mail", MESSAGE)
    assert digest.hex() == "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
    signature = sign_digest(keccak(b"cow"), digest)
    assert signature.endswith("1c")
    assert signature.startswith(
        "0x4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d"
        "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b91562"
    )
    assert recover_signer(digest, signature) == MESSAGE["from"]["wallet"]


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("bool", "true", "should be true or false"),
        ("bool", 1, "should be true or false"),
        ("uint8", True, "should be an integer"),
        ("uint8", 1.0, "should be an integer"),
        ("uint8", "1", "should be an integer"),
        ("uint8", 256, "out of the range"),
        ("uint256", -1, "out of the range"),
        ("uint256", 2**256, "out of the range"),
        ("int8", 128, "out of the range"),
        ("string", 5, "should be a text"),
        ("address", "0x0", "not an address"),
        ("address", "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD827", "wrong checksum"),
        ("bytes", "abc", "is not hex"),
        ("bytes", "0xabc", "is not hex"),
        ("bytes4", "0xabcdef", "should have 4 bytes"),
        ("bytes33", "0x" + 33 * "00", "should have 33 bytes"),
        ("uint8[2]", [1], "should have 2 items"),
        ("uint8[]", 1, "should be a list"),
        ("Other", {}, "unknown type"),
        ("Loop", {}, "message.a.a is missing"),
    ],
)
def test_a_value_of_another_type_is_refused(kind: str, value: Any, reason: str):
    types = {"T": (("a", kind),), "Loop": (("a", "Loop"),)}
    with pytest.raises(ValueError, match=reason):
        typed_data_digest({"name": "x"}, types, "T", {"a": value})


def test_fields_that_are_missing_or_unknown_are_refused():
    with pytest.raises(ValueError, match=r"message\.contents is missing"):
        typed_data_digest(DOMAIN, MAIL, "Mail", {k: MESSAGE[k] for k in ("from", "to")})
    with pytest.raises(ValueError, match=r"message.to.x is not a field"):
        typed_data_digest(DOMAIN, MAIL, "Mail", {**MESSAGE, "to": {**MESSAGE["to"], "x": 1}})
    with pytest.raises(ValueError, match=r"domain.planet is not a field"):
        typed_data_digest({**DOMAIN, "planet": 1}, MAIL, "Mail", MESSAGE)


def test_the_config_of_the_text_has_its_digest_and_is_signed_by_its_executor_alone():
    digest = config_digest("https://executor.com", verify_payload=True, action="CREATE")
    assert "0x" + digest.hex() == CONFIG
    account = Account.from_key(keccak(b"cow"))
    message = encode_typed_data(
        domain_data={"name": "Brahma Builder Kit", "version": "1"},
        message_types={
            "KernelAction": [
                {"name": "destinationURL", "type": "string"},
                {"name": "verifyPayload", "type": "bool"},
                {"name": "action", "type": "string"},
            ]
        },
        message_data={
            "destinationURL": "https://executor.com",
            "verifyPayload": True,
            "action": "CREATE",
        },
    )
    signature = "0x" + account.sign_message(message).signature.hex()
    url, given = "https://executor.com", {"verify_payload": True, "action": "CREATE"}
    address = account.address.lower()
    assert check_config(signature, address, url, **given) == account.address
    for other in (
        {"destination_url": "https://executor.com/"},
        {"verify_payload": False},
        {"action": "DELETE"},
        {"executor": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
    ):
        values = {"executor": address, "destination_url": url, **given, **other}
        with pytest.raises(ValueError, match="is not of"):
            check_config(signature, **values)
    with pytest.raises(ValueError, match="verifyPayload should be true or false"):
        config_digest(url, verify_payload="true", action="CREATE")
