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


def test_credentials_in_headers_query_env_body_and_url_are_masked_and_nothing_else():
    value = {
        "url": "https://me:pw@a.example/x?sig=a%2Fb&page=1#f",
        "password": "of something else",
        "headers": {"Authorization": "Bearer a", "Accept": "text/plain", "Cookie": ""},
        "query": {"api_key": ["a", 1], "page": 1},
        "json": {"password": "a", "token": "USDC", "items": [{"headers": {"x-api-key": 7}}]},
    }
    assert mask_credentials(value) == {
        "url": "https://***@a.example/x?sig=***&page=1#f",
        "password": "of something else",
        "headers": {"Authorization": "***", "Accept": "text/plain", "Cookie": ""},
        "query": {"api_key": ["***", "***"], "page": 1},
        "json": {"password": "***", "token": "USDC", "items": [{"headers": {"x-api-key": "***"}}]},
    }


def test_a_credential_is_found_without_its_scheme_too():
    secrets = header_credentials({"Authorization": "Bearer canary-1234", "Accept": "text/plain"})
    said = {"a": "you sent Bearer canary-1234", "canary-1234": ["xcanary-1234x", 1, None]}
    assert scrub_json(said, secrets) == {"a": "you sent ***", "***": ["x***x", 1, None]}


def test_short_credentials_are_not_looked_for():
    assert header_credentials({"X-Api-Key": "abc"}) == ()
