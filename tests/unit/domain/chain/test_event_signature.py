import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.chain.chain_log import ChainLog
from activityctl.domain.chain.event_signature import read_signature, signature_of_abi

TRANSFER = "event Transfer(address indexed from, address indexed to, uint256 value)"
SWAP = (
    "event Swap(address indexed sender, address indexed recipient, int256 amount0, int256 amount1,"
    " uint160 sqrtPriceX96, uint128 liquidity, int24 tick);"
)
TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
ALICE, BOB = "0x" + "00" * 12 + "a1" * 20, "0x" + "00" * 12 + "b0" * 20


def a_log(topics: tuple[str, ...], data: str = "0x") -> ChainLog:
    word = "0x" + "11" * 32
    return ChainLog("0x" + "22" * 20, topics, data, 7, word, word, 0, 3)


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        (TRANSFER, TRANSFER_TOPIC),
        ("Transfer(address,address,uint)", TRANSFER_TOPIC),
        (
            SWAP,
            "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67",
        ),
        (
            "event OwnershipTransferred(address indexed previousOwner, address indexed newOwner)",
            "0x8be0079c531659141344cd1fd0a4f28419497f9722a3daafe3b4186f6b6457e0",
        ),
    ],
)
def test_the_topic_is_that_of_solidity(text, topic):
    assert read_signature(text).topic == topic


def test_named_values_come_from_topics_and_data():
    event = read_signature(TRANSFER)
    data = "0x" + encode(["uint256"], [2**200]).hex()
    assert event.values_of(a_log((TRANSFER_TOPIC, ALICE, BOB), data)) == {
        "from": "0x" + "a1" * 20,
        "to": "0x" + "b0" * 20,
        "value": str(2**200),
    }


def test_values_of_every_kind_are_json():
    event = read_signature(
        "event Many((uint64 amount, address[] owners)[] orders, string indexed note, bool ok,"
        " bytes3 tag, bytes raw, int8 small, uint72, string said)"
    )
    types = ["(uint64,address[])[]", "bool", "bytes3", "bytes", "int8", "uint72", "string"]
    assert [each.type for each in event.inputs if not each.is_indexed] == types
    values = [[(5, ["0x" + "33" * 20])], True, b"abc", b"\x00\xff", -3, 9, "a\0b"]
    data = "0x" + encode(types, values).hex()
    hashed = "0x" + "44" * 32
    assert event.values_of(a_log((event.topic, hashed), data)) == {
        "orders": [{"amount": 5, "owners": ["0x" + "33" * 20]}],
        "note": hashed,
        "ok": True,
        "tag": "0x616263",
        "raw": "0x00ff",
        "small": -3,
        "6": "9",
        "said": "a\ufffdb",
    }


@given(st.integers(0, 2**256 - 1), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=80))
def test_what_was_encoded_is_decoded(large, small, raw):
    event = read_signature("event E(uint256 large, int64 small, bytes raw)")
    data = "0x" + encode(["uint256", "int64", "bytes"], [large, small, raw]).hex()
    found = event.values_of(a_log((event.topic,), data))
    assert found == {"large": str(large), "small": small, "raw": f"0x{raw.hex()}"}


def test_the_json_of_an_abi_means_the_same_as_the_text():
    parts = [{"name": "amount", "type": "uint256"}, {"name": "to", "type": "address"}]
    item = {
        "type": "event",
        "name": "Filled",
        "inputs": [
            {"name": "orders", "type": "tuple[2][]", "components": parts},
            {"name": "by", "type": "address", "indexed": True},
        ],
        "anonymous": True,
    }
    text = "event Filled((uint256 amount, address to)[2][] orders, address indexed by) anonymous"
    assert signature_of_abi(item) == read_signature(text)
    assert read_signature(read_signature(text).text) == read_signature(text)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (a_log(("0x" + "00" * 32, ALICE, BOB)), "not of the event Transfer"),
        (a_log((TRANSFER_TOPIC, ALICE, BOB, BOB)), "3 indexed values, but Transfer declares 2"),
        (a_log((TRANSFER_TOPIC, ALICE, BOB), "0x00"), "does not have the declared types"),
        (a_log((TRANSFER_TOPIC, "0x" + "ff" * 32, BOB), "0x" + "00" * 32), "declared types"),
    ],
)
def test_a_log_of_another_event_is_refused(log, reason):
    with pytest.raises(ValueError, match=reason):
        read_signature(TRANSFER).values_of(log)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "ends too early"),
        ("event (address a)", "needs the name"),
        ("Transfer(address from", "ends too early"),
        ("Transfer(adress from)", "'adress' is no type of Solidity"),
        ("Transfer(uint7 a)", "integers have 8, 16"),
        ("Transfer(bytes33 a)", "1 to 32 bytes"),
        ("Transfer(address a, address a)", "two values have the name a"),
        ("Transfer(address a) x", "'x' after the end"),
        ("E(" + ",".join(f"address indexed a{n}" for n in range(4)) + ")", "more than 3 values"),
        ("E" + "(" * 12 + ")" * 12, "nested deeper"),
        ("E(())", "a tuple has no parts"),
        ("E(" + "address," * 400 + ")", "longer than 2,048"),
    ],
)
def test_a_wrong_declaration_is_refused_with_the_reason(text, reason):
    with pytest.raises(ValueError, match=reason):
        read_signature(text)
