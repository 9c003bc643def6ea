"""Event sources: written by plans, read by requests; what comes to them is stored and counted."""

import asyncio
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Plan, Wanted
from activityctl.domain.gitops.planning import plan_changes, plan_deletion
from activityctl.domain.manifests.event_source import EventSource, PresentEventSource
from activityctl.domain.sources.request import WebRequest
from activityctl.domain.sources.traffic import RefusedRequest, SourceTraffic
from activityctl.domain.values.selection import Selection
from activityctl.errors import NotFoundError, UnreachableError
from activityctl.operations.events.receive import Receiver, receive, refuse_large
from activityctl.ports import FoundSecret
from activityctl.steps.deciding import Deciding

OPEN: Any = {"verify": {"none": {}}}
SIGNED: Any = {
    "verify": {"hmac": {"header": "x-sig", "secret": {"secretRef": "hook"}}},
    "event": {"id": "${ request.body.id }", "type": "a.b"},
}


def source(name: str, spec: Any, **metadata: Any) -> EventSource:
    document = {"metadata": {"name": name, **metadata}, "spec": spec}
    return EventSource.model_validate_json(json.dumps(document))


async def applied(
    ports: wiring.Ports, at: datetime, *sources: EventSource, applyset: str | None = None
) -> Plan:
    wanted = Wanted(sources={each.metadata.name: each for each in sources}, applyset=applyset)
    async with ports.catalog.changing():
        plan = plan_changes(wanted, await ports.catalog.present())
        await ports.catalog.write(plan, at)
    return plan


class Secrets:
    """Secrets of this machine."""

    def __init__(self, **values: str) -> None:
        self.values = values

    async def read(self, name: str) -> FoundSecret:
        if name not in self.values:
            raise NotFoundError("secret", name)
        return FoundSecret(self.values[name], "test")


def receiver(ports: wiring.Ports, clock: Any = None, **secrets: str) -> Receiver:
    return Receiver(
        ports.sources,
        ports.events,
        Secrets(**secrets),
        Deciding(),
        wiring.parse_hook_body,
        clock or (lambda: datetime.now(UTC)),
    )


def signed(body: Any, secret: str = "s3") -> WebRequest:
    content = json.dumps(body).encode()
    mac = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    headers = (("Content-Type", "application/json"), ("X-Sig", mac))
    return WebRequest("POST", "/v1/sources/shop", headers, body=content, sender="192.0.2.7")


async def test_an_event_source_lives_as_a_manifest_does(ports: wiring.Ports, now: datetime):
    later, labels = now + timedelta(hours=1), {"team": "a"}
    await applied(
        ports, now, source("shop", SIGNED, labels=labels), source("b", OPEN), applyset="set"
    )
    found = (await ports.catalog.present()).sources
    spec = source("shop", SIGNED).spec
    assert found["shop"] == PresentEventSource("shop", spec, now, now, labels, {}, "set")
    assert await ports.sources.find("shop") == found["shop"]
    assert await ports.sources.find("nobody") is None

    async def names(**selection: Any) -> list[str]:
        listed = await ports.catalog.listed_sources(Selection(**selection))
        return [each.name for each, _ in listed]

    assert await names() == ["b", "shop"]
    assert await names(limit=1) == ["b"]
    assert await names(name="shop") == ["shop"]
    assert await names(labels=labels) == ["shop"]
    assert (await applied(ports, later, source("b", OPEN))).is_empty
    plan = await applied(ports, later, source("b", SIGNED), applyset="set")
    changed = {field.path for field in plan.changes[0].fields}
    assert changed >= {"spec.verify.hmac.header", "spec.verify.none"}
    after = await ports.sources.find("b")
    assert after is not None
    assert (after.created_at, after.updated_at, after.applyset) == (now, later, "set")
    async with ports.catalog.changing():
        gone = plan_deletion("EventSource", "b", await ports.catalog.present())
        await ports.catalog.write(gone, later)
    assert await ports.sources.find("b") is None
    assert await names() == ["shop"]
    history = await ports.catalog.history("EventSource", "b")
    assert [change.action for change in history] == ["deleted", "configured", "created"]
    assert (await applied(ports, later, source("b", OPEN))).changes[0].action == "created"


