"""The two paths of the Builder Kit on a real socket: `POST /v1/config`, `GET /v1/{sub_id}/logs`."""

import asyncio
import json
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from keyring.backends import fail

from activityctl import wiring
from activityctl.domain.chain.config_signature import config_digest
from activityctl.domain.chain.hook_log import hook_entry
from activityctl.domain.chain.hook_outcome import SKIPPED
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.chain.signatures import address_of, sign_digest
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.settings import Settings
from support.api_server import Api, make_tokens

PRIVATE = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")
SIGNER = address_of(PRIVATE)
ACCOUNT = "0xb92929d03768a4f8d69552e15a8071eafee73df9"


def a_request(url: str, **changes: Any) -> dict[str, Any]:
    """Return a request that is signed for this URL."""
    digest = config_digest(url, verify_payload=True, action="CREATE")
    return {
        "registryID": "1fcc089a-9faf-40e9-9ec8-3e34d2f4614f",
        "source": {"type": "INTERVAL", "value": 30},
        "destination": {"baseURL": url},
        "verifyPayload": True,
        "relayerCount": 2,
        "signature": sign_digest(PRIVATE, digest),
        **changes,
    }


@pytest.fixture(autouse=True)
def _no_system_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyring.get_keyring", fail.Keyring)


@pytest.fixture(scope="module")
def tokens(api_settings: Settings) -> dict[str, dict[str, str]]:
    """Return headers with a token, by its name."""

    async def make() -> dict[str, dict[str, str]]:
        async with wiring.open_ports(api_settings) as ports:
            return await make_tokens(
                ports,
                kitreader="read",
                kit="apply:set=config-*",
                payer="apply:set=payments",
                operator="operate:subscription=mine",
            )

    return asyncio.run(make())


