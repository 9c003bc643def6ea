"""Many subscriptions, runs and dead letters at once by HTTP, and single ones by their ETag."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.admission import begin, new_run
from activityctl.domain.runs.run import Decision, RunEnd, RunStatus
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.timing.firing import FiringRequest
from activityctl.settings import Settings
from support.api_server import Api, make_tokens
from support.run_store import save

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEFINITION = {
    "metadata": {"name": "many-note"},
    "spec": {"tasks": [{"name": "note", "command": {"argv": ["true"]}}]},
}
TEAMS = {"many-a": "many-red", "many-b": "many-red", "many-c": "many-blue"}
Headers = dict[str, dict[str, str]]


def _read(model: Any, value: Any) -> Any:
    return model.model_validate_json(json.dumps(value))


def _manifest(name: str, team: str) -> Any:
    metadata = {"name": name, "labels": {"crew": "many", "team": team}}
    return _read(SubscriptionManifest, {"metadata": metadata, "spec": {"activity": "many-note"}})


async def _add_runs(ports: wiring.Ports) -> None:
    """Add a run that has failed, and one that has not ended, to each subscription."""
    for name in TEAMS:
        owner = await ports.catalog.find_subscription(name)
        for key in ("fails", "runs"):
            firing = FiringRequest(owner.id, "manual", f"manual/{key}", NOW)
            await ports.outbox.add([firing], NOW)
            facts = await ports.runs.admission_input(firing.ref)
            assert facts is not None
            run, decision = begin(new_run(firing.ref, facts, NOW), facts.spec, NOW)
            await ports.runs.open("w", run_change(run, decision, NOW))
            if key == "fails":
                end = Decision(end=RunEnd(RunStatus.FAILED, "task note failed: 503"))
                await save(ports, run_change(run, end, NOW))


@pytest.fixture(scope="module")
def tokens(api_settings: Settings) -> Headers:
    """Apply the subscriptions with their runs; return headers with a token by its name."""

    async def prepare() -> Headers:
        definition = _read(ActivityDefinition, DEFINITION)
        manifests = {name: _manifest(name, team) for name, team in TEAMS.items()}
        async with wiring.open_ports(api_settings, pool_size=2) as ports:
            async with ports.catalog.changing():
                present = await ports.catalog.present()
                wanted = Wanted({"many-note": definition}, manifests)
                await ports.catalog.write(plan_changes(wanted, present), NOW)
            await _add_runs(ports)
            return await make_tokens(
                ports, manyreader="read", manyred="operate:label=team=many-red"
            )

    return asyncio.run(prepare())


def names(answer: httpx.Response, key: str = "name") -> list[str]:
    assert answer.status_code == 200, answer.text
    return sorted(item[key] for item in answer.json()["items"])


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def last_audit(api: Api) -> tuple[str, str, Any]:
    entry = api.client.get("/v1/audit?limit=1").json()["items"][0]
    return entry["actor"], entry["action"], entry["details"]


def test_subscriptions_of_a_label_are_paused_and_resumed(api: Api, tokens: Headers):
    path, red = "/v1/subscriptions/pause", tokens["manyred"]
    mine = {"label": "crew=many"}
    dry = api.client.post(path, params={**mine, "dryRun": True})
    assert names(dry) == ["many-a", "many-b", "many-c"]
    assert {item["status"] for item in dry.json()["items"]} == {"active"}
    for headers, params in ((None, {}), (None, {"label": "no"}), (None, {"status": "deleted"})):
        assert code_of(api.client.post(path, params=params, headers=headers)) == (400, "usage")
    refused = api.client.post(path, params=mine, headers=tokens["manyreader"])
    assert code_of(refused) == (403, "not_allowed")
    paused = api.client.post(path, params=mine, headers=red, json={"reason": "a move"})
    assert (names(paused), paused.json()["summary"]) == (["many-a", "many-b"], {"paused": 2})
    assert last_audit(api) == ("token/manyred", "pause many", {"paused": 2})
    assert names(api.client.post(path, params=mine)) == ["many-c"], "only active ones are chosen"
    shown = api.client.get("/v1/subscriptions/many-a")
    assert (shown.json()["status"], shown.json()["pauseReason"]) == ("paused", "a move")
    first = api.client.post("/v1/subscriptions/resume", params={**mine, "limit": 1})
    assert (len(names(first)), first.json()["metadata"]["hasMore"]) == (1, True)
    assert len(names(api.client.post("/v1/subscriptions/resume", params=mine))) == 2
    tag = shown.headers["etag"]
    late = api.client.post("/v1/subscriptions/many-a/pause", headers={"If-Match": tag})
    assert code_of(late) == (412, "precondition_failed")
    fresh = {"If-Match": api.client.get("/v1/subscriptions/many-a").headers["etag"]}
    assert api.client.post("/v1/subscriptions/many-a/pause", headers=fresh).status_code == 200
    resumed = api.client.post("/v1/subscriptions/many-a/resume", headers=fresh)
    assert code_of(resumed) == (412, "precondition_failed")


def test_runs_of_a_label_are_cancelled(api: Api, tokens: Headers):
    path, mine = "/v1/runs/cancel", {"label": "crew=many"}
    assert code_of(api.client.post(path)) == (400, "usage")
    dry = api.client.post(path, params={**mine, "dryRun": True})
    assert names(dry, "subscription") == ["many-a", "many-b", "many-c"]
    hidden = api.client.post(path, params={"subscription": "many-c"}, headers=tokens["manyred"])
    assert code_of(hidden) == (404, "not_found")
    done = api.client.post(path, params=mine, headers=tokens["manyred"])
    assert (len(names(done)), done.json()["summary"]) == (2, {"cancelling": 2})
    assert last_audit(api)[1:] == ("cancel many", {"cancelling": 2})
    none = api.client.post(path, params={**mine, "status": "queued", "dryRun": True})
    assert names(none) == []
    assert code_of(api.client.post(path, params={**mine, "status": "failed"})) == (400, "usage")


def test_dead_letters_of_a_filter_are_retried_or_discarded(api: Api, tokens: Headers):
    retry, discard = "/v1/deadletters/retry", "/v1/deadletters/discard"
    mine = {"label": "crew=many", "error": "503"}
    assert code_of(api.client.post(retry)) == (400, "usage")
    dry = api.client.post(retry, params={**mine, "dryRun": True})
    assert names(dry, "subscription") == ["many-a", "many-b", "many-c"]
    assert names(api.client.post(retry, params={**mine, "task": "nothing"})) == []
    refused = api.client.post(discard, params=mine)
    assert code_of(refused) == (400, "invalid_input")
    refused = api.client.post(discard, params=mine, json={"reason": " "})
    assert code_of(refused) == (400, "usage")
    done = api.client.post(retry, params=mine, headers=tokens["manyred"], json={"reason": "ok"})
    assert done.json()["summary"] == {"retried": 2}
    assert all(item["run"] for item in done.json()["items"])
    closed = api.client.post(discard, params=mine, json={"reason": "paid"})
    assert closed.json()["summary"] == {"discarded": 1}
    assert last_audit(api) == ("local", "discard many", {"discarded": 1})
    assert names(api.client.post(retry, params=mine)) == []
