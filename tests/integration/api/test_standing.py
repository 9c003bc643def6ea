"""Requests that last, over real sockets: they end when their token ends, and say why."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from activityctl import wiring
from activityctl.cli.verbs.remote import RemoteVerbs
from activityctl.cli.verbs.verbs import LogRequest, Watcher
from activityctl.domain.values.log import LogFilter
from activityctl.domain.values.selection import Selection
from activityctl.errors import NotAllowedError
from activityctl.secret import SecretReference
from activityctl.settings import Secret, Settings
from support.api_server import Api

APPLY = {"Content-Type": "application/yaml"}
Stream = Iterator[tuple[str, Any]]


def manifests(label: str) -> str:
    common = {"apiVersion": "activityctl/v1"}
    asks = {"name": "ask", "manual": {"instructions": "look"}}
    documents: list[dict[str, Any]] = [
        {"kind": "ActivityDefinition", "metadata": {"name": "lasting"}, "spec": {"tasks": [asks]}},
        *(
            {
                "kind": "Subscription",
                "metadata": {"name": name, "labels": {"lasting": label}},
                "spec": {"activity": "lasting"},
            }
            for name in ("lasting", "lasting-other")
        ),
    ]
    return "\n---\n".join(json.dumps({**common, **each}) for each in documents)


@pytest.fixture
def lasting(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """Serve the subscriptions, and look at the callers of open requests often."""
    monkeypatch.setattr(api.app.state.standing, "seconds", 0.1)
    applied = api.client.post("/v1/manifests/apply", content=manifests("yes"), headers=APPLY)
    assert applied.status_code == 200, applied.text
    return api


def token_of(api: Api, name: str, *scopes: str, **more: str) -> str:
    made = api.client.post("/v1/tokens", json={"name": name, "scopes": scopes, **more})
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def revoke(api: Api, name: str) -> None:
    assert api.client.post(f"/v1/tokens/{name}/revoke").status_code == 200


@contextmanager
def stream_of(api: Api, token: str, path: str) -> Iterator[Stream]:
    """Open a stream; yield the names and the data of its events, until it ends."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    with (
        httpx.Client(base_url=api.client.base_url, timeout=60, trust_env=False) as client,
        client.stream("GET", path, headers=headers) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        lines = answer.iter_lines()
        assert next(lines) == ": the log follows"
        yield events_in(lines)


def events_in(lines: Iterator[str]) -> Stream:
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def last_of(stream: Stream) -> tuple[str, int, str]:
    """Wait for the end; return the name, the status and the code of the only event."""
    ((name, problem),) = stream
    return name, problem["status"], problem["code"]


def test_a_stream_ends_with_its_token_and_says_so_while_others_go_on(
    lasting: Api, api_settings: Settings
):
    path = "/v1/subscriptions/lasting/logs?tail=0"
    revoked = token_of(lasting, "lasting-revoked", "read")
    expired = token_of(lasting, "lasting-expired", "operate:subscription=lasting", ttl="1h")
    kept = token_of(lasting, "lasting-kept", "operate:label=lasting=yes")
    with (
        stream_of(lasting, kept, path) as going_on,
        stream_of(lasting, lasting.token, "/v1/logs?tail=0") as local,
        stream_of(lasting, revoked, "/v1/logs?tail=0") as of_revoked,
        stream_of(lasting, expired, path) as of_expired,
    ):
        revoke(lasting, "lasting-revoked")
        assert last_of(of_revoked) == ("problem", 401, "token_ended")
        with psycopg.connect(api_settings.required_database_url()) as connection:
            connection.execute(
                "UPDATE api_tokens SET expires_at = now() WHERE name = 'lasting-expired'"
            )
        assert last_of(of_expired) == ("problem", 401, "token_ended")
        lasting.client.post("/v1/subscriptions/lasting/pause", json={"reason": "still read"})
        lasting.client.post("/v1/subscriptions/lasting/resume")
        for stream in (going_on, local):
            name, data = next(stream)
            assert name == "log"
            assert "still read" in data["message"]


