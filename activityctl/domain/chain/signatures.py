"""Addresses and secp256k1 signatures of Ethereum, read strictly.

A signature has 65 bytes, r, s and v, with s in the lower half of the order and v 27 or 28: so no
second text of it is valid. 0 and 1 are not taken for v, because deployed contracts refuse them.
"""

from typing import Final

import coincurve

from activityctl.domain.chain.hexadecimal import checksum_address, hex_bytes, keccak

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of secp256k1: a private key is a number from 1 to one less than it."""
SIGNATURE_BYTES: Final = 65


def address_of(private_key: bytes) -> str:
    """Return the address of a private key; ValueError if the key is out of range."""
    return _address(coincurve.PrivateKey(private_key).public_key)


def sign_digest(private_key: bytes, digest: bytes) -> str:
    """Return the signature of a digest of 32 bytes; the same inputs give the same (RFC 6979)."""
    signature = coincurve.PrivateKey(private_key).sign_recoverable(digest, hasher=None)
    return "0x" + (signature[:64] + bytes([27 + signature[64]])).hex()


def recover_signer(digest: bytes, signature: str) -> str:
    """Return the address that made the signature of this digest.

    ValueError with the reason if it is not a signature in its one valid form.
    """
    raw = signature_bytes(signature)
    try:
        key = coincurve.PublicKey.from_signature_and_message(
            raw[:64] + bytes([raw[64] - 27]), digest, hasher=None
        )
    except Exception:  # noqa: BLE001  # the library raises Exception itself
        raise ValueError("no key can have made this signature") from None
    return _address(key)


def signature_bytes(signature: str) -> bytes:
    """Return the 65 bytes of a signature; ValueError with the reason for any other text."""
    if not signature or signature == "0x":
        raise ValueError("the signature is empty")
    try:
        raw = hex_bytes(signature)
    except ValueError as error:
        raise ValueError(f"the signature {error}") from None
    if len(raw) != SIGNATURE_BYTES:
        raise ValueError(f"the signature has {len(raw)} bytes, not {SIGNATURE_BYTES}")
    r, s, v = int.from_bytes(raw[:32]), int.from_bytes(raw[32:64]), raw[64]
    if not (0 < r < ORDER and 0 < s < ORDER):
        raise ValueError("r or s of the signature is out of range")
    if s > ORDER // 2:
        raise ValueError("s of the signature is in the upper half of the order (malleable)")
    if v not in {27, 28}:
        raise ValueError(f"v of the signature is {v}, not 27 or 28")
    return raw


def _address(key: coincurve.PublicKey) -> str:
    return checksum_address("0x" + keccak(key.format(compressed=False)[1:])[-20:].hex())
