"""Methods of HTTP: HEAD beside GET, and what a 405 tells of a path."""

import json

import pytest

from support.api_server import Api


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/v1/subscriptions", "GET, HEAD"),
        ("PATCH", "/v1/tokens", "GET, POST, HEAD"),
        ("PUT", "/v1/subscriptions/x", "DELETE, GET, HEAD"),
        ("DELETE", "/v1/runs/x", "GET, HEAD"),
        ("DELETE", "/v1/subscriptions/x/trigger", "POST"),
    ],
)
def test_a_refused_method_is_told_all_that_the_path_has(
    api: Api, method: str, path: str, allowed: str
):
    refused = api.client.request(method, path)
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
    assert refused.headers["allow"] == allowed


def test_head_has_the_headers_of_a_get_and_no_body(api: Api):
    for path in ("/healthz", "/readyz", "/metrics", "/docs", "/v1/schema", "/v1/definitions/x"):
        shown, asked = api.client.get(path), api.client.head(path)
        assert asked.status_code == shown.status_code, path
        for header in ("content-type", "etag"):
            assert asked.headers.get(header) == shown.headers.get(header), path
        assert asked.content == b""
    as_yaml = {"Accept": "application/yaml"}
    export = api.client.head("/v1/export", headers=as_yaml).headers["content-type"]
    assert export == api.client.get("/v1/export", headers=as_yaml).headers["content-type"]
    assert export.startswith("application/yaml")
    assert api.client.get("/healthz").status_code == 200, "the connection still works"
    assert api.client.head("/v1/subscriptions/x/trigger").status_code == 405


def test_head_of_a_stream_ends(api: Api):
    manifest = {
        "apiVersion": "activityctl/v1",
        "kind": "ActivityDefinition",
        "metadata": {"name": "head"},
        "spec": {"tasks": [{"name": "note", "command": {"argv": ["true"]}}]},
    }
    used = {**manifest, "kind": "Subscription", "spec": {"activity": "head"}}
    files = [
        {"name": f"{i}.yaml", "content": json.dumps(o)} for i, o in enumerate((manifest, used))
    ]
    assert api.client.post("/v1/manifests/apply", json={"files": files}).status_code == 200
    stream = {"Accept": "text/event-stream"}
    assert api.client.head("/v1/subscriptions/head/logs", headers=stream).status_code == 200
    assert api.client.get("/healthz").status_code == 200, "the connection still works"
