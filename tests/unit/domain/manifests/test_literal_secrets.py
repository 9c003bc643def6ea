"""Literal secrets in a manifest are found where they stand; expressions and plain texts are not."""

import pytest

from activityctl.domain.bodies.secret_texts import mask_literals
from activityctl.domain.manifests.document import FieldChange, field_view, masked_field_views
from activityctl.domain.manifests.literal_secrets import ALLOWING_ANNOTATION, literal_secrets

HEX = "0123456789abcdef0123456789abcdef01234567"


def document(spec, **annotations):
    return {"metadata": {"name": "x", "annotations": annotations}, "spec": spec}


def http(**fields):
    return {"tasks": [{"name": "call", "http": {"url": "https://a.example", **fields}}]}


@pytest.mark.parametrize(
    "spec",
    [
        http(headers={"Authorization": "Bearer abc"}),
        http(headers={"proxy-authorization": "Basic YTpi"}),
        http(headers={"Cookie": "session=1"}),
        http(headers={"X-Api-Key": "1"}),
        http(headers={"DD-API-KEY": "1"}),
        http(headers={"X-Auth-Token": "1"}),
        http(headers={"Private-Token": "1"}),
        http(query={"api_key": "abc"}),
        http(query={"token": ["abc"]}),
        http(url="https://user:secret@a.example/"),
        http(url="https://user@a.example/"),
        http(url="https://a.example/?page=1&api_key=abc"),
        http(json={"client_secret": "abc"}),
        http(json={"items": [{"password": 12345678}]}),
        {"tasks": [{"name": "c", "command": {"env": {"DB_PASSWORD": 12345678}}}]},
        {"params": {"properties": {"password": {"type": "string", "default": "abc"}}}},
        {"tasks": [{"name": "c", "command": {"env": {"DB_PASSWORD": "abc"}}}]},
        {"activity": "x", "params": {"password": "abc"}},
        {"params": {"text": "-----BEGIN RSA PRIVATE KEY-----\nabc"}},
        {"params": {"text": "-----BEGIN PRIVATE KEY-----\nabc"}},
        {"params": {"text": f"ghp_{HEX}"}},
        {"params": {"text": "AKIAIOSFODNN7EXAMPLE"}},
        {"params": {"text": f"sk_live_{HEX}"}},
        {"params": {"text": f"sk-proj-{HEX}"}},
        {"params": {"text": "xoxb-123456789012-abc"}},
        {"params": {"text": f"${{ 'ghp_{HEX}' }}"}},
        {"params": {"text": "postgres://app:hunter2@db.example/x"}},
        {"tasks": [{"name": "c", "command": {"shell": "curl -H 'Authorization: Bearer abcdef'"}}]},
    ],
)
def test_a_literal_secret_is_found(spec):
    (finding,) = literal_secrets(document(spec))
    assert "activityctl secrets set NAME" in finding.reason
    assert HEX not in finding.reason


@pytest.mark.parametrize(
    "spec",
    [
        http(headers={"Authorization": "Bearer ${ context.token }"}),
        http(headers={"Accept": "application/json", "Idempotency-Key": "abc"}),
        http(headers={"X-Request-Id": "1", "X-Page-Token": "2"}),
        http(query={"page": 1, "pageToken": "abc"}),
        http(json={"token": "USDC"}),
        http(url="https://a.example/a@b?c=d:e@f"),
        http(url="https://a.example/?api_key=${ params.key }&sig="),
        {"params": {"properties": {"password": {"minLength": 8}}}},
        {"params": {"type": "object", "properties": {"password": {"type": "string"}}}},
        {"params": {"type": "object", "required": ["password"]}},
        {"tasks": [{"name": "c", "command": {"shell": 'curl -H "Authorization: Bearer $TOKEN"'}}]},
        {"tasks": [{"name": "c", "command": {"shell": "psql postgres://app:$PW@db/x"}}]},
        {"tasks": [{"name": "c", "command": {"env": {"TOKEN_FILE": "/etc/token"}}}]},
        {"description": "a task-list of sk-ill and risk-assessment-of-something-very-long"},
        {"params": {"text": "git+ssh://git@example.org/x"}},
    ],
)
def test_what_is_no_literal_secret_is_let_through(spec):
    assert literal_secrets(document(spec)) == []


def test_the_offset_points_at_the_secret_in_its_text():
    (finding,) = literal_secrets(document({"params": {"text": f"use ghp_{HEX}"}}))
    assert (finding.path, finding.offset) == (("spec", "params", "text"), 4)


def test_labels_and_annotations_are_searched():
    (finding,) = literal_secrets(document({}, note=f"ghp_{HEX}"))
    assert finding.path == ("metadata", "annotations", "note")


def test_an_annotation_allows_literals():
    spec = http(headers={"Authorization": "Bearer abc"})
    assert literal_secrets(document(spec, **{ALLOWING_ANNOTATION: "allow"})) == []


def test_the_mask_of_an_export_is_never_applied():
    for spec in (http(headers={"Authorization": "***"}), http(url="***"), {"params": {"a": "***"}}):
        for annotations in ({}, {ALLOWING_ANNOTATION: "allow"}):
            (finding,) = literal_secrets(document(spec, **annotations))
            assert "not shown" in finding.reason


def test_what_validate_refuses_is_masked_where_it_is_shown_and_nothing_else():
    spec = {
        "params": {"properties": {"password": {"type": "string", "default": "canary-1"}}},
        "tasks": [
            {
                "name": "call",
                "http": {
                    "url": "https://a:canary-2@a.example/?x=1",
                    "headers": {"Authorization": "Bearer ${ params.t }", "X-Api-Key": "canary-3"},
                    "json": {"client_secret": "canary-4", "pin": {"password": 1234567}},
                },
            },
            {"name": "other", "http": {"url": "https://a.example/?sig=canary-5&page=2"}},
            {"name": "c", "command": {"argv": ["x", f"ghp_{HEX}"], "env": {"A_TOKEN": "canary"}}},
        ],
    }
    masked = mask_literals(spec)
    assert "canary" not in str(masked)
    assert HEX not in str(masked)
    assert "1234567" not in str(masked)
    assert masked["tasks"][0]["http"]["headers"]["Authorization"] == "Bearer ${ params.t }"
    assert {finding.reason[:3] for finding in literal_secrets(document(masked))} == {"***"}
    assert len(literal_secrets(document(masked))) == len(literal_secrets(document(spec)))


def test_a_change_of_a_secret_is_shown_without_it():
    change = FieldChange("spec.tasks[call].http.json.client_secret", "canary-1", "canary-2")
    assert field_view(change) == {"path": change.path, "old": "***", "new": "***"}
    change = FieldChange("spec.tasks[call].http.url", "https://a:b@c.example", "https://c.example")
    assert field_view(change)["old"] == "***"
    assert field_view(change)["new"] == "https://c.example"
    (view,) = masked_field_views([{"path": 'spec.tasks[a].http.query["api_key"]', "old": "canary"}])
    assert view["old"] == "***"
