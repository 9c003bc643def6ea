"""Payloads are encrypted, cannot be changed unseen, and outlive the rotation of the key."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload

from activityctl.adapters.temporal.failures import converter_with
from activityctl.adapters.temporal.payload_codec import (
    EncryptingCodec,
    UnreadablePayloadError,
    key_id,
    payload_key,
)
from activityctl.errors import InvalidInputError

OLD, NEW = b"o" * 32, b"n" * 32
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"customer 7"')


async def test_a_payload_is_unreadable_and_comes_back_as_it_was():
    codec = EncryptingCodec(OLD)
    first, second = await codec.encode([PLAIN, PLAIN])
    assert first.metadata["encoding"] == b"binary/encrypted"
    assert b"customer" not in first.SerializeToString()
    assert first.data != second.data  # a nonce is used once
    assert await codec.decode([first, second]) == [PLAIN, PLAIN]


@given(st.binary(max_size=200), st.dictionaries(st.text(max_size=9), st.binary(max_size=20)))
async def test_any_payload_survives(data: bytes, metadata: dict[str, bytes]):
    payload = Payload(metadata=metadata, data=data)
    codec = EncryptingCodec(OLD)
    (encrypted,) = await codec.encode([payload])
    assert await codec.decode([encrypted]) == [payload]


async def test_what_was_written_before_encryption_is_read():
    assert await EncryptingCodec(OLD).decode([PLAIN]) == [PLAIN]


async def test_the_former_key_reads_and_the_new_one_writes():
    encrypted = await EncryptingCodec(OLD).encode([PLAIN])
    rotated = EncryptingCodec(NEW, OLD)
    assert await rotated.decode(encrypted) == [PLAIN]
    assert await rotated.decode(await rotated.encode([PLAIN])) == [PLAIN]


async def test_who_lacks_the_key_is_told_which():
    encrypted = await EncryptingCodec(NEW).encode([PLAIN])
    for codec in (None, EncryptingCodec(OLD)):
        converter = converter_with(codec)
        with pytest.raises(UnreadablePayloadError) as raised:
            await converter.decode(encrypted)
        assert f"with the key {key_id(NEW).decode()}, which this" in str(raised.value)
    (value,) = await converter_with(EncryptingCodec(NEW)).decode(encrypted)
    assert value == "customer 7"


@given(st.integers(min_value=0))
async def test_no_byte_can_be_changed(place: int):
    codec = EncryptingCodec(OLD)
    (encrypted,) = await codec.encode([PLAIN])
    data = bytearray(encrypted.data)
    data[place % len(data)] ^= 1
    with pytest.raises(UnreadablePayloadError, match="changed"):
        await codec.decode([Payload(metadata=encrypted.metadata, data=bytes(data))])


@pytest.mark.parametrize("length", range(12 + 16))
async def test_what_is_too_short_is_refused(length: int):
    codec = EncryptingCodec(OLD)
    (encrypted,) = await codec.encode([PLAIN])
    with pytest.raises(UnreadablePayloadError):
        await codec.decode([Payload(metadata=encrypted.metadata, data=encrypted.data[:length])])


def test_a_key_has_32_bytes_in_base64():
    key = os.urandom(32)
    assert payload_key("file:/key", base64.b64encode(key).decode() + "\n") == key
    for text in ("", "short", base64.b64encode(key[:31]).decode(), key.hex(), "é"):
        with pytest.raises(InvalidInputError) as raised:
            payload_key("file:/key", text)
        assert str(raised.value) == "file:/key is not 32 bytes in base64"
