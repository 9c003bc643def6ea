"""A purged text is replaced in texts, keys and numbers, in each form in which it is stored."""

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote_plus

from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.values.purging import forms_of, purge_json, purge_text

SECRET = 'p"ä/q\n1'


def test_a_text_is_replaced_everywhere_in_json():
    value = {"canary-1": ["xcanary-1x", {"a": "canary-1"}], "b": [None, True, 1.5]}
    assert purge_json(value, forms_of("canary-1")) == {
        "***": ["x***x", {"a": "***"}],
        "b": [None, True, 1.5],
    }


def test_a_number_that_contains_the_text_is_replaced():
    assert purge_json({"a": 91234567, "b": 12.5}, forms_of("123456")) == {"a": "***", "b": 12.5}


def test_the_text_is_found_in_json_inside_of_a_text_and_in_a_url():
    for stored in (SECRET, json.dumps([SECRET]), "https://a.example/?k=p%22%C3%A4%2Fq%0A1"):
        purged = purge_text(stored, forms_of(SECRET))
        assert "***" in purged
        assert "q" not in purged


@given(st.text(min_size=6), st.binary(), st.binary())
def test_the_text_is_found_in_every_form(secret: str, before: bytes, after: bytes):
    content = secret.encode("utf-8", "surrogatepass")
    whole = before + content + after
    for stored in (
        b64encode(whole).decode(),
        urlsafe_b64encode(whole).decode(),
        whole.hex(),
        json.dumps(json.dumps({"a": secret})),
        quote_plus(secret),
    ):
        assert "***" in purge_text(stored, forms_of(secret)), stored


def test_a_header_of_basic_is_purged_and_other_texts_are_not():
    basic = "Basic " + b64encode(b"me:canary-of-basic").decode()
    assert purge_text(basic, forms_of("canary-of-basic")).startswith("Basic bWU6***")
    assert purge_text("Basic bWU6b3RoZXItdGV4dA==", forms_of("canary-of-basic")).count("*") == 0
    assert purge_text("a%2fb%2Fc%20", forms_of("b/c d/")) == "a%2fb%2Fc%20"
