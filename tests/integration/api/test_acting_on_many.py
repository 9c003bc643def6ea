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


def test_objects_that_are_named_are_changed_or_refused_one_by_one(api: Api, tokens: Headers):
    ids = [api.client.get(f"/v1/subscriptions/{name}").json()["id"] for name in TEAMS]
    path, red = "/v1/subscriptions/pause", tokens["manyred"]
    assert len(names(api.client.post("/v1/subscriptions/resume", json={"ids": ids}))) == 3
    done = api.client.post(path, json={"ids": ["many-a", ids[0], ids[1]], "reason": "named"})
    assert (names(done), done.json()["summary"]) == (["many-a", "many-b"], {"paused": 2})
    both = api.client.post(path, params={"label": "crew=many"}, json={"ids": ids})
    assert code_of(both) == (400, "usage")
    for wanted in (["many-a", "nobody"], ids):  # the third is of another team, which it cannot see
        assert code_of(api.client.post(path, json={"ids": wanted}, headers=red))[0] == 404
    refused = api.client.post(path, json={"ids": ids}, headers=tokens["manyreader"])
    assert code_of(refused) == (403, "not_allowed")
    assert len(names(api.client.post("/v1/subscriptions/resume", json={"ids": ids}))) == 3
    assert code_of(api.client.post(path, json={"ids": ["x"] * 1_001})) == (400, "invalid_input")


def test_runs_are_replayed_once_under_one_name(api: Api, tokens: Headers):
    path, red = "/v1/runs/replay", tokens["manyred"]
    mine = {"label": "crew=many", "status": "failed"}
    failed = api.client.get("/v1/runs", params=mine).json()["items"]
    run_ids = [run["id"] for run in failed]
    of_red = [run["id"] for run in failed if TEAMS[run["subscription"]] == "many-red"]
    dry = api.client.post(path, params={"dryRun": True}, json={"ids": run_ids})
    assert sorted(names(dry, "subscription")) == ["many-a", "many-b", "many-c"]
    assert dry.json()["leftOut"] == []
    open_run = api.client.get("/v1/runs?subscription=many-a&limit=100").json()["items"]
    unended = next(run["id"] for run in open_run if run["status"] in {"running", "cancelling"})
    left = api.client.post(path, params={"dryRun": True}, json={"ids": [unended]}).json()
    assert (left["items"], [each["run"] for each in left["leftOut"]]) == ([], [unended])
    done = api.client.post(path, json={"id": "again", "ids": of_red}, headers=red)
    assert done.json()["summary"] == {"replayed": 2}
    assert last_audit(api) == ("token/manyred", "replay many", {"replayed": 2})
    named = api.client.post(path, json={"id": "again", "ids": run_ids}).json()
    assert named["summary"] == {"repeated": 2, "replayed": 1}
    left = api.client.post(path, params={**mine, "dryRun": True}).json()
    assert left["items"] == [], "filters leave out what has a replay, even one that waits"
    assert api.client.get("/v1/runs", params={**mine, "notReplayed": True}).status_code == 200
    assert code_of(api.client.get("/v1/tasks?notReplayed=true")) == (400, "usage")
    key = {"Idempotency-Key": "one wish"}
    first, second = (
        api.client.post(path, json={"ids": run_ids[:1]}, headers=key).json()["items"]
        for _ in range(2)
    )
    assert (first[0]["id"], second[0]["outcome"]) == (second[0]["id"], "repeated")
    assert code_of(api.client.post(path, json={"ids": run_ids}, headers=red))[0] == 404
    assert (
        code_of(api.client.post(path, headers=tokens["manyreader"], json={"ids": run_ids}))[0]
        == 403
    )
    wrong = api.client.get(f"/v1/runs/{run_ids[0]}/diff")
    assert code_of(wrong) == (400, "usage")


def test_all_of_a_dead_letter_is_shown_to_who_may_see_its_run(api: Api, tokens: Headers):
    letters = api.client.get("/v1/deadletters", params={"label": "crew=many", "limit": 1}).json()
    assert letters["metadata"]["hasMore"]
    of = {"label": "crew=many", "definition": "many-note", "error": "503"}
    found = api.client.get("/v1/deadletters", params=of).json()["items"]
    assert len(found) == 3
    assert not api.client.get("/v1/deadletters", params={**of, "task": "nothing"}).json()["items"]
    assert code_of(api.client.get("/v1/runs", params={"task": "note"})) == (400, "usage")
    for letter in found:
        path = f"/v1/deadletters/{letter['run']}/details"
        shown = api.client.get(path)
        assert (shown.json()["id"], shown.json()["kind"]) == (letter["id"], "DeadLetter")
        again = api.client.get(path, headers={"If-None-Match": shown.headers["etag"]})
        assert again.status_code == 304
        is_red = TEAMS[letter["subscription"]] == "many-red"
        seen = api.client.get(path, headers=tokens["manyred"])
        assert (seen.status_code == 200) == is_red
        changes = api.client.post(
            "/v1/deadletters/retry?dryRun=true",
            json={"ids": [letter["id"]], "newRevision": True},
        )
        (change,) = changes.json()["revisionChanges"]
        assert (change["definition"], change["before"]) == ("many-note", change["after"])


@pytest.mark.usefixtures("tokens")
def test_the_tag_of_a_subscription_is_of_what_people_change(api: Api):
    path = "/v1/subscriptions/many-c"
    first = api.client.get(path)
    run = api.client.post(f"{path}/trigger", json={"key": "tagged"})
    assert run.status_code == 202
    later = api.client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert later.status_code == 200, "the answer has the new run"
    assert later.headers["etag"] != first.headers["etag"]
    read = {"If-Match": first.headers["etag"]}
    assert api.client.post(f"{path}/pause", headers=read, json={"reason": "x"}).status_code == 200
    assert code_of(api.client.post(f"{path}/resume", headers=read)) == (412, "precondition_failed")
    assert code_of(api.client.delete(path, headers=read)) == (412, "precondition_failed")
    assert api.client.post(f"{path}/resume").status_code == 200
