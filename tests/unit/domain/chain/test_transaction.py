"""Transactions are signed as eth-account signs them, whatever their size."""

import pytest
from eth_account import Account

from activityctl.domain.chain.transaction import Transaction, sign_transaction

KEY = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")
TO = "0xD1f745F0D14918a2C1E31153f2492891e4526ea4"


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\x7f", b"\x80", b"a" * 55, b"a" * 56, b"b" * 70_000]
)
@pytest.mark.parametrize(
    ("nonce", "fee", "priority"), [(0, 0, 0), (127, 1, 1), (128, 10**10, 10**9)]
)
def test_the_bytes_are_those_of_eth_account(data: bytes, nonce: int, fee: int, priority: int):
    signed = sign_transaction(Transaction(8453, nonce, TO, data, 90_000, fee, priority), KEY)
    fields = {
        "type": 2,
        "chainId": 8453,
        "nonce": nonce,
        "to": TO,
        "value": 0,
        "data": data,
        "gas": 90_000,
        "maxFeePerGas": fee,
        "maxPriorityFeePerGas": priority,
    }
    expected = Account.sign_transaction(fields, KEY)
    assert signed.raw == "0x" + expected.raw_transaction.hex().removeprefix("0x")
    assert signed.hash == "0x" + expected.hash.hex().removeprefix("0x")
