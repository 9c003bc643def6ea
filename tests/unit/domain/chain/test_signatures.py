"""Addresses and signatures are read strictly; what other libraries make is understood."""

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.chain.hexadecimal import checksum_address
from activityctl.domain.chain.signatures import ORDER, address_of, recover_signer, sign_digest

KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
DIGEST = bytes(range(32))
# The examples of EIP-55.
CHECKSUMS = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", CHECKSUMS)
def test_the_examples_of_eip_55_hold(address: str):
    assert checksum_address(address) == address
    assert checksum_address(address.lower()) == address
    assert checksum_address("0x" + address[2:].upper()) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not an address"),
        (ADDRESS[2:], "not an address"),
        (ADDRESS + "0", "not an address"),
        (ADDRESS + "\n", "not an address"),
        ("0X" + ADDRESS[2:], "not an address"),
        (ADDRESS[:-2] + "6A", "wrong checksum"),
        (ADDRESS.replace("aad", "aAd"), "wrong checksum"),
    ],
)
def test_other_texts_are_no_addresses(text: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        checksum_address(text)


@given(st.integers(1, ORDER - 1), st.binary(min_size=32, max_size=32))
def test_signing_agrees_with_eth_account(number: int, digest: bytes):
    key = number.to_bytes(32)
    account = Account.from_key(key)
    theirs = account.unsafe_sign_hash(digest).signature.hex()
    signature = sign_digest(key, digest)
    assert signature == f"0x{theirs}"
    assert address_of(key) == account.address == recover_signer(digest, signature)


@pytest.mark.parametrize("number", [0, ORDER, ORDER + 1, 2**256 - 1])
def test_a_private_key_out_of_range_is_refused(number: int):
    with pytest.raises(ValueError):  # noqa: PT011  # the library's own words
        address_of(number.to_bytes(32))


def changed(r: int | None = None, s: int | None = None, v: int | None = None) -> str:
    raw = bytes.fromhex(sign_digest(KEY, DIGEST)[2:])
    parts = (
        raw[:32] if r is None else r.to_bytes(32),
        raw[32:64] if s is None else s.to_bytes(32),
        raw[64:] if v is None else bytes([v]),
    )
    return "0x" + b"".join(parts).hex()


SIGNATURE = sign_digest(KEY, DIGEST)
HIGH_S = ORDER - int(SIGNATURE[66:130], 16)
OTHER_V = 55 - int(SIGNATURE[130:], 16)


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("", "empty"),
        ("0x", "empty"),
        (SIGNATURE[2:], "not hex"),
        (SIGNATURE[:-1], "not hex"),
        (SIGNATURE + "\n", "not hex"),
        (SIGNATURE[:-2], "64 bytes"),
        (SIGNATURE + "00", "66 bytes"),
        (changed(s=HIGH_S, v=OTHER_V), "upper half"),
        (changed(s=HIGH_S), "upper half"),
        (changed(s=0), "out of range"),
        (changed(r=0), "out of range"),
        (changed(r=ORDER), "out of range"),
        (changed(s=ORDER), "out of range"),
        (changed(v=0), "v of the signature is 0"),
        (changed(v=1), "v of the signature is 1"),
        (changed(v=29), "v of the signature is 29"),
        (changed(r=5, s=1, v=27), "no key can have made"),
    ],
)
def test_a_signature_in_another_form_is_refused(signature: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        recover_signer(DIGEST, signature)


def test_another_digest_or_a_flipped_bit_gives_another_signer():
    assert recover_signer(DIGEST, SIGNATURE) == ADDRESS
    assert recover_signer(DIGEST[::-1], SIGNATURE) != ADDRESS
    assert recover_signer(DIGEST, changed(v=OTHER_V)) != ADDRESS