def test_a_stream_ends_when_its_subscription_has_lost_the_label(lasting: Api):
    labelled = token_of(lasting, "lasting-label", "operate:label=lasting=yes")
    path = "/v1/logs?subscription=lasting&subscription=lasting-other&tail=0"
    with stream_of(lasting, labelled, path) as stream:
        applied = lasting.client.post("/v1/manifests/apply", content=manifests("no"), headers=APPLY)
        assert applied.status_code == 200, applied.text
        assert last_of(stream) == ("problem", 403, "not_allowed")


def in_thread(work: Callable[[], Any]) -> Future[Any]:
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(work)
    finally:
        pool.shutdown(wait=False)


def until_open(api: Api, token: str, asked: Future[Any] | asyncio.Future[Any]) -> None:
    """Wait until the server watches the request of this token; fail if it ends before.

    A stream of an earlier test may still be open.
    """
    deadline = time.monotonic() + 60
    while not any(each.text == token for each in tuple(api.app.state.standing._open)):
        assert not asked.done(), asked.result()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_wait_ends_with_its_token(lasting: Api):
    token = token_of(lasting, "lasting-waiter", "operate:subscription=lasting")
    url = f"{lasting.client.base_url}/v1/subscriptions/lasting/trigger?wait=60"
    headers = {"Authorization": f"Bearer {token}"}
    asked = in_thread(lambda: httpx.post(url, headers=headers, timeout=90, trust_env=False))
    until_open(lasting, token, asked)
    revoke(lasting, "lasting-waiter")
    answer = asked.result(timeout=50)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_ended")


def test_a_wait_for_schedules_ends_with_its_token_and_what_was_applied_stays(lasting: Api):
    """There is no worker, so the schedule never comes."""
    token = token_of(lasting, "lasting-applier", "apply:set=lasting-set")
    trigger = {"name": "daily", "cron": {"schedule": "0 6 * * *"}}
    task = {"name": "ask", "manual": {"instructions": "look"}}
    spec = {"triggers": [trigger], "tasks": [task]}
    documents: list[dict[str, Any]] = [
        {"kind": "ActivityDefinition", "metadata": {"name": "awaited"}, "spec": spec},
        {"kind": "Subscription", "metadata": {"name": "awaited"}, "spec": {"activity": "awaited"}},
    ]
    content = "\n---\n".join(
        json.dumps({"apiVersion": "activityctl/v1", **each}) for each in documents
    )
    url = f"{lasting.client.base_url}/v1/manifests/apply?applyset=lasting-set"
    headers = {**APPLY, "Authorization": f"Bearer {token}"}
    asked = in_thread(
        lambda: httpx.post(
            f"{url}&wait=60&waitWithoutWorker=true",
            content=content,
            headers=headers,
            timeout=90,
            trust_env=False,
        )
    )
    until_open(lasting, token, asked)
    revoke(lasting, "lasting-applier")
    answer = asked.result(timeout=50)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_ended")
    assert lasting.client.get("/v1/subscriptions/awaited").status_code == 200


async def test_logs_follow_by_http_ends_as_not_allowed(lasting: Api, api_settings: Settings):
    """The command line turns this error into exit code 6."""
    token = await asyncio.to_thread(token_of, lasting, "lasting-follower", "read")
    remote = Settings(
        api_settings.home,
        server=f"http://127.0.0.1:{lasting.port}",
        token_ref=SecretReference("token_ref", "env", "T", found=Secret(token)),
        uses_local_daemon=False,
    )
    async with wiring.open_remote_ports(remote) as far, asyncio.timeout(60):
        (owner,) = await far.catalog.subscriptions(Selection(name="lasting", limit=None))
        request = LogRequest(LogFilter((owner.id,)), {}, tail=0)
        followed = RemoteVerbs(far.api).follow_logs(request, Watcher(print))
        waiting = asyncio.ensure_future(anext(followed))
        await asyncio.to_thread(until_open, lasting, token, waiting)
        await asyncio.to_thread(revoke, lasting, "lasting-follower")
        with pytest.raises(NotAllowedError, match="revoked or has expired meanwhile"):
            await waiting
