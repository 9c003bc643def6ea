"""A transaction with fees of EIP-1559: its bytes, its signature and its hash.

The encoding (RLP) is written out here, because the library takes 170 ms to load.
"""

from collections.abc import Sequence
from typing import Final

from activityctl.domain.chain.hexadecimal import hex_bytes, keccak
from activityctl.domain.chain.signatures import sign_digest
from activityctl.frozen_dataclass import frozen_dataclass

_TYPE: Final = b"\x02"
_SHORT_TEXT: Final = 0x80
_SHORT_LIST: Final = 0xC0
_SHORT: Final = 55
"""The most bytes whose number is part of the first byte."""

Rlp = bytes | Sequence["Rlp"]


@frozen_dataclass
class Transaction:
    """What a relayer signs; it sends no native currency."""

    chain_id: int
    nonce: int
    to: str
    data: bytes
    gas: int
    max_fee_wei: int
    """The most that one unit of gas may cost, with the tip."""
    priority_fee_wei: int
    """What the miner gets for one unit of gas."""


@frozen_dataclass
class SignedBytes:
    """A signed transaction as it is sent."""

    raw: str
    hash: str


def sign_transaction(transaction: Transaction, private_key: bytes) -> SignedBytes:
    """Return the signed bytes; the same inputs give the same."""
    fields: list[Rlp] = [
        _number(transaction.chain_id),
        _number(transaction.nonce),
        _number(transaction.priority_fee_wei),
        _number(transaction.max_fee_wei),
        _number(transaction.gas),
        hex_bytes(transaction.to),
        b"",
        transaction.data,
        [],
    ]
    signature = hex_bytes(sign_digest(private_key, keccak(_TYPE + _encoded(fields))))
    parts = (signature[64] - 27, int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]))
    raw = _TYPE + _encoded([*fields, *(_number(part) for part in parts)])
    return SignedBytes("0x" + raw.hex(), "0x" + keccak(raw).hex())


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)


def _encoded(item: Rlp) -> bytes:
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < _SHORT_TEXT:
            return item
        return _prefixed(_SHORT_TEXT, item)
    return _prefixed(_SHORT_LIST, b"".join(_encoded(each) for each in item))


def _prefixed(first: int, content: bytes) -> bytes:
    if len(content) <= _SHORT:
        return bytes([first + len(content)]) + content
    size = _number(len(content))
    return bytes([first + _SHORT + len(size)]) + size + content
