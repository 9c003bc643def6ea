"""Verifies a request: signature, time or token. A pure function of request, secrets and time.

What is secret is compared in constant time, with each secret.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from activityctl.domain.sources.refusal import Refusal, RefusalCode
from activityctl.domain.sources.request import WebRequest
from activityctl.domain.sources.signed_text import BODY, HEADER, TIMESTAMP, signed_parts
from activityctl.domain.sources.verification import (
    BearerVerification,
    Encoding,
    HmacVerification,
    KeyForm,
    StandardWebhooks,
    Verification,
)
from activityctl.frozen_dataclass import frozen_dataclass

_SECONDS: Final = re.compile(r"[0-9]{1,11}", re.ASCII)
_MILLISECONDS: Final = re.compile(r"[0-9]{12,14}", re.ASCII)
_MOST_SIGNATURES: Final = 16
_STANDARD_KEY: Final = "whsec_"
_STANDARD_VERSION: Final = "v1,"


@frozen_dataclass
class Verified:
    """A request is verified."""

    how: str
    """By what, for people; never a secret or a signature."""
    is_by_old_secret: bool = False


@frozen_dataclass
class _Signature:
    """What a request has of a signature."""

    given: Sequence[str]
    timestamp: str | None = None


class _RefusedError(Exception):
    """The request is refused."""

    def __init__(self, code: RefusalCode, reason: str) -> None:
        self.refusal = Refusal(code, reason)
        super().__init__(reason)


def verify(
    request: WebRequest, verification: Verification, secrets: Mapping[str, str], now: datetime
) -> Verified | Refusal:
    """Return that the request is verified, or why it is refused.

    `secrets` has the values of those of its secrets that are here, by name.
    """
    names = [name for name in verification.secret_names if name in secrets]
    if verification.secret_names and not names:
        listed = " and ".join(verification.secret_names)
        return Refusal(RefusalCode.SECRET_UNAVAILABLE, f"no value of secret {listed} is here")
    try:
        if verification.hmac is not None:
            found = _verify_hmac(request, verification.hmac, [secrets[name] for name in names], now)
        elif verification.standard_webhooks is not None:
            values = [secrets[name] for name in names]
            found = _verify_standard(request, verification.standard_webhooks, values, now)
        elif verification.bearer is not None:
            found = _verify_bearer(request, verification.bearer, [secrets[name] for name in names])
        else:
            return Verified("nothing is verified: anybody may send")
    except _RefusedError as refused:
        missing = [name for name in verification.secret_names if name not in secrets]
        code, reason = refused.refusal.code, refused.refusal.reason
        return Refusal(code, f"{reason}; secret {missing[0]} is not here" if missing else reason)
    name = names[found]
    is_old = name != verification.secret_names[0]
    return Verified(f"{verification.text}, secret {name}", is_by_old_secret=is_old)


def _verify_hmac(
    request: WebRequest, spec: HmacVerification, secrets: Sequence[str], now: datetime
) -> int:
    """Return the index of the secret that has signed the request."""
    signature = _signature_of(request, spec)
    moment = None if signature.timestamp is None else _moment(signature.timestamp)
    signed = _signed(request, spec, signature.timestamp or "")
    keys = [_key(secret, spec.key) for secret in secrets]
    wanted = [_encoded(hmac.digest(key, signed, spec.algorithm), spec.encoding) for key in keys]
    is_hex = spec.encoding == "hex"  # of which some senders use capital letters
    given = [text.lower() for text in signature.given] if is_hex else signature.given
    found = _signer(given, wanted)
    if found is None:
        raise _RefusedError(
            RefusalCode.SIGNATURE_INVALID,
            f"the signature in header {spec.header.lower()} does not fit the request",
        )
    if moment is not None:
        _require_near(moment, spec.tolerance, now)
    return found


def _signature_of(request: WebRequest, spec: HmacVerification) -> _Signature:
    text = _required(request, spec.header)
    timestamp = None
    if spec.timestamp_header is not None:
        timestamp = _required(request, spec.timestamp_header, RefusalCode.TIMESTAMP_INVALID)
    if spec.fields is None:
        if not text.startswith(spec.prefix):
            raise _RefusedError(
                RefusalCode.SIGNATURE_INVALID,
                f"header {spec.header.lower()} does not begin with {spec.prefix}",
            )
        return _Signature([text[len(spec.prefix) :].strip()], timestamp)
    pairs = [part.strip().partition("=") for part in text.split(spec.fields.separator)]
    given = [value.strip() for name, _, value in pairs if name.strip() == spec.fields.signature]
    if not given:
        raise _RefusedError(
            RefusalCode.SIGNATURE_MISSING,
            f"header {spec.header.lower()} has no field {spec.fields.signature}",
        )
    if spec.fields.timestamp is not None:
        times = [value.strip() for name, _, value in pairs if name.strip() == spec.fields.timestamp]
        if len(times) != 1:
            raise _RefusedError(
                RefusalCode.TIMESTAMP_INVALID,
                f"header {spec.header.lower()} should have one field {spec.fields.timestamp}",
            )
        timestamp = times[0]
    return _Signature(given, timestamp)


def _signed(request: WebRequest, spec: HmacVerification, timestamp: str) -> bytes:
    signed = b""
    for index, part in enumerate(signed_parts(spec.signed)):
        if index % 2 == 0:
            signed += part.encode()
        elif part == BODY:
            signed += request.body
        elif part == TIMESTAMP:
            signed += _bytes(timestamp)
        else:
            signed += _bytes(_required(request, part.removeprefix(HEADER)))
    return signed


def _verify_standard(
    request: WebRequest, spec: StandardWebhooks, secrets: Sequence[str], now: datetime
) -> int:
    """Return the index of the secret; the rules are those of Standard Webhooks, version 1."""
    message = _required(request, f"{spec.header_prefix}-id")
    seconds = _required(request, f"{spec.header_prefix}-timestamp", RefusalCode.TIMESTAMP_INVALID)
    text = _required(request, f"{spec.header_prefix}-signature")
    moment = _moment(seconds)
    signed = _bytes(f"{message}.{seconds}.") + request.body
    given = [
        each.removeprefix(_STANDARD_VERSION)
        for each in text.split()
        if each.startswith(_STANDARD_VERSION)
    ]
    keys = [(index, key) for index, secret in enumerate(secrets) for key in _standard_keys(secret)]
    wanted = [_encoded(hmac.digest(key, signed, "sha256"), "base64") for _, key in keys]
    found = _signer(given, wanted)
    if found is None:
        raise _RefusedError(
            RefusalCode.SIGNATURE_INVALID,
            f"no signature in header {spec.header_prefix.lower()}-signature fits the request",
        )
    _require_near(moment, spec.tolerance, now)
    return keys[found][0]


def _verify_bearer(request: WebRequest, spec: BearerVerification, secrets: Sequence[str]) -> int:
    """Return the index of the secret that the request has."""
    text = request.header(spec.header)
    if not text:
        raise _RefusedError(
            RefusalCode.TOKEN_MISSING, f"header {spec.header.lower()} is missing or empty"
        )
    before = spec.before
    if text[: len(before)].lower() != before.lower():
        raise _RefusedError(
            RefusalCode.TOKEN_INVALID,
            f"header {spec.header.lower()} does not begin with {before.strip()}",
        )
    found = _signer([text[len(before) :].strip()], secrets)
    if found is None:
        raise _RefusedError(
            RefusalCode.TOKEN_INVALID, f"the token in header {spec.header.lower()} is another one"
        )
    return found


def _signer(given: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Return the index of the first wanted text that is given; all are compared."""
    texts = [_bytes(text) for text in given[:_MOST_SIGNATURES]]
    fits = [[hmac.compare_digest(text, _bytes(each)) for text in texts] for each in wanted]
    found = [index for index, row in enumerate(fits) if any(row)]
    return found[0] if found else None