def register(api: Api, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    return api.client.post("/v1/config", json=body, headers=headers)


def test_an_executor_registers_itself_once(
    api: Api, api_settings: Settings, tokens: dict[str, dict[str, str]]
):
    asked = a_request("https://one.example")
    made = register(api, asked, tokens["kit"])
    assert made.status_code == 201
    answer = made.json()
    assert list(answer) == [
        "id",
        "registryID",
        "executorAddress",
        "verifyingAddress",
        "hmacKey",
        "relayerAddress",
    ]
    assert (answer["registryID"], answer["executorAddress"]) == (asked["registryID"], SIGNER)
    name = f"config-{answer['id']}"
    assert made.headers["location"] == f"/v1/definitions/{name}"
    assert made.headers["cache-control"] == "no-store"
    keys = wiring.open_keys(api_settings)
    assert asyncio.run(keys.read(name, KeyKind.HMAC)).current.secret == answer["hmacKey"]
    assert [keys.one(f"{name}-relayer-{n}").current.public for n in (1, 2)] == answer[
        "relayerAddress"
    ]
    shown = api.client.get(f"/v1/definitions/{name}")
    assert shown.status_code == 200
    again = register(api, {**asked, "source": {"type": "INTERVAL", "value": 5}})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert asyncio.run(keys.read(name, KeyKind.HMAC)).current.secret == answer["hmacKey"]
    entries = api.client.get("/v1/audit?limit=20").json()["items"]
    mine = [entry for entry in entries if entry["action"] == "register"]
    assert [(entry["outcome"], entry["details"]) for entry in mine] == [
        ("conflict", {"definition": name}),
        ("done", {"definition": name}),
    ]
    assert mine[1]["actor"] == "token/kit"
    assert answer["hmacKey"] not in json.dumps(entries) + shown.text


def test_many_at_once_register_one_executor(api: Api):
    asked, found = a_request("https://at-once.example"), []
    threads = [
        threading.Thread(target=lambda: found.append(register(api, asked).status_code))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [201, *[409] * 5]


def test_others_are_served_while_registrations_wait_for_an_apply(
    api: Api, api_settings: Settings, tokens: dict[str, dict[str, str]]
):
    found: list[int] = []
    threads = [
        threading.Thread(
            target=lambda url=f"https://waits-{number}.example": found.append(
                register(api, a_request(url)).status_code
            )
        )
        for number in range(12)  # more than the server has connections to Postgres
    ]

    async def apply_for_long() -> None:
        async with wiring.open_ports(api_settings) as ports, ports.catalog.changing():
            for thread in threads:
                thread.start()
            async with asyncio.timeout(60):
                while len(api.app.state.changes._waiters or ()) < len(threads) - 1:
                    await asyncio.sleep(0.02)
            answer = await asyncio.to_thread(
                api.client.get, "/v1/subscriptions", headers=tokens["kitreader"]
            )
            assert answer.status_code == 200
            assert found == [], "they wait for the apply"

    asyncio.run(apply_for_long())
    for thread in threads:
        thread.join(60)
    assert found == [201] * len(threads)


def test_what_is_wrong_or_not_allowed_registers_nothing(
    api: Api, api_settings: Settings, tokens: dict[str, dict[str, str]]
):
    url = "https://wrong.example"
    before = {key.name for key in wiring.open_keys(api_settings).known()}
    for body, reason in (
        (a_request(url, signature="0x"), "signature: the signature is empty"),
        (a_request(url, executorAddress=ACCOUNT), "is not of"),
        (a_request(url, surprise=1), "surprise"),
        (a_request(url, relayerCount=0), "relayerCount: "),
        (a_request("http://wrong.example"), "should be an https URL"),
        (a_request(url, source={"type": "FILTER", "value": {"chainId": 1}}), "names no logs"),
        ([], "not a JSON object"),
        ({}, "registryID: required field is missing"),
    ):
        answer = register(api, body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input"), body
        assert reason in answer.json()["detail"]
    good = a_request(url)
    for who in ("kitreader", "payer", "operator"):
        answer = register(api, good, tokens[who])
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), who
    assert register(api, good, {"Authorization": "Bearer no"}).status_code == 401
    folder = api_settings.home / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o755)  # the store refuses a folder that others may read
    try:
        told = register(api, good)
        hidden = register(api, good, tokens["kit"])
    finally:
        folder.chmod(0o700)
    assert (told.status_code, told.json()["code"]) == (503, "no_key_store")
    assert f"other users may open {folder}" in told.json()["detail"]
    assert hidden.status_code == 503
    assert str(folder) not in hidden.text, "only an admin is told about files of the server"
    assert {key.name for key in wiring.open_keys(api_settings).known()} == before
    assert register(api, good).status_code == 201, "nothing was left that is in the way"


async def _with_triggers(settings: Settings, definition: str) -> str:
    """Apply the subscriptions `mine` and `logs`, write three triggers; return the id of `mine`."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    wanted = {
        name: SubscriptionManifest.model_validate_json(
            json.dumps(
                {
                    "metadata": {"name": name},
                    "spec": {
                        "activity": definition,
                        "account": {"chainId": 8453, "subAccountAddress": ACCOUNT},
                    },
                }
            )
        )
        for name in ("mine", "logs")
    }
    async with wiring.open_ports(settings, pool_size=2) as ports:
        async with ports.catalog.changing():
            present = await ports.catalog.present()
            await ports.catalog.write(plan_changes(Wanted({}, wanted), present), now)
        owner = await ports.catalog.find_subscription("mine")
        entries = [
            hook_entry(
                subscription_id=owner.id,
                run_id="run",
                task="execute",
                request={
                    "requestID": f"r-{number}",
                    "params": {"subAccountAddress": ACCOUNT, "chainID": 8453},
                },
                response=json.dumps({"skip": True}),
                executed_response=json.dumps({"log": {"n": number}}),
                outcome=SKIPPED,
                at=now + timedelta(seconds=number),
            )
            for number in (1, 2, 3)
        ]
        await ports.logbook.append(entries)
    return owner.id


def test_the_triggers_of_a_subscription_are_told_by_its_id(
    api: Api, api_settings: Settings, tokens: dict[str, dict[str, str]]
):
    name = f"config-{register(api, a_request('https://logs.example')).json()['id']}"
    mine = asyncio.run(_with_triggers(api_settings, name))
    page = api.client.get(f"/v1/{mine}/logs?offset=1&limit=1", headers=tokens["kitreader"])
    assert page.status_code == 200
    (entry,) = page.json()["data"]
    assert entry.pop("id")
    assert entry == {
        "metadata": {
            "postExecutionState": {"n": 2},
            "request": {
                "requestID": "r-2",
                "params": {"subAccountAddress": ACCOUNT, "chainID": 8453},
            },
            "response": {"skip": True},
        },
        "message": "trigger",
        "createdAt": "2026-01-01T00:00:02.000Z",
        "subAccountAddress": ACCOUNT,
        "chainId": 8453,
        "subId": mine,
        "outputTxHash": "0x" + 64 * "0",
    }
    whole = api.client.get(f"/v1/{mine}/logs", headers=tokens["operator"])
    states = [each["metadata"]["postExecutionState"]["n"] for each in whole.json()["data"]]
    assert states == [3, 2, 1]
    assert api.client.get(f"/v1/{mine}/logs?offset=9").json() == {"data": []}
    for wrong in ("offset=-1", "limit=0", "limit=1001", "limit=x", f"offset={10**30}"):
        assert api.client.get(f"/v1/{mine}/logs?{wrong}").status_code == 400, wrong
    hidden = api.client.get(f"/v1/{mine}/logs", headers=tokens["payer"])
    missing = api.client.get(f"/v1/{uuid.uuid4()}/logs")
    assert (hidden.status_code, missing.status_code) == (404, 404)
    assert api.client.get(f"/v1/{mine}/logs", headers={"Authorization": ""}).status_code == 401
    assert api.client.post(f"/v1/{mine}/logs").status_code == 405
    # Other paths keep what is called logs.
    assert api.client.get("/v1/subscriptions/logs").json()["name"] == "logs"
    assert api.client.get("/v1/subscriptions/logs/logs").json()["kind"] == "List"
    assert api.client.get("/v1/runs/logs").status_code == 404
    assert api.client.get("/v1/config").status_code in {404, 405}
    assert "/v1/{sub_id}/logs" in api.client.get("/v1/openapi.json").json()["paths"]
