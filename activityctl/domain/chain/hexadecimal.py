"""Hexadecimal texts of JSON-RPC: quantities, words, addresses and their checksums (EIP-55)."""

import re
from typing import Final

_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_WORD: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


def quantity(value: object) -> int:
    """Return the number of a quantity such as `0x1b4`. Raises ValueError for anything else."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ValueError(f"{_short(value)} is not a quantity such as 0x1b4")
    return int(value, 16)


def data(value: object) -> str:
    """Return the text of some bytes, in lower case. Raises ValueError for anything else."""
    return _matching(value, _DATA, "bytes such as 0x00ff")


def word(value: object) -> str:
    """Return the text of 32 bytes, in lower case. Raises ValueError for anything else."""
    return _matching(value, _WORD, "32 bytes: 0x and 64 hexadecimal digits")


def address(value: object) -> str:
    """Return an address in lower case.

    Raises ValueError for anything else, and for one in mixed case whose checksum is wrong.
    """
    found = _matching(value, _ADDRESS, "an address: 0x and 40 hexadecimal digits")
    digits = str(value)[2:]
    if digits not in (digits.lower(), digits.upper()) and checksum_address(found)[2:] != digits:
        raise ValueError(f"{value} has a wrong checksum (EIP-55); a character may be mistyped")
    return found


def checksum_address(value: object) -> str:
    """Return an address with its checksum of EIP-55; raises as `address` does."""
    digits = address(value)[2:]
    nibbles = keccak(digits.encode()).hex()
    pairs = zip(digits, nibbles, strict=False)
    return "0x" + "".join(
        digit.upper() if nibble in "89abcdef" else digit for digit, nibble in pairs
    )


def hex_bytes(text: str) -> bytes:
    """Return the bytes of `0x…`. Raises ValueError, without the text, for any other."""
    if not _DATA.fullmatch(text):
        raise ValueError("is not hex: write 0x and an even number of hexadecimal digits")
    return bytes.fromhex(text[2:])


def keccak(content: bytes) -> bytes:
    """Return the Keccak-256 hash."""
    from Crypto.Hash import keccak as hashing  # 40 ms, which most commands do not need

    return bytes(hashing.new(digest_bits=256, data=content).digest())


def _matching(value: object, pattern: re.Pattern[str], expected: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{_short(value)} is not {expected}")
    return value.lower()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"  # noqa: PLR2004  # characters
