"""Tokens by HTTP: only an administrator sees and changes them; the text is shown once."""

import asyncio
from typing import Any

import pytest

from activityctl import wiring
from activityctl.settings import Settings
from support.api_server import Api, make_tokens


@pytest.fixture(scope="module")
def tokens(api_settings: Settings) -> dict[str, dict[str, str]]:
    async def prepare() -> dict[str, dict[str, str]]:
        async with wiring.open_ports(api_settings) as ports:
            return await make_tokens(ports, boss="admin", seer="read", doer="operate")

    return asyncio.run(prepare())


def test_tokens_are_made_listed_and_revoked(api: Api, tokens: dict[str, dict[str, str]]):
    body: dict[str, Any] = {"name": "shop-1", "scopes": ["emit:source=/shop"], "ttl": "90d"}
    for name in ("seer", "doer"):
        for method, path in (("GET", ""), ("POST", ""), ("POST", "/boss/revoke")):
            json = body if method == "POST" and not path else None
            refused = api.client.request(
                method, f"/v1/tokens{path}", json=json, headers=tokens[name]
            )
            assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    for wrong in ({"name": "a/b"}, {"scopes": ["no"]}, {"scopes": []}, {"ttl": "5"}, {"more": 1}):
        assert api.client.post("/v1/tokens", json={**body, **wrong}).status_code == 400, wrong
    made = api.client.post("/v1/tokens", json=body, headers=tokens["boss"])
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    text = made.json()["token"]
    assert (made.json()["createdBy"], made.json()["status"]) == ("token/boss", "active")
    again = api.client.post("/v1/tokens", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    event = {"id": "1", "source": "/shop", "type": "t", "specversion": "1.0"}
    headers = {"Authorization": f"Bearer {text}"}
    structured = {**headers, "Content-Type": "application/cloudevents+json"}
    assert api.client.post("/v1/events", json=event, headers=structured).status_code == 200
    listed: list[Any] = []
    cursor: str | None = None
    while True:
        page = api.client.get(
            "/v1/tokens", params={"limit": 2} | ({"cursor": cursor} if cursor else {})
        )
        listed += page.json()["items"]
        cursor = page.json()["metadata"].get("next")
        if cursor is None:
            break
    names = [token["name"] for token in listed]
    assert names == sorted(set(names))
    assert {"boss", "seer", "doer", "shop-1"} <= set(names)
    assert text not in str(listed)
    assert "digest" not in str(listed)
    for _ in range(2):
        gone = api.client.post("/v1/tokens/shop-1/revoke")
        assert (gone.status_code, gone.json()["status"]) == (200, "revoked")
    assert api.client.post("/v1/events", json=event, headers=structured).status_code == 401
    assert api.client.post("/v1/tokens/nobody/revoke").status_code == 404
    long = api.client.post(f"/v1/tokens/{'x' * 5_000}/revoke", headers=tokens["seer"])
    assert long.status_code == 403
    entries = api.client.get("/v1/audit?limit=100").json()["items"]
    assert max(len(entry["target"] or "") for entry in entries) == 200
    mine = [entry for entry in entries if entry["action"].startswith("tokens ")]
    assert {"done", "not_allowed"} <= {entry["outcome"] for entry in mine}
    assert all(
        entry["address"] == "127.0.0.1" and entry["requestId"]
        for entry in mine
        if entry["actor"] != "me"
    )
    assert text not in str(entries)
