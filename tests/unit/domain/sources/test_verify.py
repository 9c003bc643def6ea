"""Verifying requests: published vectors of senders, both secrets, times, and forgeries."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from activityctl.domain.sources.refusal import Refusal
from activityctl.domain.sources.request import WebRequest
from activityctl.domain.sources.verification import Verification
from activityctl.domain.sources.verify import Verified, signature_time, verify

SECRET = {"secret": {"secretRef": "key"}}
BOTH = {**SECRET, "oldSecret": {"secretRef": "old"}}
NOW = datetime(2026, 11, 28, 20, tzinfo=UTC)

SLACK_BODY = (
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
    "%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121"
    ".803a0bc887a14d10d2c447fce8b6703c"
)
GITHUB = {"hmac": {"header": "X-Hub-Signature-256", "prefix": "sha256=", **BOTH}}
SLACK = {
    "hmac": {
        "header": "x-slack-signature",
        "prefix": "v0=",
        "timestampHeader": "x-slack-request-timestamp",
        "signed": "v0:{timestamp}:{body}",
        **SECRET,
    }
}
STRIPE = {
    "hmac": {
        "header": "stripe-signature",
        "fields": {"timestamp": "t", "signature": "v1"},
        "signed": "{timestamp}.{body}",
        **SECRET,
    }
}
SHOPIFY = {"hmac": {"header": "x-shopify-hmac-sha256", "encoding": "base64", **SECRET}}
TWITCH = {
    "hmac": {
        "header": "twitch-eventsub-message-signature",
        "prefix": "sha256=",
        "timestampHeader": "twitch-eventsub-message-timestamp",
        "signed": "{header.Twitch-Eventsub-Message-Id}{timestamp}{body}",
        "tolerance": "10m",
        **SECRET,
    }
}
STANDARD = {"standardWebhooks": SECRET}


def verification(spec: Any) -> Verification:
    return Verification.model_validate_json(json.dumps(spec))


def request(body: str | bytes = b"", **headers: str) -> WebRequest:
    content = body.encode() if isinstance(body, str) else body
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return WebRequest("POST", "/v1/sources/x", pairs, "", content)


def found(spec: Any, asked: WebRequest, now: datetime = NOW, **secrets: str) -> Verified | Refusal:
    return verify(asked, verification(spec), secrets, now)


def code(result: Verified | Refusal) -> str | None:
    return result.code.value if isinstance(result, Refusal) else None


def mac(key: bytes | str, text: bytes | str, name: str = "sha256") -> bytes:
    key, text = (part.encode() if isinstance(part, str) else part for part in (key, text))
    return hmac.new(key, text, getattr(hashlib, name)).digest()


def test_published_vectors_of_senders_are_verified():
    asked = request(
        "Hello, World!",
        x_hub_signature_256="sha256="
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    )
    result = found(GITHUB, asked, key="It's a Secret to Everybody")
    assert result == Verified("hmac sha256 in x-hub-signature-256, secret key")
    signed_at = datetime.fromtimestamp(1531420618, UTC)
    asked = request(
        SLACK_BODY,
        X_Slack_Request_Timestamp="1531420618",
        X_Slack_Signature="v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    )
    assert code(found(SLACK, asked, signed_at, key="8f742231b10e8888abcd99yyyzzz85a5")) is None
    assert signature_time(asked, verification(SLACK)) == signed_at
    for secret, message, seconds, body, signature in (
        (
            "whsec_plJ3nmyCDGBKInavdOK15jsl",
            "msg_loFOjxBNrRLzqYUf",
            1731705121,
            '{"event_type":"ping","data":{"success":true}}',
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        ),
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            '{"test": 2432232314}',
            "v1a,bm90aGluZw== v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
    ):
        asked = request(
            body,
            webhook_id=message,
            webhook_timestamp=str(seconds),
            webhook_signature=signature,
        )
        moment = datetime.fromtimestamp(seconds, UTC)
        assert code(found(STANDARD, asked, moment, key=secret)) is None
        plain = secret.removeprefix("whsec_")
        assert code(found(STANDARD, asked, moment, key=plain)) is None


def test_the_forms_of_large_senders_are_verified():
    now = int(NOW.timestamp())
    payment = mac("whsec_x", f"{now}." + '{"a":1}').hex()
    asked = request('{"a":1}', stripe_signature=f"t={now},v1={'0' * 64},v1={payment},v0=00")
    assert code(found(STRIPE, asked, key="whsec_x")) is None
    shop = base64.b64encode(mac("s", "body")).decode()
    assert code(found(SHOPIFY, request("body", x_shopify_hmac_sha256=shop), key="s")) is None
    moment = NOW.isoformat().replace("+00:00", ".123456789Z")
    asked = request(
        "{}",
        twitch_eventsub_message_id="e76c6bd4",
        twitch_eventsub_message_timestamp=moment,
        twitch_eventsub_message_signature="sha256=" + mac("s", f"e76c6bd4{moment}{{}}").hex(),
    )
    assert code(found(TWITCH, asked, key="s")) is None
    spec = {"hmac": {"header": "sig", "algorithm": "sha512", "key": "base64", **SECRET}}
    asked = request("b", sig=mac(b"\x00\xff", "b", "sha512").hex())
    assert code(found(spec, asked, key="AP8=")) is None
    assert code(found(spec, asked, key="not base64")) == "secret_unavailable"
    asked = request("b", authorization="bearer  tok", x_gitlab_token="tok")
    assert code(found({"bearer": SECRET}, asked, key="tok")) is None
    gitlab = {"bearer": {"header": "X-Gitlab-Token", **SECRET}}
    assert code(found(gitlab, asked, key="tok")) is None
    assert found({"none": {}}, asked) == Verified("nothing is verified: anybody may send")


def test_both_secrets_are_valid_and_a_missing_one_is_told():
    for name in ("key", "old"):
        asked = request("b", x_hub_signature_256="sha256=" + mac(f"value of {name}", "b").hex())
        result = found(GITHUB, asked, key="value of key", old="value of old")
        assert isinstance(result, Verified)
        assert result.is_by_old_secret is (name == "old")
        alone = found(GITHUB, asked, old="value of old")
        assert code(alone) == (None if name == "old" else "signature_invalid")
        assert name == "old" or "secret key is not here" in getattr(alone, "reason", "")
        assert code(found(GITHUB, asked)) == "secret_unavailable"


def test_refusals_have_stable_codes():
    now, sign = int(NOW.timestamp()), lambda at: mac("s", f"{at}.b").hex()
    late, early = now - 301, now + 301
    cases = [
        (GITHUB, request("b"), "signature_missing"),
        (GITHUB, request("b", x_hub_signature_256=""), "signature_missing"),
        (GITHUB, request("b", x_hub_signature_256=mac("s", "b").hex()), "signature_invalid"),
        (STRIPE, request("b", stripe_signature=f"t={now}"), "signature_missing"),
        (STRIPE, request("b", stripe_signature=f"v1={sign(now)}"), "timestamp_invalid"),
        (STRIPE, request("b", stripe_signature=f"t=1,t={now},v1=00"), "timestamp_invalid"),
        (STRIPE, request("b", stripe_signature=f"t=today,v1={sign('today')}"), "timestamp_invalid"),
        (STRIPE, request("b", stripe_signature=f"t={now + 1},v1={sign(now)}"), "signature_invalid"),
        *(
            (STRIPE, request("b", stripe_signature=f"t={at},v1={sign(at)}"), wanted)
            for at, wanted in (
                (late, "timestamp_outside_tolerance"),
                (early, "timestamp_outside_tolerance"),
                (late + 1, None),
                (early - 1, None),
                (late * 1000, "timestamp_outside_tolerance"),
                (now * 1000, None),
            )
        ),
        (STANDARD, request("b", webhook_id="m"), "timestamp_invalid"),
        (STANDARD, request("b", webhook_id="m", webhook_timestamp="1"), "signature_missing"),
        ({"bearer": SECRET}, request("b"), "token_missing"),
        ({"bearer": SECRET}, request("b", authorization="s"), "token_invalid"),
        ({"bearer": SECRET}, request("b", authorization="Bearer S"), "token_invalid"),
        ({"bearer": SECRET}, request("b", authorization="Bearer "), "token_invalid"),
    ]
    for spec, asked, wanted in cases:
        assert code(found(spec, asked, key="s")) == wanted, asked


@given(st.binary(max_size=40), st.integers(min_value=0), st.integers(1, 255), st.data())
def test_a_flipped_byte_never_verifies(body: bytes, place: int, change: int, data: st.DataObject):
    now = int(NOW.timestamp())
    form = data.draw(st.sampled_from(["plain", "shop", "fields", "standard", "bearer"]))
    signed = f"{now}.".encode() + body
    message = b"m." + signed
    headers = {
        "plain": {"x-hub-signature-256": "sha256=" + mac("s", body).hex()},
        "shop": {"x-shopify-hmac-sha256": base64.b64encode(mac("s", body)).decode()},
        "fields": {"stripe-signature": f"t={now},v1={mac('s', signed).hex()}"},
        "standard": {
            "webhook-id": "m",
            "webhook-timestamp": str(now),
            "webhook-signature": "v1," + base64.b64encode(mac("s", message)).decode(),
        },
        "bearer": {"authorization": "Bearer " + "s" * 30},
    }[form]
    spec = {
        "plain": GITHUB,
        "shop": SHOPIFY,
        "fields": STRIPE,
        "standard": STANDARD,
        "bearer": {"bearer": SECRET},
    }[form]
    secret = "s" * 30 if form == "bearer" else "s"
    asked = WebRequest("POST", "/", tuple(headers.items()), "", body)
    assert code(found(spec, asked, key=secret)) is None
    if body and form != "bearer" and data.draw(st.booleans()):
        changed = bytearray(body)
        changed[place % len(body)] ^= change
        forged = WebRequest("POST", "/", tuple(headers.items()), "", bytes(changed))
    else:
        name = data.draw(st.sampled_from([each for each in headers if each != "webhook-timestamp"]))
        letters = list(headers[name])
        index = place % len(letters)
        letters[index] = chr(ord(letters[index]) ^ change)
        text = "".join(letters)
        if text.strip().lower() == headers[name].lower():
            return  # the case of a scheme or of hexadecimal digits, or white space
        forged = WebRequest("POST", "/", tuple({**headers, name: text}.items()), "", body)
    assert code(found(spec, forged, key=secret)) is not None


def test_a_header_that_comes_twice_does_not_verify():
    good = mac("s", "b").hex()
    pairs = (("x-hub-signature-256", "sha256=00"), ("X-Hub-Signature-256", f"sha256={good}"))
    asked = WebRequest("POST", "/", pairs, "", b"b")
    assert code(found(GITHUB, asked, key="s")) == "signature_invalid"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, "exactly one of hmac, standardWebhooks, bearer, none"),
        ({"none": {}, "bearer": SECRET}, "exactly one of"),
        ({"bearer": {"secret": "abc"}}, "{secretRef: NAME}"),
        ({"bearer": {"secret": {"secretRef": "A b"}}}, "not the name of a secret"),
        ({"hmac": {"header": "x y", **SECRET}}, "not the name of a header"),
        ({"hmac": {"header": "x", "signed": "{time}", **SECRET}}, "not known"),
        ({"hmac": {"header": "x", "signed": "{timestamp}", **SECRET}}, "{body} once"),
        ({"hmac": {"header": "x", "signed": "{timestamp}{body}", **SECRET}}, "timestampHeader"),
        ({"hmac": {"header": "x", "timestampHeader": "t", **SECRET}}, "should have {timestamp}"),
        ({"hmac": {"header": "x", "tolerance": "2d", **SECRET}}, "1s to 1d"),
        (
            {"hmac": {**STRIPE["hmac"], "timestampHeader": "t"}},
            "either timestampHeader or fields.timestamp",
        ),
    ],
)
def test_a_verification_that_cannot_work_is_refused(spec: Any, reason: str):
    with pytest.raises(ValidationError, match=r"(?s).*") as caught:
        verification(spec)
    assert reason in str(caught.value)


def test_headers_with_secrets_are_named():
    assert verification(GITHUB).headers == {"x-hub-signature-256"}
    assert verification({"bearer": {"header": "X-Key", **SECRET}}).headers == {"x-key"}
    assert verification(STANDARD).headers == {"webhook-signature"}
    assert verification({"none": {}}).headers == frozenset()
    assert verification(STRIPE).text == "hmac sha256 in stripe-signature, at most 5m old"
    assert timedelta(minutes=5) == verification(STRIPE).hmac.tolerance  # type: ignore[union-attr]
