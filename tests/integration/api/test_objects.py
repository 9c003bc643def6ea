"""Objects, runs and logs by HTTP: the same JSON as the command line, and only what one may see."""

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from activityctl import wiring
from activityctl.domain.access.scope import parse_scope
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.log import LogEntry
from activityctl.operations.access.tokens import create_token
from activityctl.settings import Secret, Settings
from support.api_server import Api, running_api
from support.link import Link

DEFINITION = {
    "metadata": {"name": "report"},
    "spec": {
        "triggers": [{"name": "hourly", "cron": {"schedule": "0 * * * *"}}],
        "tasks": [{"name": "note", "command": {"argv": ["true"]}}],
    },
}
NAMES = {"pay-eu": "payments", "shop-eu": "shop"}
Caller = Callable[..., httpx.Response]


async def _prepare(settings: Settings) -> dict[str, str]:
    """Apply two subscriptions, write a log, and return tokens by their scopes."""
    definition = ActivityDefinition.model_validate_json(canonical_json(DEFINITION))
    manifests = {
        name: SubscriptionManifest.model_validate_json(
            json.dumps(
                {
                    "metadata": {"name": name, "labels": {"team": team}},
                    "spec": {"activity": "report"},
                }
            )
        )
        for name, team in NAMES.items()
    }
    now = datetime.now(UTC)
    tokens = {}
    async with wiring.open_ports(settings, pool_size=4) as ports:
        async with ports.catalog.changing():
            wanted = Wanted({"report": definition}, manifests)
            await ports.catalog.write(plan_changes(wanted, await ports.catalog.present()), now)
        owner = await ports.catalog.find_subscription("pay-eu")
        await ports.logbook.append(
            [
                LogEntry(owner.id, None, f"line {number}", "info", now, {"task": "note"})
                for number in range(5)
            ]
        )
        for scope in ("read", "emit", "operate:label=team=payments"):
            made = (uuid.uuid4().hex[:12], "s" * 43, str(uuid.uuid4()))
            _, tokens[scope.partition(":")[0]] = await create_token(
                ports.tokens,
                ports.audit,
                f"t-{scope.partition(':')[0]}",
                [parse_scope(scope)],
                made,
                ttl=None,
                now=now,
                actor="me",
            )
    return tokens


