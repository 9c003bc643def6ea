"""Explaining events and requests, comparing manifests and routing events again by HTTP."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from activityctl import wiring
from activityctl.api.routes import event_replays
from activityctl.settings import Settings
from support.api_server import Api, make_tokens

MANIFESTS = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: told}
spec:
  params: {type: object, properties: {least: {type: integer, default: 5}}}
  triggers:
    - {name: rung, event: {type: told.rung, filter: event.data.n > params.least}}
    - {name: daily, cron: {schedule: "0 3 * * *"}}
  tasks: [{name: note, command: {argv: ["true"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: told, labels: {team: told}}
spec: {activity: told}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: told-more}
spec: {activity: told, triggers: {rung: null}}
---
apiVersion: activityctl/v1
kind: EventSource
metadata: {name: told}
spec:
  verify: {none: {}}
  event: {id: "${ request.body.id }", type: told.rung, source: /told, data: "${ request.body }"}
"""
YAML = {"Content-Type": "application/yaml"}
LINES = {"Content-Type": "application/x-ndjson"}
Headers = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def tokens(api_settings: Settings) -> Headers:
    async def prepare() -> Headers:
        async with wiring.open_ports(api_settings) as ports:
            return await make_tokens(
                ports,
                toldreader="read",
                tolddoer="operate:subscription=told",
                toldother="operate:subscription=other",
                toldsender="emit",
            )

    return asyncio.run(prepare())


@pytest.fixture(scope="module", autouse=True)
def _applied(api: Api) -> None:
    for version in (MANIFESTS, MANIFESTS.replace("default: 5", "default: 6")):
        differs = api.client.post("/v1/manifests/diff", content=version, headers=YAML)
        assert differs.json()["items"], "it is not applied yet"
        made = api.client.post("/v1/manifests/apply?wait=0", content=version, headers=YAML)
        assert made.status_code == 200, made.text
    same = api.client.post("/v1/manifests/diff", content=version, headers=YAML)
    assert same.json()["items"] == []


def lines(*numbers: int) -> str:
    return "\n".join(
        json.dumps(
            {
                "specversion": "1.0",
                "id": f"told-{number}",
                "source": "/told",
                "type": "told.rung",
                "time": "2026-11-01T00:00:00Z",
                "data": {"n": number},
            }
        )
        for number in numbers
    )


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_events_are_explained_and_nothing_is_stored(api: Api, tokens: Headers):
    reader = tokens["toldreader"]

    def ask(path: str, headers: dict[str, str] = reader, *numbers: int) -> httpx.Response:
        return api.client.post(path, content=lines(*(numbers or (3, 9))), headers=headers | LINES)

    judged = ask("/v1/events?dryRun=true").json()["items"]
    assert [len(item["wakes"]) for item in judged] == [0, 1]
    (slept,) = [item for item in judged[0]["sleeps"] if item["subscription"] == "told"]
    assert "event.data.n" in slept["reason"]
    assert "sleeps" not in ask("/v1/events?dryRun=true&sleeps=false").json()["items"][0]
    told = ask("/v1/events/explain?subscription=told").json()["items"]
    assert [item["triggers"][0]["outcome"] for item in told] == ["no_match", "matches"]
    mine = ask("/v1/events/explain?subscription=told", tokens["tolddoer"])
    assert mine.status_code == 200
    for name, path, status in (
        ("tolddoer", "/v1/events/explain", 403),
        ("tolddoer", "/v1/events?dryRun=true", 403),
        ("toldsender", "/v1/events?dryRun=true", 403),
        ("toldother", "/v1/events/explain?subscription=told", 404),
    ):
        assert ask(path, tokens[name]).status_code == status, (name, path)
    assert code_of(ask("/v1/events/explain", reader, *range(101))) == (400, "invalid_input")
    wrong = api.client.post("/v1/events/explain", content="{}", headers=reader | LINES)
    assert code_of(wrong) == (400, "invalid_event")
    assert api.client.get("/v1/events?type=told.rung").json()["items"] == []
    head = b"POST /v1/sources/told HTTP/1.1\r\nContent-Type: application/json\r\n\r\n"
    saved = head + b'{"id": "7", "n": 7}'
    found = api.client.post("/v1/sources/told/explain", content=saved, headers=reader).json()
    assert (found["kind"], found["outcome"], len(found["events"])) == (
        "RequestExplanation",
        "events",
        1,
    )
    assert (
        api.client.post("/v1/sources/told/explain", content=b"no", headers=reader).status_code
        == 400
    )
    assert (
        api.client.post("/v1/sources/no/explain", content=saved, headers=reader).status_code == 404
    )
    hidden = api.client.post("/v1/sources/told/explain", content=saved, headers=tokens["tolddoer"])
    assert hidden.status_code == 403


