"""A secret is masked in every form in which it may come back, and at the place of a cut."""

import html
import json
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.values.masking import Mask

SECRET = "s3cr&t/\"ä'\\v+alue"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEF\n-----END PRIVATE KEY-----"
FORMS = {
    "as it is": SECRET,
    "json": json.dumps(SECRET),
    "json in json": json.dumps(json.dumps({"a": SECRET}, ensure_ascii=False)),
    "url": quote(SECRET),
    "form": quote_plus(SECRET),
    "base64": b64encode(b"me:" + SECRET.encode()).decode(),
    "hexadecimal": SECRET.encode().hex(),
    "html": f"<p>{html.escape(SECRET)}</p>",
    "repr": f"Illegal {SECRET!r}",
    "repr of bytes": f"Illegal {SECRET.encode()!r}",
    "wrong charset": SECRET.encode().decode("latin-1"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_masked_in_each_form(form: str):
    masked = Mask([SECRET]).text(f"before {FORMS[form]} after")
    assert "***" in masked
    assert "value" not in masked
    assert (masked.startswith("before "), masked.endswith(" after")) == (True, True)


@given(st.text(min_size=4), st.text(), st.integers(0, 3))
def test_json_is_masked_as_its_texts_are(secret: str, before: str, depth: int):
    mask, text = Mask([secret]), f"{before}{secret}!"
    for _ in range(depth):
        text = json.dumps(text)
    assert mask.json({"a": [text], text: 1}) == {"a": [mask.text(text)], mask.text(text): 1}


def test_a_secret_is_masked_in_texts_keys_and_numbers_of_json():
    value = {"a": ["x-12345-y", {"12345": 1}], "n": 123456, "b": True, "z": None}
    assert Mask(["12345"]).json(value) == {
        "a": ["x-***-y", {"***": 1}],
        "n": "***",
        "b": True,
        "z": None,
    }


@pytest.mark.parametrize(
    ("secret", "part"),
    [
        ("Bearer abcdefgh12345678", "abcdefgh12345678"),
        ("Basic " + b64encode(b"me:the-password").decode(), "the-password"),
        ("postgresql://me:p%40ss-word@db.example/orders", "p@ss-word"),
        ("postgresql://me:p%40ss-word@db.example/orders", "p%40ss-word"),
        (PEM, "MIIEvQIBADANBgkq"),
        (json.dumps({"type": "account", "private_key": "a-key-of-it"}), "a-key-of-it"),
    ],
)
def test_a_part_that_is_secret_alone_is_masked_too(secret: str, part: str):
    assert part not in Mask([secret]).text(f"it said {part}!")


def test_what_is_not_secret_in_a_secret_is_shown():
    mask = Mask(["postgresql://me:password-1@db.example/orders", '{"type": "service_account"}'])
    assert mask.text("cannot reach db.example as me: service_account") == (
        "cannot reach db.example as me: service_account"
    )


@pytest.mark.parametrize("kept", range(4, len("the-whole-secret")))
def test_half_a_secret_at_a_cut_is_masked(kept: int):
    mask = Mask(["the-whole-secret"])
    assert mask.beginning("start " + "the-whole-secret"[:kept]) == "start ***"
    assert mask.end("the-whole-secret"[-kept:] + " end") == "*** end"
    assert mask.beginning("the end") == "the end"


def test_a_mask_without_secrets_changes_nothing():
    mask = Mask()
    assert not mask
    assert mask.text("text") == mask.beginning("text") == mask.end("text") == "text"
    assert mask.json({"a": [1]}) == {"a": [1]}