async def test_a_request_is_answered_when_its_event_is_stored(ports: wiring.Ports, now: datetime):
    await applied(ports, now, source("shop", SIGNED))
    hooks = receiver(ports, hook="s3")
    answer = await receive(hooks, "shop", signed({"id": 1, "n": 1}))
    assert answer.status == 200
    (item,) = answer.body["items"]
    assert (item["id"], item["source"], item["type"]) == ("1", "/v1/sources/shop", "a.b")
    assert item["outcome"] == "accepted"
    assert answer.body["summary"] == {"accepted": 1, "duplicate": 0, "conflict": 0, "invalid": 0}
    (event,) = await ports.events.events(Selection())
    assert (event.document["id"], event.document["data"]) == ("1", {"id": 1, "n": 1})
    again = await receive(hooks, "shop", signed({"id": 1, "n": 1}))
    assert again.body["items"][0]["outcome"] == "duplicate"
    conflict = await receive(hooks, "shop", signed({"id": 1, "n": 2}))
    assert (conflict.status, conflict.body["code"]) == (409, "conflict")
    forged = await receive(hooks, "shop", signed({"id": 2}, "other"))
    assert (forged.status, forged.body["code"]) == (401, "unauthorized")
    unmapped = await receive(hooks, "shop", signed({}))
    assert unmapped.status == 400
    large = replace(signed({}), body=b"")
    assert (await refuse_large(hooks, "shop", large)).status == 413
    for name in ("nobody", "No Name", "a\0b"):
        with pytest.raises(NotFoundError):
            await receive(hooks, name, signed({"id": 3}))
    without = await receive(receiver(ports), "shop", signed({"id": 4}))
    assert without.status == 503
    ((_, traffic),) = await ports.catalog.listed_sources(Selection())
    counts = (traffic.accepted, traffic.duplicates, traffic.ignored, traffic.refused)
    assert counts == (1, 1, 0, 5)
    refused = await ports.catalog.refused_requests("shop", 20)
    assert [each.code for each in refused] == [
        "secret_unavailable",
        "body_too_large",
        "mapping_failed",
        "signature_invalid",
        "conflict",
    ]
    assert "no such key: 'id'" in refused[2].reason
    assert (refused[3].sender, refused[3].content_type) == ("192.0.2.7", "application/json")
    assert refused[3].sha256 == hashlib.sha256(signed({"id": 2}).body).hexdigest()
    assert len(await ports.events.events(Selection())) == 1


async def test_challenges_and_ignored_requests_are_counted(ports: wiring.Ports, now: datetime):
    spec = {
        **OPEN,
        "challenges": [{"when": "has(request.query.c)", "answer": "${ request.query.c }"}],
        "when": "request.body.n > 0",
        "event": {"forEach": "${ request.body.items }"},
    }
    await applied(ports, now, source("shop", spec))
    hooks = receiver(ports)
    asked = replace(signed({"n": 0}), query="c=1")
    assert (await receive(hooks, "shop", asked)).body == "1"
    for body in ({"n": 0}, {"n": 1, "items": []}):
        answer = await receive(hooks, "shop", signed(body))
        assert (answer.status, answer.body["items"]) == (200, [])
    many = await receive(hooks, "shop", signed({"n": 1, "items": [1, 2]}))
    assert [each["outcome"] for each in many.body["items"]] == ["accepted", "accepted"]
    ((_, traffic),) = await ports.catalog.listed_sources(Selection())
    assert (traffic.challenges, traffic.ignored, traffic.accepted) == (1, 2, 2)


async def test_refused_requests_are_bounded_in_number_and_age(ports: wiring.Ports, now: datetime):
    await applied(ports, now, source("shop", SIGNED), source("other", OPEN))
    start = datetime.now(UTC)
    one = RefusedRequest(start, "c", "r", 401, "POST", "", 0, "", None)
    traffic = SourceTraffic(refused=1, last_refused_at=start)
    for number in range(105):
        await ports.sources.note("shop", traffic, replace(one, reason=str(number)))
    await ports.sources.note("other", traffic, one)
    kept = await ports.catalog.refused_requests("shop", 1_000)
    assert [each.reason for each in kept] == [str(number) for number in range(104, 4, -1)]
    assert len(await ports.catalog.refused_requests("shop", 20)) == 20
    assert await ports.sources.remove(timedelta(days=1), 500) == 0
    for number in range(3):
        old = replace(one, at=start - timedelta(days=40 - number), reason=f"old {number}")
        await ports.sources.note("other", traffic, old)
    assert await ports.sources.remove(timedelta(days=30), 2) == 2
    assert await ports.sources.remove(timedelta(days=30), 2) == 1
    assert await ports.catalog.refused_requests("other", 20) == [one]
    listed = {each.name: found for each, found in await ports.catalog.listed_sources(Selection())}
    assert (listed["shop"].refused, listed["other"].refused) == (105, 4)


async def test_the_same_hook_many_times_at_once_is_one_event(ports: wiring.Ports, now: datetime):
    await applied(ports, now, source("shop", SIGNED))
    hooks = receiver(ports, hook="s3")
    answers = await asyncio.gather(
        *(receive(hooks, "shop", signed({"id": number % 2})) for number in range(20))
    )
    outcomes = [answer.body["items"][0]["outcome"] for answer in answers]
    assert sorted(outcomes) == ["accepted"] * 2 + ["duplicate"] * 18
    assert len(await ports.events.events(Selection())) == 2


async def test_what_is_stored_is_acknowledged_even_if_it_is_not_counted(
    ports: wiring.Ports, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    await applied(ports, now, source("shop", SIGNED))
    hooks = receiver(ports, hook="s3")

    async def fail(*_: Any) -> None:
        raise UnreachableError("Postgres does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(type(ports.sources), "note", fail)
        assert (await receive(hooks, "shop", signed({"id": 1}))).status == 200
    with monkeypatch.context() as patch:
        patch.setattr(type(ports.events), "add", fail)
        with pytest.raises(UnreachableError):
            await receive(hooks, "shop", signed({"id": 2}))
    assert len(await ports.events.events(Selection())) == 1