@pytest.fixture(scope="module")
def call(api: Api, api_settings: Settings) -> Caller:
    """Call the API as the owner of a token, or with the local token."""
    tokens = asyncio.run(_prepare(api_settings))

    def as_caller(method: str, path: str, who: str | None = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {tokens[who]}"} if who else {}
        headers |= more.pop("headers", {})
        return api.client.request(method, f"/v1/{path}", headers=headers, **more)

    return as_caller


def test_lists_and_objects_are_those_of_the_command_line(call: Caller):
    listed = call("GET", "subscriptions").json()
    assert listed["kind"] == "List"
    assert {item["name"] for item in listed["items"]} >= set(NAMES)
    assert call("GET", "subscriptions?label=team=shop").json()["items"][0]["name"] == "shop-eu"
    first = call("GET", "subscriptions?limit=1").json()
    assert first["metadata"]["hasMore"] is True
    second = call("GET", f"subscriptions?limit=1&cursor={first['metadata']['next']}").json()
    assert second["items"][0]["name"] > first["items"][0]["name"]
    wrong = call("GET", f"runs?cursor={first['metadata']['next']}")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "usage")
    assert call("GET", "schedules?subscription=pay-eu").json()["items"][0]["trigger"] == "hourly"
    one = call("GET", "subscriptions/pay-eu")
    assert one.json()["kind"] == "subscription"
    assert one.json()["definition"] == "report"
    definition = call("GET", "definitions/report")
    tag = {"If-None-Match": definition.headers["etag"]}
    assert call("GET", "calendars").json()["kind"] == "List"
    listing = call("GET", "definitions")
    same = call("GET", "definitions", headers={"If-None-Match": listing.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert call("GET", "calendars", headers=tag).status_code == 200
    upcoming = call("GET", "subscriptions/pay-eu/next?limit=3").json()
    assert [item["trigger"] for item in upcoming["items"]] == ["hourly"] * 3


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("nothing", 404, "not_found"),
        ("run", 404, "not_found"),
        ("runs/ffffffff", 404, "not_found"),
        ("subscriptions/nobody", 404, "not_found"),
        ("subscriptions/nobody/logs", 404, "not_found"),
        ("runs?limit=0", 400, "usage"),
        ("runs?limit=x", 400, "usage"),
        ("runs?since=never", 400, "usage"),
        ("runs?status=odd", 400, "usage"),
        ("runs?label=x", 400, "usage"),
        ("calendars?assignee=me", 400, "usage"),
        ("subscriptions/pay-eu/logs?after=x", 400, "usage"),
        ("subscriptions/pay-eu/logs?level=loud", 400, "usage"),
        ("subscriptions/pay-eu/logs?grep=(", 400, "usage"),
        ("subscriptions/pay-eu/logs?grep=(.%2B)x%5C1", 400, "usage"),
        ("subscriptions/pay-eu/next?trigger=nothing", 404, "not_found"),
        ("subscriptions/%00", 404, "not_found"),
        ("runs/%F0%9F%92%A9%ED%A0%80", 404, "not_found"),
    ],
)
def test_what_is_wrong_or_absent_is_told(call: Caller, path: str, status: int, code: str):
    answer = call("GET", path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_subscription_is_run_now_once_for_each_key(call: Caller):
    key = {"Idempotency-Key": f"deploy {uuid.uuid4()}"}
    first = call("POST", "subscriptions/pay-eu/trigger", json={"payload": {"a": 1}}, headers=key)
    assert (first.status_code, first.json()["status"]) == (202, "queued")
    run = first.json()["id"]
    assert first.headers["location"] == f"/v1/runs/{run}"
    again = call("POST", "subscriptions/pay-eu/trigger", json={"payload": {"a": 1}}, headers=key)
    assert again.json() == first.json()
    other = call("POST", "subscriptions/pay-eu/trigger", json={"payload": {"a": 2}}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert run in other.json()["detail"]
    assert call("POST", "subscriptions/pay-eu/trigger").json()["id"] != run
    listed = call("GET", "runs?subscription=pay-eu").json()["items"]
    assert [item["id"] for item in listed].count(run) == 1
    late = call("GET", f"runs/{run}/wait?timeout=0.1")
    assert (late.status_code, late.json()["code"]) == (504, "timeout")
    assert "no worker is running" in late.json()["detail"]
    cancelled = call("POST", f"runs/{run}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    ended = call("GET", f"runs/{run}/wait?timeout=30").json()
    assert (ended["id"], ended["status"]) == (run, "cancelled")
    assert call("POST", f"runs/{run}/cancel").json()["code"] == "refused"
    assert call("GET", f"runs/{run[:13]}").json()["tasks"] == []
    named = {"Idempotency-Key": "once more"}
    replayed = call("POST", f"runs/{run}/replay", json={"reason": "so"}, headers=named)
    assert replayed.status_code == 202
    assert call("POST", f"runs/{run}/replay", headers=named).json() == replayed.json()
    planned = call("POST", f"runs/{run}/replay?dryRun=true")
    assert planned.status_code == 200
    assert call("POST", f"runs/{run}/replay", json={"fromTasks": ["x"]}).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"trigger": 1}',
        b'{"other": 1}',
        b'{"payload": []}',
        b'{"key": ""}',
        b'{"key": "a", "key": "b"}',
        b'{"payload": {"a": NaN}}',
        b"\xff",
        json.dumps({"key": "x" * 801}).encode(),
    ],
)
def test_a_wrong_body_starts_nothing(call: Caller, body: bytes):
    before = call("GET", "runs?subscription=shop-eu").json()["items"]
    answer = call("POST", "subscriptions/shop-eu/trigger", content=body)
    assert answer.status_code == 400
    assert answer.json()["code"] in {"usage", "invalid_input"}
    assert call("GET", "runs?subscription=shop-eu").json()["items"] == before


def test_a_subscription_is_paused_and_resumed_and_its_log_says_by_whom(call: Caller):
    paused = call("POST", "subscriptions/pay-eu/pause", "operate", json={"reason": "a move"})
    assert paused.json()["outcome"] == "paused"
    assert call("POST", "subscriptions/pay-eu/pause").json()["outcome"] == "unchanged"
    assert call("GET", "subscriptions/pay-eu").json()["pauseReason"] == "a move"
    assert call("POST", "subscriptions/pay-eu/resume").json()["outcome"] == "resumed"
    found = call("GET", "subscriptions/pay-eu/logs?grep=paused").json()["items"]
    assert found[-1]["message"] == "subscription paused by token/t-operate: a move"
    audit = call("GET", "audit?name=token/t-operate").json()["items"]
    assert (audit[0]["action"], audit[0]["target"]) == ("pause", "subscription/pay-eu")


