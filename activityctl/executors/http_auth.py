"""Says in headers who an http request is from: a token, a user, or a signature."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final

from activityctl.errors import TaskError
from activityctl.executors.http_parts import HmacAuth, HttpAuth, check_header_value
from activityctl.ports import ResolveSecret

Sign = Callable[[str, bytes], Mapping[str, str]]
"""`sign(id, body)` returns the headers of the signature; the id is that of the message."""
_WEBHOOK_KEY: Final = "whsec_"


def sign_nothing(_message_id: str, _body: bytes) -> Mapping[str, str]:
    """Return no headers."""
    return {}


async def auth_headers(auth: HttpAuth | None, secret: ResolveSecret, host: str) -> dict[str, str]:
    """Return the Authorization header for a call to the host, if the body asks for one."""
    if auth is None or auth.hmac is not None:
        return {}
    if auth.bearer is not None:
        value = f"Bearer {await secret(auth.bearer, host=host)}"
    else:
        assert auth.basic is not None  # noqa: S101 - the model has one of the three
        user = await secret(auth.basic.username, host=host)
        password = await secret(auth.basic.password, host=host)
        value = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    try:
        return {"Authorization": check_header_value(value)}
    except ValueError as error:
        raise _unusable(f"auth: {error}") from None


async def signer(
    auth: HttpAuth | None, secret: ResolveSecret, host: str, clock: Callable[[], float]
) -> Sign:
    """Return what signs each request for a call to the host; `clock` returns Unix seconds."""
    if auth is None or auth.hmac is None:
        return sign_nothing
    options = auth.hmac
    key = await secret(options.secret, host=host)
    if options.scheme == "body":
        return lambda _, body: {options.header: _body_signature(options, key.encode(), body)}
    webhook_key = _webhook_key(key)
    return lambda message_id, body: _webhook_headers(webhook_key, message_id, body, int(clock()))


def _body_signature(options: HmacAuth, key: bytes, body: bytes) -> str:
    digest = hmac.digest(key, body, options.algorithm)
    text = digest.hex() if options.encoding == "hex" else base64.b64encode(digest).decode("ascii")
    is_default = "prefix" not in options.model_fields_set
    return (f"{options.algorithm}=" if is_default else options.prefix) + text


def _webhook_headers(key: bytes, message_id: str, body: bytes, seconds: int) -> dict[str, str]:
    """Return the headers of Standard Webhooks, version 1."""
    signed = f"{message_id}.{seconds}.".encode() + body
    digest = hmac.digest(key, signed, hashlib.sha256().name)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": "v1," + base64.b64encode(digest).decode("ascii"),
    }


def _webhook_key(key: str) -> bytes:
    if not key.startswith(_WEBHOOK_KEY):
        return key.encode()
    try:
        return base64.b64decode(key.removeprefix(_WEBHOOK_KEY), validate=True)
    except (binascii.Error, ValueError):
        raise _unusable("auth.hmac: a key that begins with whsec_ should go on in base64") from None


def _unusable(reason: str) -> TaskError:
    return TaskError(reason, code="secret_unusable", retryable=False)