def test_archived_events_are_routed_again_once_under_one_name(api: Api, tokens: Headers):
    stored = api.client.post("/v1/events", content=lines(1, 8), headers=LINES)
    assert stored.status_code == 200
    uid = stored.json()["items"][1]["uid"]
    one = api.client.get(f"/v1/events/{uid[:12]}/explanation", headers=tokens["toldreader"])
    assert one.json()["uid"] == uid
    gone = api.client.get(f"/v1/events/{uid}/explanation", headers=tokens["tolddoer"])
    assert gone.status_code == 404
    body: dict[str, Any] = {"id": "again", "since": "1h", "types": ["told.rung"]}
    path, doer = "/v1/events/replay", tokens["tolddoer"]
    named = {**body, "subscription": "told"}
    dry = api.client.post(f"{path}?dryRun=true", json=named, headers=doer).json()
    (trigger,) = dry["triggers"]
    assert (dry["events"], trigger["new"]) == (2, 1)
    for expected in (1, 0):
        done = api.client.post(path, json=named, headers=doer).json()
        assert (done["recorded"], done["isComplete"]) == (expected, True)
    for wrong, status in (
        (body, 400),
        ({**body, "allSubscriptions": True}, 403),
        ({**named, "allSubscriptions": True}, 400),
        ({**named, "trigger": "daily"}, 404),
        ({**named, "since": "+1h"}, 400),
        ({"since": "1h", "subscription": "told"}, 400),
    ):
        assert api.client.post(path, json=wrong, headers=doer).status_code == status, wrong
    other = api.client.post(path, json=named, headers=tokens["toldother"])
    assert other.status_code == 404
    reads = api.client.post(path, json=named, headers=tokens["toldreader"])
    assert reads.status_code == 403
    whole = api.client.post(f"{path}?dryRun=true", json={**body, "allSubscriptions": True})
    assert whole.status_code == 200
    entry = api.client.get("/v1/audit?limit=20").json()["items"]
    mine = [each for each in entry if each["action"] == "replay events"]
    assert {each["outcome"] for each in mine} >= {"done", "not_allowed", "usage"}


def test_who_replays_too_many_events_is_told_where_to_cut(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(event_replays, "_MOST", 1)
    for number in (7, 8):
        event = lines(number).replace("told.rung", "told.cut").replace("told-", "cut-")
        assert api.client.post("/v1/events", content=event, headers=LINES).status_code == 200
    body = {"id": "cut", "since": "1h", "types": ["told.cut"], "subscription": "told"}
    path = "/v1/events/replay?dryRun=true"
    refused = api.client.post(path, json=body)
    assert code_of(refused) == (409, "refused")
    assert refused.json()["detail"].startswith("2 events are too many for one replay by HTTP")
    found = re.search("until (.*) first, then since", refused.json()["hint"])
    assert found is not None
    for part in ({"until": found[1]}, {"since": found[1]}):
        done = api.client.post(path, json={**body, **part})
        assert (done.status_code, done.json()["events"]) == (200, 1), done.text


def test_the_progress_of_a_backfill_is_that_of_its_firings(api: Api, tokens: Headers):
    path = "/v1/subscriptions/told/backfill"
    span = {"since": "2026-11-20T00:00:00Z", "until": "2026-11-22T12:00:00Z"}
    seen = api.client.post(f"{path}?dryRun=true", json=span, headers=tokens["tolddoer"]).json()
    assert (len(seen["firings"]), seen["timezone"]) == (3, "UTC")
    started = api.client.post(path, json=span, headers=tokens["tolddoer"]).json()
    asked = {**span, "trigger": "daily", "followed": started["followed"]}
    first = api.client.post(f"{path}/progress", json=asked).json()
    assert (first["progress"]["total"], first["neverReleased"]) == (3, 0)
    assert api.client.post(f"{path}/cancel").json()["cancelled"] == 3
    ended = api.client.post(f"{path}/progress", json=asked, headers=tokens["toldreader"]).json()
    assert (ended["progress"]["cancelled"], ended["neverReleased"]) == (3, 3)
    assert (
        api.client.post(f"{path}/progress", json=asked, headers=tokens["toldother"]).status_code
        == 404
    )
    assert api.client.post(f"{path}/progress", json=span).status_code == 400


def test_relayers_are_listed_with_the_keys_of_the_server(api: Api, tokens: Headers):
    listed = api.client.get("/v1/relayers", headers=tokens["toldreader"]).json()["items"]
    assert "nobody" not in {each["name"] for each in listed}  # other tests may have keys there
    assert api.client.get("/v1/relayers", headers=tokens["tolddoer"]).status_code == 403
    assert api.client.get("/v1/relayers/nobody").status_code == 404


def test_a_replay_whose_token_ends_says_that_the_rest_is_not_routed(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    made = api.client.post(
        "/v1/tokens", json={"name": "told-ends", "scopes": ["operate:subscription=told"]}
    )
    event = lines(9).replace("told-9", "told-ends")
    assert api.client.post("/v1/events", content=event, headers=LINES).status_code == 200
    real = event_replays.replay_archived_events

    async def stays(*args: Any, **options: Any) -> int:
        """Route all, and then stay as if there were more pages."""
        await real(*args, **options)
        await asyncio.to_thread(api.client.post, "/v1/tokens/told-ends/revoke")
        return await asyncio.Event().wait()

    monkeypatch.setattr(api.app.state.standing, "seconds", 0.1)
    monkeypatch.setattr(event_replays, "replay_archived_events", stays)
    ended = api.client.post(
        "/v1/events/replay",
        json={"id": "ends", "since": "1h", "types": ["told.rung"], "subscription": "told"},
        headers={"Authorization": f"Bearer {made.json()['token']}", "X-Request-Id": "told-ends"},
    )
    assert code_of(ended) == (401, "token_ended")
    assert "send the same again for the rest" in ended.json()["hint"]
    items = api.client.get("/v1/audit?limit=20").json()["items"]
    (entry,) = [each for each in items if each["requestId"] == "told-ends"]
    assert entry["outcome"] == "token_ended"
    assert entry["details"]["recorded"] >= 1
