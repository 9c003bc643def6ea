"""Tokens for some apply sets change and see only the objects of these."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from activityctl import wiring
from activityctl.settings import Settings
from support.api_server import Api, make_tokens

Tokens = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def tokens(api_settings: Settings) -> Tokens:
    async def make() -> Tokens:
        async with wiring.open_ports(api_settings) as ports:
            return await make_tokens(ports, pays="apply:set=pay-*", anyset="apply:set=*")

    return asyncio.run(make())


def definition(name: str, **spec: Any) -> dict[str, Any]:
    whole = {
        "params": {"type": "object", "properties": {"city": {"type": "string"}}},
        "triggers": [{"name": "nightly", "cron": {"schedule": "0 2 * * *"}}],
        "tasks": [{"name": "note", "command": {"argv": ["true"]}}],
        **spec,
    }
    return manifest("ActivityDefinition", name, whole)


def subscription(name: str, activity: str, **metadata: str) -> dict[str, Any]:
    made = manifest("Subscription", name, {"activity": activity, "params": {"city": "oslo"}})
    return {**made, "metadata": {**made["metadata"], **metadata}}


def manifest(kind: str, name: str, spec: Any) -> dict[str, Any]:
    metadata = {"name": name}
    return {"apiVersion": "activityctl/v1", "kind": kind, "metadata": metadata, "spec": spec}


class Applying:
    """Sends manifests with one token."""

    def __init__(self, api: Api, headers: dict[str, str] | None) -> None:
        self.api, self.headers = api, headers

    def __call__(self, *documents: Any, path: str = "apply", **params: Any) -> httpx.Response:
        files = [
            {"name": f"{number}.json", "content": json.dumps(document)}
            for number, document in enumerate(documents)
        ]
        url = f"/v1/manifests/{path}"
        body = {"files": files}
        return self.api.client.post(url, json=body, headers=self.headers, params=params)

    def asked(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.api.client.request(method, path, headers=self.headers, **more)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    if answer.status_code < 300:
        return answer.status_code, ""
    return answer.status_code, answer.json()["code"]


@pytest.fixture(scope="module")
def world(api: Api) -> None:
    """Store objects of three sets and of none."""
    everybody = Applying(api, None)
    shop = (definition("shop-def"), subscription("shop-sub", "shop-def"))
    for documents, params in (
        (shop, {"applyset": "shop"}),
        ((definition("pay-def"), subscription("pay-sub", "pay-def")), {"applyset": "pay-eu"}),
        ((definition("free-def"), subscription("free-sub", "free-def")), {}),
        ((subscription("shop-pays", "pay-def"),), {"applyset": "shop"}),
        ((subscription("pay-shops", "shop-def"),), {"applyset": "pay-us"}),
        ((subscription("once-shop", "shop-def"),), {"applyset": "once"}),
    ):
        assert everybody(*documents, **params).status_code == 200
    assert everybody.asked("DELETE", "/v1/subscriptions/once-shop").status_code == 200


@pytest.mark.usefixtures("world")
def test_a_token_changes_objects_of_its_sets_only(api: Api, tokens: Tokens):
    payer = Applying(api, tokens["pays"])
    mine = (definition("pay-def"), subscription("pay-sub", "pay-def"))
    assert code_of(payer(*mine, applyset="pay-eu")) == (200, "")
    made = payer(definition("pay-new"), applyset="pay-new")
    assert made.json()["summary"]["created"] == 1
    before = api.client.get("/v1/export").content
    refused = (
        (definition("pay-more"), {"applyset": "shop"}),
        (definition("pay-more"), {}),
        (definition("shop-def"), {"applyset": "pay-eu"}),
        (definition("shop-def"), {"applyset": "pay-eu", "takeOver": True}),
        (definition("free-def"), {"applyset": "pay-eu"}),
        (definition("free-def"), {"applyset": "pay-eu", "takeOver": True}),
        (subscription("pay-x", "pay-def", renamedFrom="shop-sub"), {"applyset": "pay-eu"}),
        (subscription("once-shop", "pay-def"), {"applyset": "pay-eu"}),
    )
    for document, params in refused:
        answer = payer(document, **params)
        assert code_of(answer) == (403, "not_allowed"), (document["metadata"], params)
        assert '"shop"' not in answer.text
        planned = payer(document, path="plan", **params)
        assert code_of(planned) == (403, "not_allowed")
    assert code_of(payer(applyset="shop", prune=True, allowEmpty=True)) == (403, "not_allowed")
    whole = Applying(api, tokens["anyset"])
    assert code_of(whole(definition("free-def"), applyset="mine")) == (403, "not_allowed")
    assert api.client.get("/v1/export").content == before
    moved = payer(definition("pay-new"), applyset="pay-eu")
    assert code_of(moved) == (409, "conflict"), "it may change both sets, but must say so"
    assert code_of(payer(definition("pay-new"), applyset="pay-eu", takeOver=True)) == (200, "")
    entry = api.client.get("/v1/audit?limit=1").json()["items"][0]
    assert (entry["actor"], entry["details"]["applyset"]) == ("token/pays", "pay-eu")


@pytest.mark.usefixtures("world")
def test_a_token_sees_objects_of_its_sets_only(api: Api, tokens: Tokens):
    payer = Applying(api, tokens["pays"])
    unknown = payer(subscription("pay-y", "free-def"), applyset="pay-eu")
    assert code_of(unknown) == (400, "invalid_manifest"), "it may not use what it may not see"
    absent = payer(subscription("pay-y", "no-such-def"), applyset="pay-eu")
    same = (unknown.json()["findings"][0]["message"]).replace("free-def", "no-such-def")
    assert absent.json()["findings"][0]["message"] == same
    used = payer(subscription("pay-shops", "shop-def"), applyset="pay-us")
    assert code_of(used) == (200, ""), "what it uses already, it may go on using"
    later = definition("pay-def", triggers=[{"name": "nightly", "cron": {"schedule": "1 2 * * *"}}])
    plan = payer(later, path="plan", applyset="pay-eu").json()
    assert {each["subscription"] for each in plan["schedules"]} == {"pay-sub"}
    whole = Applying(api, None)(later, path="plan", applyset="pay-eu").json()
    assert {each["subscription"] for each in whole["schedules"]} == {"pay-sub", "shop-pays"}
    narrow = definition("pay-def", params={"type": "object", "additionalProperties": False})
    alone = payer(
        narrow, manifest("Subscription", "pay-sub", {"activity": "pay-def"}), applyset="pay-eu"
    )
    assert code_of(alone) == (409, "conflict")
    assert "shop-pays" not in alone.text
    exported = payer.asked("GET", "/v1/export").json()["items"]
    assert {each["metadata"]["name"][:3] for each in exported} == {"pay"}
    for kind, name in (("subscriptions", "shop-sub"), ("definitions", "free-def")):
        for method, path in (("GET", "/history"), ("POST", "/rollback"), ("DELETE", "")):
            answer = payer.asked(method, f"/v1/{kind}/{name}{path}")
            assert code_of(answer) == (404, "not_found")
    used = payer.asked("DELETE", "/v1/definitions/pay-def")
    assert code_of(used) == (409, "conflict")
    assert "shop-pays" not in used.text
    assert code_of(payer.asked("GET", "/v1/subscriptions/pay-sub/history")) == (200, "")
    assert code_of(payer.asked("DELETE", "/v1/subscriptions/pay-sub")) == (200, "")
    back = payer.asked("POST", "/v1/subscriptions/pay-sub/rollback")
    assert (back.status_code, back.json()["applyset"]) == (200, "pay-eu")
