"""The run engine: bad servers lead to the documented outcome, and disturb no other subscription."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.operations.gitops.apply import apply
from support.engine import Engine, now
from support.http_server import Server, answering, answering_json

BOMB = gzip.compress(b"\0" * 30_000_000)


class BadServer:
    """A server that misbehaves in the way that the path of each request names."""

    def __init__(self) -> None:
        self.server = Server(self.answer)
        self.seen: dict[str, int] = {}

    async def answer(self, writer: asyncio.StreamWriter) -> None:  # noqa: C901 - a table
        path = self.server.requests[-1].target.strip("/")
        count = self.seen[path] = self.seen.get(path, 0) + 1
        match path:
            case "never":
                await asyncio.sleep(60)
            case "drip":
                await self._drip(writer, 0.2)
            case "stream":
                await self._drip(writer, 0)
            case "bomb":
                await answering(BOMB, headers=["Content-Encoding: gzip"])(writer)
            case "redirect":
                away = ["Location: http://169.254.169.254/latest/meta-data/"]
                await answering(status="302 Found", headers=away)(writer)
            case "500":
                status = "500 Broken" if count < 3 else "200 OK"
                await answering(b"at last", status=status)(writer)
            case "410":
                await answering(status="410 Gone")(writer)
            case "429":
                if count == 1:
                    headers = ["Retry-After: 1"]
                    await answering(status="429 Too Many", headers=headers)(writer)
                else:
                    await answering(b"fine")(writer)
            case "not-json":
                await answering_json("<html>")(writer)
            case _:
                await answering(b"fine")(writer)

    async def _drip(self, writer: asyncio.StreamWriter, pause: float) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * (1 if pause else 65536))
            await writer.drain()
            await asyncio.sleep(pause)


OUTCOMES = {
    "never": ("failed", 1, "no complete response within 1 s (timeout.startToClose)"),
    "drip": ("failed", 1, "no complete response within 1 s (timeout.startToClose)"),
    "stream": ("failed", 1, "a body with more than 1,048,576 bytes"),
    "bomb": ("failed", 1, "a body with more than 1,048,576 bytes"),
    "redirect": ("failed", 1, "redirects to http://169.254.169.254/"),
    "500": ("succeeded", 3, ""),
    "410": ("failed", 1, "410 Gone"),
    "429": ("succeeded", 2, ""),
    "not-json": ("failed", 3, "the body is not JSON"),
    "private": ("failed", 1, "has no permitted address: 10.0.0.1 (private)"),
}
"""For each fault: how the task ends, after how many attempts, and with which error."""


@pytest.fixture
async def bad() -> AsyncIterator[BadServer]:
    made = BadServer()
    listener = await asyncio.start_server(made.server.talk, "127.0.0.1", 0)
    made.server.port = listener.sockets[0].getsockname()[1]
    yield made
    listener.close()
    for talk in made.server.talks:
        talk.cancel()
    await asyncio.gather(*made.server.talks, return_exceptions=True)


def task(name: str, url: str) -> dict[str, Any]:
    waits = name in {"never", "drip"}
    return {
        "name": f"f-{name}",
        "http": {"url": url, **({"response": "json"} if name == "not-json" else {})},
        "retry": {"maxAttempts": 1 if waits else 3, "initialInterval": "50ms"},
        "timeout": {"startToClose": "1s" if waits else "10s"},
    }


async def apply_both(ports: wiring.Ports, bad: dict[str, Any], good: dict[str, Any]) -> None:
    definitions, subscriptions = {}, {}
    for name, spec in (("bad", bad), ("good", good)):
        named = {"metadata": {"name": name}}
        definitions[name] = ActivityDefinition.model_validate_json(
            json.dumps({**named, "spec": spec})
        )
        wanted = {**named, "spec": {"activity": name}}
        subscriptions[name] = SubscriptionManifest.model_validate(wanted)
    manifests = ManifestSet(definitions, subscriptions, {})
    await apply(manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=60)


async def fire(ports: wiring.Ports, name: str, key: str) -> str:
    owner = await ports.catalog.find_subscription(name)
    request = FiringRequest(owner.id, "manual", f"manual/{key}", now())
    await ports.outbox.add([request], now())
    return request.ref.run_id


@pytest.mark.usefixtures("worker")
async def test_each_bad_server_has_its_outcome_and_others_go_on(
    engine: Engine, bad: BadServer
) -> None:
    urls = {name: f"{bad.server.url}/{name}" for name in OUTCOMES}
    urls["private"] = "http://10.0.0.1/"
    tasks = [task(name, url) for name, url in urls.items()]
    fine = {"name": "fine", "http": {"url": f"{bad.server.url}/fine"}}
    await apply_both(engine.ports, {"tasks": tasks}, {"tasks": [fine]})
    run_id = await fire(engine.ports, "bad", "1")
    good = [await fire(engine.ports, "good", str(number)) for number in range(5)]
    ended = [await engine.ended(good_id, 8) for good_id in good]
    assert {run.status for run in ended} == {RunStatus.SUCCEEDED}
    run = await engine.ended(run_id, 20)
    assert run.status is RunStatus.FAILED
    found = await engine.tasks(run_id)
    for name, (status, attempts, error) in OUTCOMES.items():
        ended_task = found[f"f-{name}"]
        assert (ended_task.status, ended_task.attempts) == (status, attempts), name
        assert error in (ended_task.error or ""), name
    log = [entry.message for entry in await engine.log(run_id)]
    assert any(
        "f-429 attempt 1 failed" in line and "Retry-After asks for 1 s" in line for line in log
    )
    assert len([line for line in log if "f-500 attempt" in line]) == 2


@pytest.mark.usefixtures("worker")
async def test_a_bad_server_of_a_context_fails_its_run_alone(
    engine: Engine, bad: BadServer
) -> None:
    url = f"{bad.server.url}/${{ trigger.firingKey.substring(7) }}"
    source = {"name": "data", "http": {"url": url, "response": "json"}, "timeout": "1s"}
    echo = {"name": "one", "value": {"got": "${ context.data }"}}
    await apply_both(
        engine.ports, {"context": [source], "tasks": [echo]}, {"tasks": [{**echo, "value": 1}]}
    )
    never, text, stream = [
        await fire(engine.ports, "bad", name) for name in ("never", "not-json", "stream")
    ]
    assert (await engine.ended(await fire(engine.ports, "good", "1"), 8)).status == "succeeded"
    reasons = [(await engine.ended(run_id, 10)).reason or "" for run_id in (never, text, stream)]
    assert all(reason.startswith("context data: GET http://127.0.0.1:") for reason in reasons)
    assert "no complete response within 1 s (timeout)" in reasons[0]
    assert "the body is not JSON" in reasons[1]
    assert "a body with more than 1,048,576 bytes" in reasons[2]
