"""Web hooks over a real socket: verified, mapped, stored; refusals are told and recorded."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.event_source import EventSource
from activityctl.domain.values.selection import Selection
from activityctl.settings import Settings
from support.api_server import Api

KEY = "k-17-of-the-hook"
SIGNED: Any = {
    "verify": {"hmac": {"header": "x-sig", "secret": {"secretRef": "hook"}}},
    "event": {"id": "${ request.body.id }", "type": "shop.paid"},
}
CHAT: Any = {
    "verify": {"none": {}},
    "challenges": [
        {
            "when": 'request.method == "GET" && "hub.challenge" in request.query',
            "answer": '${ request.query["hub.challenge"] }',
        },
        {"when": 'request.body.type == "ask"', "answer": {"challenge": "${ request.body.c }"}},
    ],
    "event": {"forEach": "${ request.body.events }"},
}


def run(call: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(call)


@pytest.fixture(scope="module", autouse=True)
def sources(api_settings: Settings) -> None:
    async def apply() -> None:
        found = {
            name: EventSource.model_validate_json(
                json.dumps({"metadata": {"name": name}, "spec": spec})
            )
            for name, spec in {"shop": SIGNED, "chat": CHAT}.items()
        }
        async with wiring.open_ports(api_settings) as ports, ports.catalog.changing():
            plan = plan_changes(Wanted(sources=found), await ports.catalog.present())
            await ports.catalog.write(plan, datetime.now(UTC))
        await wiring.open_secrets(api_settings).set("hook", KEY)

    run(apply())


def signed(body: Any, key: str = KEY) -> dict[str, Any]:
    content = json.dumps(body).encode()
    mac = hmac.new(key.encode(), content, hashlib.sha256).hexdigest()
    return {"content": content, "headers": {"Content-Type": "application/json", "X-Sig": mac}}


def refused(settings: Settings, name: str) -> list[Any]:
    async def read() -> list[Any]:
        async with wiring.open_ports(settings) as ports:
            return await ports.catalog.refused_requests(name, 20)

    found: list[Any] = run(read())
    return found


def test_a_hook_needs_no_token_and_is_answered_after_the_commit(api: Api, api_settings: Settings):
    body = json.dumps({"id": 1, "n": "é"}).encode()
    mac = hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
    head = f"POST /v1/sources/shop HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Sig: {mac}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n"
    raw = api.raw(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert raw.status == 200
    assert raw.json["items"][0]["outcome"] == "accepted"

    async def stored() -> Any:
        async with wiring.open_ports(api_settings) as ports:
            return (await ports.events.find_event(raw.json["items"][0]["uid"])).document

    document = run(stored())
    assert (document["type"], document["data"]) == ("shop.paid", {"id": 1, "n": "é"})
    again = api.client.post("/v1/sources/shop", **signed({"id": 1, "n": "é"}))
    assert again.json()["summary"]["duplicate"] == 1
    other = api.client.post("/v1/sources/shop", **signed({"id": 1}))
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


def test_refusals_are_problem_details_and_are_recorded(api: Api, api_settings: Settings):
    forged = api.client.post("/v1/sources/shop", **signed({"id": 2}, "other"))
    assert forged.status_code == 401
    assert forged.headers["content-type"] == "application/problem+json"
    assert forged.json()["code"] == "unauthorized"
    assert forged.json()["requestId"] == forged.headers["x-request-id"]
    unsigned = api.client.post("/v1/sources/shop", json={"id": 2})
    assert {**unsigned.json(), "requestId": ""} == {**forged.json(), "requestId": ""}
    unmapped = api.client.post("/v1/sources/shop", **signed({}))
    assert (unmapped.status_code, unmapped.json()["code"]) == (400, "mapping_failed")
    head = "POST /v1/sources/shop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1048577\r\n\r\n"
    large = api.raw(head.encode())
    assert (large.status, large.json["code"]) == (413, "body_too_large")
    method = api.client.get("/v1/sources/shop", headers={"Authorization": ""})
    assert (method.status_code, method.headers["allow"]) == (405, "POST")
    for name in ("HEAD", "OPTIONS"):
        other = api.client.request(name, "/v1/sources/shop", headers={"Authorization": ""})
        assert (other.status_code, other.headers["allow"]) == (405, "DELETE, GET, POST"), name
    assert api.client.head("/v1/sources/shop/history").status_code == 200
    for name in ("nobody", "No%20Name", "a%00b", "%2e%2e", "a/b"):
        assert api.client.post(f"/v1/sources/{name}", **signed({})).status_code == 404
    found = refused(api_settings, "shop")
    assert [each.code for each in found][:5] == [
        "method_not_allowed",
        "body_too_large",
        "mapping_failed",
        "signature_missing",
        "signature_invalid",
    ]
    assert found[0].sender == "127.0.0.1"
    assert KEY not in repr(found)


def test_challenges_are_answered_with_their_form(api: Api):
    asked = api.client.get(
        "/v1/sources/chat", params={"hub.challenge": "<b>7"}, headers={"Authorization": ""}
    )
    assert (asked.status_code, asked.text) == (200, "<b>7")
    assert asked.headers["content-type"] == "text/plain; charset=utf-8"
    assert asked.headers["x-content-type-options"] == "nosniff"
    posted = api.client.post("/v1/sources/chat", json={"type": "ask", "c": "x"})
    assert posted.json() == {"challenge": "x"}
    many = api.client.post("/v1/sources/chat", json={"events": [{"a": 1}, {"a": 2}]})
    assert [item["outcome"] for item in many.json()["items"]] == ["accepted", "accepted"]
    paths = api.client.get("/v1/openapi.json").json()["paths"]
    assert set(paths["/v1/sources/{name}"]) == {"post"}


def test_an_expression_that_is_too_much_work_keeps_nobody_waiting(api: Api, api_settings: Settings):
    spec = {
        "verify": {"none": {}},
        "event": {"type": "${ string(request.body.all(a, request.body.all(b, a + b > 0))) }"},
    }
    source = EventSource.model_validate_json(
        json.dumps({"metadata": {"name": "dear"}, "spec": spec})
    )

    async def apply() -> None:
        async with wiring.open_ports(api_settings) as ports, ports.catalog.changing():
            plan = plan_changes(Wanted(sources={"dear": source}), await ports.catalog.present())
            await ports.catalog.write(plan, datetime.now(UTC))

    run(apply())
    dear = api.client.post("/v1/sources/dear", json=list(range(1, 50_000)))
    assert dear.status_code == 400
    (found,) = refused(api_settings, "dear")
    assert found.code in {"expression_budget", "mapping_failed"}
    assert api.client.post("/v1/sources/shop", **signed({"id": 9})).status_code == 200


def test_counts_and_refusals_are_listed(api: Api, api_settings: Settings):
    api.client.post("/v1/sources/shop", **signed({"id": "counted"}))

    async def read() -> Any:
        async with wiring.open_ports(api_settings) as ports:
            return await ports.catalog.listed_sources(Selection(name="shop"))

    ((_, traffic),) = run(read())
    assert traffic.accepted >= 1
    assert traffic.last_accepted_at is not None


def test_a_token_of_the_api_shows_and_deletes_the_source_itself(api: Api):
    shown = api.client.get("/v1/sources/chat")
    assert (shown.status_code, shown.json()["kind"], shown.json()["name"]) == (
        200,
        "source",
        "chat",
    )
    assert api.client.get("/v1/sources/nobody").json()["code"] == "not_found"
    # Without a token of ours, and with somebody else's, the hook answers.
    for other in ("", "Basic x", "Bearer of-the-sender"):
        asked = api.client.get(
            "/v1/sources/chat?hub.challenge=c-1", headers={"Authorization": other}
        )
        assert asked.text == "c-1"
    wrong = api.client.get("/v1/sources/chat", headers={"Authorization": "Bearer actl_wrong"})
    assert wrong.status_code == 401
    deleted = api.client.delete("/v1/sources/chat?dryRun=true")
    assert deleted.json()["changes"] == [
        {"kind": "EventSource", "name": "chat", "action": "deleted"}
    ]