def _required(
    request: WebRequest, name: str, code: RefusalCode = RefusalCode.SIGNATURE_MISSING
) -> str:
    text = request.header(name)
    if not text:
        raise _RefusedError(code, f"header {name.lower()} is missing or empty")
    return text


def _key(secret: str, form: KeyForm) -> bytes:
    try:
        match form:
            case "text":
                return secret.encode()
            case "hex":
                return bytes.fromhex(secret)
            case "base64":
                return base64.b64decode(secret, validate=True)
    except ValueError:
        raise _RefusedError(
            RefusalCode.SECRET_UNAVAILABLE, f"the secret is not a key in {form}"
        ) from None


def _standard_keys(secret: str) -> list[bytes]:
    """Return the keys that a secret may mean: base64 after `whsec_`; else base64, or its text."""
    try:
        decoded = [base64.b64decode(secret.removeprefix(_STANDARD_KEY), validate=True)]
    except binascii.Error:
        decoded = []
    return [key for key in decoded if key] + (
        [] if secret.startswith(_STANDARD_KEY) else [secret.encode()]
    )


def _encoded(digest: bytes, encoding: Encoding) -> str:
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode("ascii")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def signature_time(request: WebRequest, verification: Verification) -> datetime | None:
    """Return when a request says that it was signed; None if it does not say so."""
    try:
        if verification.hmac is not None:
            text = _signature_of(request, verification.hmac).timestamp
        elif (standard := verification.standard_webhooks) is not None:
            text = _required(request, f"{standard.header_prefix}-timestamp")
        else:
            text = None
        return None if text is None else _moment(text)
    except _RefusedError:
        return None


def _moment(text: str) -> datetime:
    """Return the time of seconds or milliseconds since 1970, or of RFC 3339."""
    try:
        if _SECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text), UTC)
        if _MILLISECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise _RefusedError(
        RefusalCode.TIMESTAMP_INVALID, "the time of the signature is no number of seconds"
    )


def _require_near(moment: datetime, tolerance: timedelta, now: datetime) -> None:
    off = moment - now
    if abs(off) <= tolerance:
        return
    seconds = round(abs(off).total_seconds())
    side = "in the future" if off > timedelta() else "ago"
    raise _RefusedError(
        RefusalCode.TIMESTAMP_OUTSIDE_TOLERANCE,
        f"the signature fits, but it is of {seconds:,} s {side}; the tolerance is "
        f"{tolerance.total_seconds():,g} s. The request was sent again, or a clock is wrong",
    )
