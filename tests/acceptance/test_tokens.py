"""Tokens by the command line, used at the API of the real daemon."""

import json
from typing import Any

import httpx


def test_a_token_does_what_its_scopes_say_until_it_is_revoked(shell: Any):
    components = {part["name"]: part for part in shell.json("status")["components"]}
    url = f"{components['api']['address']}/v1/events"
    made = shell(
        "tokens", "create", "door-shop", "--scope", "emit:type=door.*,source=/door", "--ttl", "1h"
    )
    text = made.stdout.strip()
    assert text.startswith("actl_")
    assert text not in made.stderr
    shell("tokens", "create", "door-shop", "--scope", "read", code=5)
    shell("tokens", "create", "door-other", "--scope", "write", code=2)
    shell("tokens", "create", "Door", "--scope", "read", code=2)
    reader = shell.json("tokens", "create", "door-reader", "--scope", "read")["token"]

    def post(token: str, kind: str, body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        return httpx.post(url, content=json.dumps(body), headers=headers, timeout=60)

    event = {"specversion": "1.0", "id": "tokens-1", "source": "/door", "type": "door.opened"}
    foreign = {**event, "type": "order.paid"}
    one, batch = "application/cloudevents+json", "application/cloudevents-batch+json"
    assert post(text, one, event).json()["summary"]["accepted"] == 1
    refused = post(text, one, foreign)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    mixed = post(text, batch, [{**event, "id": "tokens-2"}, foreign])
    assert mixed.status_code == 207
    assert [item["outcome"] for item in mixed.json()["items"]] == ["accepted", "invalid"]
    assert post(reader, one, event).status_code == 403
    local = (shell.home / "api-token").read_text().strip()
    assert post(local, one, event).json()["summary"]["duplicate"] == 1

    listed = {item["name"]: item for item in shell.json("tokens", "list")["items"]}
    assert listed["door-shop"]["scopes"] == ["emit:type=door.*,source=/door"]
    assert listed["door-shop"]["status"] == "active"
    assert listed["door-shop"]["lastUsedFrom"] == "127.0.0.1"
    shown = shell("tokens", "list").stdout
    assert "door-shop" in shown
    assert shown.splitlines()[0].split() == ["NAME", "STATUS", "EXPIRES", "LAST", "USE", "SCOPES"]
    secret = text.removeprefix(f"actl_{listed['door-shop']['id']}_")  # it may have "_" in it
    assert len(secret) > 40
    assert secret not in shown + json.dumps(listed)

    assert shell("tokens", "revoke", "door-shop").stdout == "token/door-shop revoked\n"
    assert post(text, one, event).status_code == 401
    shell("tokens", "revoke", "door-nobody", code=4)

    audit = shell.json("get", "audit", "token/door-shop")["items"]
    assert [(item["action"], item["outcome"]) for item in audit] == [
        ("emit", "done"),
        ("emit", "not_allowed"),
        ("emit", "done"),
    ]
    assert audit[0]["details"] == {"accepted": 1, "duplicate": 0, "conflict": 0, "invalid": 1}
    assert audit[1]["requestId"] == refused.headers["x-request-id"]
    items = shell.json("get", "audit", "--limit", "0")["items"]
    changes = [
        (item["action"], item["outcome"]) for item in items if item["target"] == "token/door-shop"
    ]
    assert changes == [
        ("tokens revoke", "done"),
        ("tokens create", "conflict"),
        ("tokens create", "done"),
    ]
    assert secret not in json.dumps(audit)
    shell("get", "audit", "--status", "done", code=2)