def test_the_log_is_read_in_pages_without_gaps(call: Caller):
    path = "subscriptions/pay-eu/logs?task=note&limit=2"
    messages: list[str] = []
    page = call("GET", path).json()
    while page["items"]:
        messages += [item["message"] for item in page["items"]]
        assert page["items"][0]["subscription"] == "pay-eu"
        page = call("GET", f"{path}&after={page['metadata']['cursor']}").json()
    assert messages == [f"line {number}" for number in range(5)]
    assert page["metadata"]["hasMore"] is False
    last = call("GET", "subscriptions/pay-eu/logs?task=note&tail=1").json()["items"]
    assert [item["message"] for item in last] == ["line 4"]


def test_what_a_token_may_not_see_is_absent(call: Caller):
    run = call("POST", "subscriptions/shop-eu/trigger").json()["id"]
    for path in ("subscriptions/{}", "subscriptions/{}/logs", "subscriptions/{}/next"):
        hidden = call("GET", path.format("shop-eu"), "operate").json()
        missing = call("GET", path.format("nobody"), "operate").json()
        hidden.pop("requestId")
        missing.pop("requestId")
        assert hidden["status"] == 404
        assert {**hidden, "detail": hidden["detail"].replace("shop-eu", "nobody")} == missing
    for method, path in (
        ("POST", "subscriptions/shop-eu/trigger"),
        ("POST", "subscriptions/shop-eu/pause"),
        ("GET", f"runs/{run}"),
        ("GET", f"runs/{run}/logs"),
        ("POST", f"runs/{run}/cancel"),
        ("POST", f"runs/{run}/replay"),
        ("GET", "definitions/report"),
    ):
        assert call(method, path, "operate").status_code == 404, path
    assert call("GET", "runs?subscription=shop-eu", "operate").status_code == 404
    assert call("GET", "runs", "operate").status_code == 403
    assert call("GET", "runs?subscription=pay-eu", "operate").status_code == 200
    assert call("POST", "subscriptions/pay-eu/trigger", "operate").status_code == 202
    assert call("GET", "subscriptions/shop-eu", "read").status_code == 200
    for path in ("subscriptions/shop-eu/trigger", f"runs/{run}/cancel"):
        assert call("POST", path, "read").status_code == 403
    assert call("GET", "audit", "read").status_code == 403
    assert call("GET", "runs", "emit").status_code == 403
    assert call("GET", "subscriptions/pay-eu", "emit").status_code == 404


def read_events(lines: Iterator[str], count: int) -> list[tuple[str, str]]:
    """Return the ids and messages of the next events of a stream."""
    found, place = [], ""
    while len(found) < count:
        field, _, value = next(lines).partition(": ")
        if field == "id":
            place = value
        if field == "data":
            found.append((place, json.loads(value)["message"]))
    return found


def test_a_stream_goes_on_after_the_last_entry_and_ends_with_the_server(
    call: Caller, api_settings: Settings, tmp_path: Path
):
    async def write(*messages: str) -> None:
        async with wiring.open_ports(api_settings) as ports:
            owner = await ports.catalog.find_subscription("shop-eu")
            now = datetime.now(UTC)
            entries = [LogEntry(owner.id, None, text, "warning", now) for text in messages]
            await ports.logbook.append(entries)

    path = "/v1/subscriptions/shop-eu/logs?level=warning"
    stream = {"Accept": "text/event-stream"}
    url = api_settings.required_database_url()
    parts = urlsplit(url)
    with (
        Link(parts.hostname or "", parts.port or 0) as link,
        running_api(
            replace(api_settings, home=tmp_path, database_url=Secret(link.url(url)))
        ) as other,
    ):
        asyncio.run(write("a", "b"))
        with other.client.stream("GET", path, headers=stream) as followed:
            assert followed.headers["content-type"].startswith("text/event-stream")
            lines = followed.iter_lines()
            first, second = read_events(lines, 2)
            asyncio.run(write("c"))
            (third,) = read_events(lines, 1)
            assert [first[1], second[1], third[1]] == ["a", "b", "c"]
        asyncio.run(write("d"))
        again = {**stream, "Last-Event-ID": first[0]}
        with other.client.stream("GET", path, headers=again) as followed:
            lines = followed.iter_lines()
            assert [text for _, text in read_events(lines, 3)] == ["b", "c", "d"]
            link.kill_connections()
            asyncio.run(write("e"))
            assert [text for _, text in read_events(lines, 1)] == ["e"]
            other.server.should_exit = True
            assert not [line for line in lines if line.startswith("data")]
    for wrong in (f"{path}&grep=(", f"{path}&until=now"):
        assert call("GET", wrong.removeprefix("/v1/"), headers=stream).status_code == 400
