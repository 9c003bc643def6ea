"""Signatures of hooks: the field `signature` of the Builder Kit, and Standard Webhooks.

The Builder Kit's covers the request id alone, and of a response the executor's signature. That of
Standard Webhooks covers the whole body and a time.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

TOLERANCE_SECONDS: Final = 300
"""How far the time of a signed response may be from ours."""
_NO_SIGNATURE: Final = "0x"
_SECONDS: Final = re.compile("[0-9]{1,12}")


class SignatureProfile(StrEnum):
    """Which signatures requests have, and which one of a response is required."""

    BUILDER_KIT = "builder-kit"
    """The field `signature` alone."""
    STANDARD_WEBHOOKS = "standard-webhooks"
    """The headers of Standard Webhooks alone; responses need them, too."""
    BOTH = "both"
    """Both; a response needs the field, and its headers are checked if it has them."""

    @property
    def has_field(self) -> bool:
        """Whether the field `signature` is filled and checked."""
        return self is not SignatureProfile.STANDARD_WEBHOOKS

    @property
    def has_headers(self) -> bool:
        """Whether requests have the headers of Standard Webhooks."""
        return self is not SignatureProfile.BUILDER_KIT


def hmac_hex(key: str, text: str) -> str:
    """Return the HMAC-SHA256 in hex. The key is its own text, not the bytes that it stands for."""
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def response_text(request_id: str, executor_signature: str | None) -> str:
    """Return what an executor signs in its response; None when it skips."""
    return f"{request_id}:{executor_signature or _NO_SIGNATURE}"


def is_signed(keys: Sequence[str], text: str, signature: str) -> bool:
    """Return whether the signature of the text is by one of the keys; each takes the same time."""
    given = signature.encode("utf-8", "replace")
    found = [hmac.compare_digest(hmac_hex(key, text).encode(), given) for key in keys]
    return any(found)


def webhook_signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the signature of Standard Webhooks, version 1: of the id, the time and the body."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode("ascii")


def webhook_headers(
    keys: Sequence[str], message_id: str, seconds: int, body: bytes
) -> dict[str, str]:
    """Return the headers of Standard Webhooks, version 1, with a signature by each key."""
    stamp = str(seconds)
    signatures = [webhook_signature(key.encode(), message_id, stamp, body) for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(signatures),
    }


def webhook_problem(
    headers: Mapping[str, str], keys: Sequence[str], message_id: str, now_seconds: int, body: bytes
) -> str | None:
    """Return why the headers of Standard Webhooks do not sign this body; None if they do."""
    given = {name.lower(): value for name, value in headers.items()}
    if given.get("webhook-id") != message_id:
        return "the header webhook-id is not the request id"
    seconds = given.get("webhook-timestamp", "")
    if not _SECONDS.fullmatch(seconds) or abs(int(seconds) - now_seconds) > TOLERANCE_SECONDS:
        return f"the header webhook-timestamp is not within {TOLERANCE_SECONDS} s of now"
    wanted = [webhook_signature(key.encode(), message_id, seconds, body).encode() for key in keys]
    found = [
        hmac.compare_digest(text.encode("utf-8", "replace"), each)
        for text in given.get("webhook-signature", "").split(" ")[:8]
        for each in wanted
    ]
    return None if any(found) else "the header webhook-signature does not sign the body"


def has_webhook_headers(headers: Mapping[str, str]) -> bool:
    """Return whether a response says that it is signed by Standard Webhooks."""
    return any(name.lower() == "webhook-signature" for name in headers)
