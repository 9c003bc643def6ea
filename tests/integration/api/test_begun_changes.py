"""A change by HTTP that loses Postgres at some place: what the audit then tells, and the answer."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from activityctl.api import applying
from activityctl.api.routes import backfills, catalog, event_replays, replays, waiting
from activityctl.errors import UnreachableError
from activityctl.settings import Settings
from support.api_server import Api

APPLY = {"Content-Type": "application/yaml"}
DOCUMENTS: list[dict[str, Any]] = [
    {
        "kind": "ActivityDefinition",
        "metadata": {"name": "begun"},
        "spec": {"tasks": [{"name": "ask", "manual": {"instructions": "look"}}]},
    },
    {"kind": "Subscription", "metadata": {"name": "begun"}, "spec": {"activity": "begun"}},
]
_LOSE = """
    CREATE FUNCTION lose_connection() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"""
BEFORE = "BEFORE INSERT ON audit_entries FOR EACH ROW WHEN (NEW.outcome = 'begun')"
AMID = "BEFORE UPDATE ON subscriptions FOR EACH ROW"
AFTER = "BEFORE INSERT ON audit_entries FOR EACH ROW WHEN (NEW.closes IS NOT NULL)"


@pytest.fixture
def begun(api: Api) -> Api:
    common = {"apiVersion": "activityctl/v1"}
    text = "\n---\n".join(json.dumps({**common, **each}) for each in DOCUMENTS)
    applied = api.client.post("/v1/manifests/apply", content=text, headers=APPLY)
    assert applied.status_code == 200, applied.text
    assert api.client.post("/v1/subscriptions/begun/resume").status_code == 200
    return api


@contextmanager
def postgres_lost(settings: Settings, place: str) -> Iterator[None]:
    """Let Postgres end the connection that comes to this place."""
    with psycopg.connect(settings.required_database_url(), autocommit=True) as connection:
        connection.execute(_LOSE)
        connection.execute(f"CREATE TRIGGER lost {place} EXECUTE FUNCTION lose_connection()")
        try:
            yield
        finally:
            connection.execute("DROP FUNCTION lose_connection() CASCADE")


def pause(api: Api, request_id: str, **headers: str) -> httpx.Response:
    return api.client.post(
        "/v1/subscriptions/begun/pause", headers={"X-Request-Id": request_id, **headers}
    )


def told(api: Api, request_id: str) -> list[tuple[str, str, str, Any]]:
    items = api.client.get("/v1/audit?limit=20").json()["items"]
    return [
        (each["actor"], each["action"], each["outcome"], each["details"])
        for each in items
        if each["requestId"] == request_id
    ]


def status(api: Api) -> str:
    return str(api.client.get("/v1/subscriptions/begun").json()["status"])


@pytest.mark.parametrize(
    ("place", "code", "problem", "outcomes"),
    [
        pytest.param(BEFORE, 503, "unreachable", [], id="before the change"),
        pytest.param(AMID, 503, "outcome_unknown", ["begun"], id="amid the change"),
        pytest.param(AFTER, 200, None, ["begun"], id="after the change"),
    ],
)
def test_no_change_is_without_an_entry_when_postgres_is_lost(
    begun: Api,
    api_settings: Settings,
    place: str,
    code: int,
    problem: str | None,
    outcomes: list[str],
):
    request_id = f"lost-{code}-{len(outcomes)}"
    with postgres_lost(api_settings, place):
        answer = pause(begun, request_id)
    assert answer.status_code == code, answer.text
    assert answer.json().get("code") == problem
    assert answer.json().get("retryable", True) == (problem != "outcome_unknown")
    assert (status(begun) == "paused") == (problem is None)
    entries = told(begun, request_id)
    assert entries == [("local", "pause", each, {}) for each in outcomes]


def test_a_change_has_one_entry_and_its_refusal_too(begun: Api):
    assert pause(begun, "one-entry").status_code == 200
    assert pause(begun, "refused-entry", **{"If-Match": '"another"'}).status_code == 412
    paused = {"outcome": "paused"}
    assert told(begun, "one-entry") == [("local", "pause", "done", paused)]
    assert told(begun, "refused-entry") == [("local", "pause", "precondition_failed", {})]


AWAY = UnreachableError("Postgres does not answer")


def away(times: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """Return what fails so often as in an outage, and then does what the real one does."""
    left = [times]

    async def wait(*args: Any, **options: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise AWAY
        return await real(*args, **options)

    return wait


def test_an_outage_after_a_change_is_not_told_as_if_nothing_was_stored(
    begun: Api, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(waiting, "wait_for_run", away(99, waiting.wait_for_run))
    monkeypatch.setattr(applying, "wait_for_schedules", away(99, applying.wait_for_schedules))
    started = begun.client.post("/v1/subscriptions/begun/trigger?wait=0.1")
    (run,) = begun.client.get("/v1/runs?subscription=begun&limit=1").json()["items"]
    assert run["id"] in started.json()["detail"]
    text = json.dumps({"apiVersion": "activityctl/v1", **DOCUMENTS[0]})
    applied = begun.client.post("/v1/manifests/apply", content=text, headers=APPLY)
    cancelled = begun.client.post(f"/v1/runs/{run['id']}/cancel?wait=0.1")
    for answer in (started, applied, cancelled):
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (503, "outcome_unknown")
        assert "stored" in problem["detail"]
        assert problem["retryable"] is False
    only_read = begun.client.get(f"/v1/runs/{run['id']}/wait?timeout=0").json()
    assert (only_read["code"], only_read["retryable"]) == ("unreachable", True)


def test_a_wait_goes_on_after_an_outage(begun: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(waiting, "wait_for_run", away(1, waiting.wait_for_run))
    monkeypatch.setattr(applying, "wait_for_schedules", away(1, applying.wait_for_schedules))
    started = begun.client.post("/v1/subscriptions/begun/trigger?wait=0.7")
    assert (started.status_code, started.json()["code"]) == (504, "timeout"), "no worker is alive"
    assert "has not ended after 0.7s" in started.json()["detail"]
    text = json.dumps({"apiVersion": "activityctl/v1", **DOCUMENTS[0]})
    applied = begun.client.post("/v1/manifests/apply?wait=5", content=text, headers=APPLY)
    assert applied.status_code == 200


ONLY_LOOK = ("/explain", "/validate", "/plan", "/diff")
"""How paths end that take a body and change nothing."""


def test_every_refusal_of_a_change_has_an_entry(begun: Api):
    made = begun.client.post("/v1/tokens", json={"name": "begun-reader", "scopes": ["read"]})
    reader = {"Authorization": f"Bearer {made.json()['token']}"}
    paths = begun.client.get("/v1/openapi.json").json()["paths"]
    changing = [
        path
        for path, methods in paths.items()
        if "post" in methods and "{" not in path and not path.endswith(ONLY_LOOK)
    ]
    assert len(changing) > 10
    for number, path in enumerate(changing):
        named = {"X-Request-Id": f"may-not-{number}", "Content-Type": "application/json"}
        refused = begun.client.post(path, content=b"{}", headers={**named, **reader})
        assert refused.status_code in {400, 403}, refused.text
        entries = told(begun, named["X-Request-Id"])
        outcomes = [(actor, outcome) for actor, _, outcome, _ in entries]
        assert outcomes == [("token/begun-reader", refused.json()["code"])], path


def test_what_only_asks_about_many_has_no_entry(begun: Api):
    named = {"X-Request-Id": "only-asks"}
    asked = begun.client.post("/v1/runs/cancel?all=true&dryRun=true", headers=named)
    assert asked.status_code == 200
    assert told(begun, "only-asks") == []


async def away_for_good(*_: Any, **__: Any) -> Any:
    raise AWAY


@pytest.mark.parametrize(
    ("area", "name", "path", "body"),
    [
        (event_replays, "preview_replay", "events/replay", {"id": "x", "allSubscriptions": True}),
        (replays.ReplayPlanner, "plan", "runs/RUN/replay", {}),
        (backfills, "preview_backfill", "subscriptions/begun/backfill", {}),
        (catalog, "preview_deletion", "subscriptions/begun", None),
    ],
)
def test_a_dry_run_in_an_outage_is_no_change(
    begun: Api,
    monkeypatch: pytest.MonkeyPatch,
    area: Any,
    name: str,
    path: str,
    body: dict[str, Any] | None,
):
    started = begun.client.post("/v1/subscriptions/begun/trigger").json()
    named = {"X-Request-Id": f"dry-{name}"}
    monkeypatch.setattr(area, name, away_for_good)
    since = {} if "RUN" in path else {"since": "1h"}
    answer = begun.client.request(
        "DELETE" if body is None else "POST",
        f"/v1/{path.replace('RUN', started['id'])}?dryRun=true",
        headers=named,
        json=None if body is None else {**body, **since},
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "unreachable")
    assert answer.json()["retryable"]
    assert told(begun, named["X-Request-Id"]) == []


def test_the_repeat_of_a_deletion_has_an_entry_and_so_has_another_request_with_its_key(begun: Api):
    def delete(request_id: str, path: str) -> int:
        headers = {"Idempotency-Key": "begun-gone", "X-Request-Id": request_id}
        return begun.client.delete(path, headers=headers).status_code

    assert delete("gone-first", "/v1/subscriptions/begun") == 200
    assert delete("gone-again", "/v1/subscriptions/begun") == 200
    assert delete("gone-other", "/v1/definitions/begun") == 409
    assert told(begun, "gone-first") == [("local", "delete", "done", {})]
    assert told(begun, "gone-again") == [("local", "delete", "done", {"repeat": True})]
    assert told(begun, "gone-other") == [("local", "delete", "conflict", {})]


def test_a_page_of_the_audit_is_full_and_goes_on_after_an_entry_that_is_hidden_meanwhile(
    begun: Api, api_settings: Settings
):
    with postgres_lost(api_settings, AFTER):
        pause(begun, "page-begun")
    for number in range(4):
        pause(begun, f"page-{number}")
    first = begun.client.get("/v1/audit?limit=5").json()
    outcomes = [each["outcome"] for each in first["items"]]
    assert outcomes == ["done"] * 4 + ["begun"]
    with psycopg.connect(api_settings.required_database_url()) as connection:
        connection.execute(
            """INSERT INTO audit_entries
                   (id, at, actor, action, target, outcome, request_id, closes)
               SELECT 'closes-' || id, now(), actor, action, target, 'done', request_id, id
               FROM audit_entries WHERE request_id = 'page-begun'"""
        )
    cursor = first["metadata"]["next"]
    rest = begun.client.get("/v1/audit", params={"limit": "2", "cursor": cursor}).json()["items"]
    assert len(rest) == 2
    shown = {each["id"] for each in first["items"]}
    assert not shown & {each["id"] for each in rest}
