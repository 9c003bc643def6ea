"""Manifests by HTTP: history, rollback, repeats, export, and a plan against stored events."""

import asyncio

import pytest

from activityctl import wiring
from activityctl.settings import Settings
from support.api_server import Api, make_tokens
from support.sent_manifests import pair, post, problem_of

Tokens = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def tokens(api_settings: Settings) -> Tokens:
    """Return headers with a token, by its name."""

    async def make() -> Tokens:
        async with wiring.open_ports(api_settings) as ports:
            return await make_tokens(
                ports,
                hreader="read",
                happlier="apply",
                hemitter="emit",
                hoperator="operate:subscription=mine",
            )

    return asyncio.run(make())


def test_the_history_shows_what_a_rollback_restores(api: Api, tokens: Tokens):
    for city in ("oslo", "rome", "lima"):
        assert post(api, "apply", pair("past", city), tokens["happlier"]).status_code == 200
    path = "/v1/subscriptions/past"
    shown = api.client.get(f"{path}/history", headers=tokens["hreader"]).json()
    assert [(each["number"], each["action"], each["actor"]) for each in shown["items"]] == [
        (3, "configured", "token/happlier"),
        (2, "configured", "token/happlier"),
        (1, "created", "token/happlier"),
    ]
    cut = api.client.get(f"{path}/history", params={"limit": 1}).json()
    assert (len(cut["items"]), cut["metadata"]["hasMore"]) == (1, True)
    tag = api.client.get(path).headers["etag"]
    back = api.client.post(f"{path}/rollback", json={"to": 1}, headers={"If-Match": tag})
    assert back.status_code == 200, back.text
    assert (back.json()["kind"], back.json()["summary"]["configured"]) == ("ApplyResult", 1)
    late = api.client.post(f"{path}/rollback", json={"to": 2}, headers={"If-Match": tag})
    assert problem_of(late) == (412, "precondition_failed")
    first = api.client.get(f"{path}/history").json()["items"][0]
    assert (first["command"], first["actor"], first["rolledBackTo"]) == ("rollback", "local", 1)
    assert api.client.get(path).json()["params"] == {"city": "oslo"}
    for to, expected in ((9, (404, "not_found")), ("x", (400, "invalid_input")), (0, None)):
        refused = api.client.post(f"{path}/rollback", json={"to": to})
        assert problem_of(refused) == (expected or (400, "invalid_input"))
    api.client.delete(path)
    assert api.client.post(f"{path}/rollback").json()["summary"]["created"] == 1
    refused = api.client.post(f"{path}/rollback", headers=tokens["hreader"])
    assert problem_of(refused) == (403, "not_allowed")
    for name in ("hemitter", "hoperator"):
        hidden = api.client.get(f"{path}/history", headers=tokens[name])
        assert problem_of(hidden) == (404, "not_found")
    assert problem_of(api.client.get("/v1/sources/none/history")) == (404, "not_found")


def test_a_repeat_with_the_same_key_changes_nothing_more(api: Api, tokens: Tokens):
    keyed = {"Idempotency-Key": "deploy-1", **tokens["happlier"]}
    body, params = pair("once"), {"applyset": "once-set"}
    first = post(api, "apply", body, keyed, **params)
    assert first.json()["summary"]["created"] == 2
    assert "idempotency-replayed" not in first.headers
    post(api, "apply", pair("once", "rome"), **params)
    again = post(api, "apply", body, keyed, **params, wait=1)
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    path = "/v1/subscriptions/once"
    assert api.client.get(path).json()["params"] == {"city": "rome"}
    entry = api.client.get("/v1/audit?limit=1").json()["items"][0]
    assert entry["details"] == {"applyset": "once-set", "repeat": True}
    for other, more in ((pair("once", "lima"), params), (body, {})):
        assert problem_of(post(api, "apply", other, keyed, **more)) == (409, "conflict")
    others = {"Idempotency-Key": "deploy-1"}
    assert "idempotency-replayed" not in post(api, "apply", body, others, **params).headers
    back = [
        api.client.post(f"{path}/rollback", headers={"Idempotency-Key": "back-1"}) for _ in range(2)
    ]
    assert [each.json()["summary"]["configured"] for each in back] == [1, 1]
    assert api.client.get(path).json()["params"] == {"city": "rome"}, "rolled back once"
    gone = [
        api.client.delete(path, headers={"Idempotency-Key": "gone-1"}, params={"wait": number})
        for number in range(2)
    ]
    assert gone[0].json() == gone[1].json()
    assert gone[1].json()["schedules"]["deleted"]
    for key in ("", "a" * 256, "\u00e9".encode("latin-1")):
        refused = post(api, "apply", body, {"Idempotency-Key": key})
        assert problem_of(refused) == (400, "usage")


def test_stored_objects_are_exported_as_manifests(api: Api, tokens: Tokens):
    post(api, "apply", pair("exported"))
    shown = api.client.get("/v1/export", params={"name": "exported"}, headers=tokens["hreader"])
    assert [each["kind"] for each in shown.json()["items"]] == [
        "ActivityDefinition",
        "Subscription",
    ]
    wants_yaml = {"Accept": "application/yaml"}
    one = {"kind": "subscriptions", "name": "exported"}
    text = api.client.get("/v1/export", params=one, headers=wants_yaml)
    assert text.headers["content-type"].startswith("application/yaml")
    again = api.client.post(
        "/v1/manifests/apply", content=text.content, headers={"Content-Type": "application/yaml"}
    )
    assert again.json()["summary"] == {"created": 0, "configured": 0, "unchanged": 1, "deleted": 0}
    for params in ({"name": "nothing"}, {"kind": "runs"}, {"label": "x"}):
        refused = api.client.get("/v1/export", params=params)
        assert refused.status_code in {400, 404}, params
    refused = api.client.get("/v1/export", headers=tokens["hemitter"])
    assert problem_of(refused) == (403, "not_allowed")
    schema = api.client.get("/v1/schema", headers=tokens["hemitter"])
    assert schema.json()["$schema"].endswith("2020-12/schema")
    assert len(api.client.get("/v1/schema?kind=calendar").content) < len(schema.content)
    assert "specversion" in api.client.get("/v1/schema?kind=event").text
    assert problem_of(api.client.get("/v1/schema?kind=house")) == (404, "not_found")


def test_a_plan_is_compared_with_stored_events(api: Api, tokens: Tokens):
    event = {"specversion": "1.0", "id": "c1", "source": "/cmp", "type": "compared.now"}
    api.client.post("/v1/events", json=event)
    cron = '    - name: nightly\n      cron: {schedule: "0 2 * * *"}'
    body = pair("compared")
    text = body["files"][0]["content"]
    assert cron in text
    on_event = "    - name: nightly\n      event: {type: compared.now}"
    body["files"][0]["content"] = text.replace(cron, on_event)
    found = post(api, "plan", body, tokens["hreader"], since="1h").json()["againstEvents"]
    assert [each["after"] for each in found["triggers"]] == [1]
    refused = post(api, "plan", body, tokens["happlier"], since="1h")
    assert problem_of(refused) == (403, "not_allowed")
    assert problem_of(post(api, "plan", body, until="1h")) == (400, "usage")
