"""What people do by HTTP with what waits for them: tasks, dead letters, times of the past."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import TaskInstance
from activityctl.settings import Settings
from support.api_server import Api, make_tokens
from support.stored_runs import let_fail, let_wait, open_task

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FORM = {"type": "object", "required": ["verdict"], "properties": {"verdict": {"type": "string"}}}
REVIEW = {
    "metadata": {"name": "acting-review"},
    "spec": {
        "triggers": [{"name": "daily", "cron": {"schedule": "0 6 * * *"}}],
        "tasks": [{"name": "review", "manual": {"instructions": "look", "form": FORM}}],
    },
}
NOTE = {
    "metadata": {"name": "acting-note"},
    "spec": {"tasks": [{"name": "note", "command": {"argv": ["true"]}}]},
}
OWNERS = {"act-review": "acting-review", "act-note": "acting-note", "act-other": "acting-note"}
Headers = dict[str, dict[str, str]]


def _read(model: Any, value: Any) -> Any:
    return model.model_validate_json(json.dumps(value))


@pytest.fixture(scope="module")
def tokens(api_settings: Settings) -> Headers:
    """Apply the subscriptions; return headers with a token by its name."""

    async def prepare() -> Headers:
        definitions = {
            each["metadata"]["name"]: _read(ActivityDefinition, each) for each in (REVIEW, NOTE)
        }
        subscriptions = {
            name: _read(
                SubscriptionManifest, {"metadata": {"name": name}, "spec": {"activity": activity}}
            )
            for name, activity in OWNERS.items()
        }
        async with wiring.open_ports(api_settings, pool_size=2) as ports:
            async with ports.catalog.changing():
                present = await ports.catalog.present()
                wanted = Wanted(definitions, subscriptions)
                await ports.catalog.write(plan_changes(wanted, present), NOW)
            return await make_tokens(
                ports,
                actreader="read",
                actoperator="operate:subscription=act-*",
                actstranger="operate:subscription=act-other",
            )

    return asyncio.run(prepare())


def waiting_task(settings: Settings, key: str) -> TaskInstance:
    """Return a task that waits for a person."""

    async def make() -> TaskInstance:
        async with wiring.open_ports(settings, pool_size=2) as ports:
            task = await open_task(ports, "act-review", key, NOW)
            return await let_wait(ports, task, NOW, form=FORM)

    return asyncio.run(make())


def failed_run(settings: Settings, key: str, subscription: str = "act-note") -> str:
    """Return the id of a run that failed, which has a dead letter."""

    async def make() -> str:
        async with wiring.open_ports(settings, pool_size=2) as ports:
            return await let_fail(ports, await open_task(ports, subscription, key, NOW), NOW)

    return asyncio.run(make())


def audited(api: Api, target: str) -> list[tuple[str, str, str]]:
    """Return the actor, the action and the outcome of each entry about it, oldest first."""
    items = api.client.get("/v1/audit?limit=500").json()["items"]
    return [
        (item["actor"], item["action"], item["outcome"])
        for item in reversed(items)
        if item["target"] == target
    ]


def test_a_person_completes_a_task_once(api: Api, api_settings: Settings, tokens: Headers):
    task = waiting_task(api_settings, "once")
    path = f"/v1/tasks/{task.id}/complete"
    for body in (
        {},
        {"output": {"verdict": "a"}, "fail": "no"},
        {"fail": " "},
        {"output": {"verdict": 1}},
        {"output": {}},
        {"output": None},
        {"answer": 1},
    ):
        wrong = api.client.post(path, json=body)
        assert wrong.status_code == 400, body
        assert wrong.json()["code"] in {"usage", "invalid_input"}
    for who, status in (("actreader", 403), ("actstranger", 404)):
        refused = api.client.post(path, json={"output": {}}, headers=tokens[who])
        assert refused.status_code == status
    missing = api.client.post("/v1/tasks/ffff/complete", headers=tokens["actstranger"]).json()
    hidden = api.client.post(path, headers=tokens["actstranger"]).json()
    assert hidden["detail"].replace(task.id, "ffff") == missing["detail"]
    answer = {"output": {"verdict": "approve"}}
    done = api.client.post(path, json=answer, headers=tokens["actoperator"])
    assert done.status_code == 200
    view = done.json()
    assert view.pop("completedAt")
    assert view == {
        "id": task.id,
        "run": task.run_id,
        "outcome": "completed",
        "completedBy": "token/actoperator",
    }
    assert api.client.post(path, json=answer).json()["outcome"] == "unchanged"
    other = api.client.post(path, json={"fail": "no"})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert "completed by token/actoperator" in other.json()["detail"]
    assert audited(api, f"task/{task.id}")[-3:] == [
        ("token/actoperator", "complete", "done"),
        ("local", "complete", "done"),
        ("local", "complete", "conflict"),
    ]
    failing = waiting_task(api_settings, "fails")
    failed = api.client.post(f"/v1/tasks/{failing.id}/complete", json={"fail": "no answer"})
    assert failed.json()["outcome"] == "failed"


def test_a_dead_letter_is_retried_once_or_discarded(
    api: Api, api_settings: Settings, tokens: Headers
):
    run = failed_run(api_settings, "retried")
    listed = api.client.get(f"/v1/deadletters?run={run}", headers=tokens["actoperator"]).json()
    (letter,) = listed["items"]
    shown = api.client.get(f"/v1/deadletters/{letter['id']}").json()
    assert (shown["id"], shown["status"]) == (letter["id"], "open")
    path = f"/v1/deadletters/{letter['id']}"
    assert api.client.post(f"{path}/retry", headers=tokens["actreader"]).status_code == 403
    for name in ("retry", "discard"):
        hidden = failed_run(api_settings, f"hidden {name}")
        gone = api.client.post(f"/v1/deadletters/{hidden}/{name}", headers=tokens["actstranger"])
        assert gone.status_code == 404
        assert api.client.post(f"{path}/{name}", json={"other": 1}).status_code == 400
    assert api.client.post(f"{path}/retry", json={"newKeys": "yes"}).status_code == 400
    options = {"reason": "it is back", "newRevision": True}
    retried = api.client.post(f"{path}/retry", json=options, headers=tokens["actoperator"])
    assert retried.status_code == 202
    view = retried.json()
    assert {**view, "run": ""} == {
        "id": letter["id"],
        "outcome": "retried",
        "run": "",
        "status": None,
    }
    assert retried.headers["location"] == f"/v1/runs/{view['run']}"
    assert view["run"] != run
    again = api.client.post(f"{path}/retry")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert "retried by token/actoperator at" in again.json()["detail"]
    assert view["run"] in again.json()["detail"], "a repeat says which run was started"
    assert audited(api, f"deadletter/{letter['id']}")[-2:] == [
        ("token/actoperator", "retry", "done"),
        ("local", "retry", "conflict"),
    ]
    other = f"/v1/deadletters/{failed_run(api_settings, 'discarded')}"  # by the id of the run
    for body in ({}, {"reason": " "}, {"reason": None}):
        assert api.client.post(f"{other}/discard", json=body).status_code == 400
    done = api.client.post(f"{other}/discard", json={"reason": "paid by hand"})
    assert (done.status_code, done.json()["outcome"]) == (200, "discarded")
    assert api.client.post(f"{other}/discard", json={"reason": "again"}).status_code == 409
    assert api.client.post(f"{other}/retry").status_code == 409


def test_times_of_the_past_are_run_once(api: Api, tokens: Headers):
    path = "/v1/subscriptions/act-review/backfill"
    assert (
        api.client.post("/v1/subscriptions/act-review/pause").status_code == 200
    )  # all is decided
    for body in (
        {},
        {"since": "soon"},
        {"since": "2999-01-01T00:00:00Z"},
        {"since": "2025-03-03T00:00:00Z", "until": "2025-03-01T00:00:00Z"},
        {"since": "1d", "maxParallel": 0},
        {"since": "1d", "other": 1},
    ):
        assert api.client.post(path, json=body).status_code == 400, body
    asked = {"since": "2025-03-01T00:00:00Z", "until": "2025-03-04T00:00:00Z"}
    named = api.client.post(path, json={**asked, "trigger": "nothing"})
    assert (named.status_code, named.json()["code"]) == (404, "not_found")
    for who, status in (("actreader", 403), ("actstranger", 404)):
        for more in ("", "/cancel"):
            refused = api.client.post(f"{path}{more}", json=asked, headers=tokens[who])
            assert refused.status_code == status
    due = [f"2025-03-0{day}T06:00:00.000Z" for day in (1, 2, 3)]
    planned = api.client.post(f"{path}?dryRun=true", json=asked).json()
    assert (planned["kind"], planned["firings"], planned["leftAlone"]) == ("Backfill", due, [])
    started = api.client.post(path, json=asked, headers=tokens["actoperator"])
    assert started.status_code == 202
    view = started.json()
    assert (view["subscription"], view["trigger"], view["added"]) == ("act-review", "daily", 3)
    assert (view["progress"]["total"], view["progress"]["held"]) == (3, 3)
    again = api.client.post(path, json=asked).json()
    assert (again["added"], again["progress"]["total"]) == (0, 3)
    cancelled = api.client.post(f"{path}/cancel", headers=tokens["actoperator"])
    assert cancelled.json() == {"subscription": "act-review", "cancelled": 3}
    assert api.client.post(f"{path}/cancel", json={"trigger": "daily"}).json()["cancelled"] == 0
    too_many = {"since": "1970-01-01T00:00:00Z"}
    refused = api.client.post(path, json=too_many)
    assert (refused.status_code, refused.json()["code"]) == (409, "refused")
    done = [entry for entry in audited(api, "subscription/act-review") if entry[2] == "done"]
    assert ("token/actoperator", "backfill", "done") in done
    assert ("token/actoperator", "cancel backfill", "done") in done


def test_the_status_says_what_needs_attention(api: Api, api_settings: Settings, tokens: Headers):
    run = failed_run(api_settings, "status", "act-other")
    shown = api.client.get("/v1/status", headers=tokens["actreader"]).json()
    assert (shown["kind"], shown["workerLoops"]) == ("Status", [])
    assert (shown["disk"], shown["lowRelayers"]) == (None, []), "the servers are elsewhere"
    assert shown["deadLetters"]["bySubscription"]["act-other"] == 1
    refused = api.client.get("/v1/status", headers=tokens["actoperator"])
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    assert api.client.post(f"/v1/deadletters/{run}/discard", json={"reason": "a test"}).is_success
    after = api.client.get("/v1/status").json()
    assert "act-other" not in after["deadLetters"]["bySubscription"]
