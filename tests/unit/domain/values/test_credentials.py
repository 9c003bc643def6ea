"""Credentials are known by the names of their fields, masked, and found in other texts."""

from activityctl.domain.values.credentials import (
    header_credentials,
    is_credential_header,
    mask_credentials,
    scrub_json,
)


def test_credential_headers_are_known_in_any_case():
    for name in ("Authorization", "COOKIE", "set-cookie", "X-Api-Key", "X-Amz-Security-Token"):
        assert is_credential_header(name), name
    for name in ("Accept", "Idempotency-Key", "ETag", "X-Request-Id", "X-RateLimit-Remaining"):
        assert not is_credential_header(name), name


def test_only_credentials_in_headers_query_and_env_are_masked():
    value = {
        "url": "https://a.example",
        "headers": {"Authorization": "Bearer a", "Accept": "text/plain", "Cookie": ""},
        "query": {"api_key": ["a", 1], "page": 1},
        "json": {"password": "a", "items": [{"headers": {"x-api-key": 7}}]},
    }
    assert mask_credentials(value) == {
        "url": "https://a.example",
        "headers": {"Authorization": "***", "Accept": "text/plain", "Cookie": ""},
        "query": {"api_key": ["***", "***"], "page": 1},
        "json": {"password": "a", "items": [{"headers": {"x-api-key": "***"}}]},
    }


def test_what_the_caller_keeps_is_not_masked():
    value = {"headers": {"Authorization": "Bearer ${ params.t }", "Cookie": "a=b"}}
    masked = mask_credentials(value, keeps=lambda text: "${" in text)
    assert masked == {"headers": {"Authorization": "Bearer ${ params.t }", "Cookie": "***"}}


def test_a_credential_is_found_without_its_scheme_too():
    secrets = header_credentials({"Authorization": "Bearer canary-1234", "Accept": "text/plain"})
    said = {"a": "you sent Bearer canary-1234", "canary-1234": ["xcanary-1234x", 1, None]}
    assert scrub_json(said, secrets) == {"a": "you sent ***", "***": ["x***x", 1, None]}


def test_short_credentials_are_not_looked_for():
    assert header_credentials({"X-Api-Key": "abc"}) == ()
