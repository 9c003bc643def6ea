"""Encrypts what Temporal stores of our workflows: AES-256-GCM, a new nonce for each payload.

Payloads that are not encrypted are read as they are, so encryption can be turned on at any time.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    CompositePayloadConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    PayloadCodec,
)

from activityctl.adapters.temporal.call_payloads import CallPayloadConverter
from activityctl.domain.runs.stuck import CHANGED, ENCRYPTED
from activityctl.errors import InvalidInputError

MAKE_KEY: Final = "make a key with: openssl rand -base64 32"
KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_ENCODING: Final = "encoding"
_KEY_ID: Final = "encryption-key-id"
_ENCRYPTED: Final = b"binary/encrypted"
_CIPHER: Final = {"encryption-cipher": b"AES-256-GCM"}


class UnreadablePayloadError(Exception):
    """A payload is encrypted with a key that this process does not have, or was changed."""


class EncryptingCodec(PayloadCodec):
    """Encrypts with the current key; decrypts with it and with a former one."""

    def __init__(self, key: bytes, *former: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # few workers need it

        self._current = key_id(key)
        self._ciphers = {key_id(each): AESGCM(each) for each in (key, *former)}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return each payload encrypted, with its own encoding inside."""
        return [self._encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return each payload as it was, and those of other keys encrypted.

        Raises UnreadablePayloadError for one that was changed.
        """
        return [self._decrypted(payload) for payload in payloads]

    def _encrypted(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(
            nonce, payload.SerializeToString(), self._current
        )
        metadata = {_ENCODING: _ENCRYPTED, _KEY_ID: self._current, **_CIPHER}
        return Payload(metadata=metadata, data=nonce + sealed)

    def _decrypted(self, payload: Payload) -> Payload:
        if payload.metadata.get(_ENCODING) != _ENCRYPTED:
            return payload
        key = payload.metadata.get(_KEY_ID, b"")
        cipher = self._ciphers.get(key)
        if cipher is None:
            return payload  # ReadableConverter says then which key is missing
        from cryptography.exceptions import InvalidTag

        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, sealed, key))
        except (InvalidTag, ValueError, DecodeError):
            raise UnreadablePayloadError(CHANGED) from None


class _Encrypted(EncodingPayloadConverter):
    """Says what is missing to read a payload that nothing has decrypted."""

    encoding: ClassVar[str] = _ENCRYPTED.decode()

    def to_payload(self, value: Any) -> Payload | None:  # noqa: ARG002  # it writes nothing
        """Return None: another converter writes the value."""
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:  # noqa: ARG002  # the SDK passes it
        """Raise UnreadablePayloadError with the id of the key."""
        key = payload.metadata.get(_KEY_ID, b"").decode("ascii", "replace")
        raise UnreadablePayloadError(
            f"{ENCRYPTED} {key}, which this process does not have: "
            "name it as temporal_payload_key_ref, or as temporal_former_payload_key_ref"
        )


class ReadableConverter(CompositePayloadConverter):
    """Converts as the SDK does, and says of an encrypted payload which key is missing."""

    def __init__(self) -> None:
        *others, _ = DefaultPayloadConverter.default_encoding_payload_converters
        super().__init__(*others, CallPayloadConverter(), _Encrypted())


def key_id(key: bytes) -> bytes:
    """Return by what payloads name the key; it gives nothing away."""
    return hashlib.sha256(b"activityctl payload key\0" + key).hexdigest()[:16].encode()


def payload_key(setting: str, text: str) -> bytes:
    """Return the key in the text; InvalidInputError, which does not show it, for another text."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidInputError(f"{setting} is not 32 bytes in base64", hint=MAKE_KEY)
    return key
