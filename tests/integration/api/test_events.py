"""Events by HTTP: each content mode of CloudEvents, and what each event became."""

import json
import uuid
from typing import Any

import httpx
import psycopg
import pytest

from activityctl.settings import Settings
from support.api_server import Api

STRUCTURED = "application/cloudevents+json; charset=utf-8"
BATCH = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"


def event(id_: str, **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id_, "source": "/shop", "type": "order.paid", **more}


def post(api: Api, body: Any, kind: str, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return api.client.post("/v1/events", content=content, headers={"Content-Type": kind, **headers})


def stored(settings: Settings, id_: str) -> Any:
    with psycopg.connect(settings.required_database_url()) as connection:
        query = "SELECT document FROM events WHERE event_id = %s"
        row = connection.execute(query, [id_]).fetchone()
    return row and row[0]


def test_one_event_is_stored_once_and_a_conflict_is_told(api: Api, api_settings: Settings):
    first = post(api, event("s-1", data={"amount": 12}), STRUCTURED)
    assert first.status_code == 200
    (item,) = first.json()["items"]
    assert item["outcome"] == "accepted"
    assert first.json()["summary"] == {"accepted": 1, "duplicate": 0, "conflict": 0, "invalid": 0}
    again = post(api, event("s-1", data={"amount": 12}), "application/json")
    assert again.json()["items"][0] == {**item, "outcome": "duplicate"}
    other = post(api, event("s-1", data={"amount": 13}), STRUCTURED)
    assert other.status_code == 409
    assert other.json()["code"] == "conflict"
    assert stored(api_settings, "s-1")["data"] == {"amount": 12}


def audited(api: Api, request_id: str) -> list[dict[str, int]]:
    """Return what the audit says of each transaction of a request."""
    items = api.client.get("/v1/audit").json()["items"]
    return [item["details"] for item in items if item["requestId"] == request_id]


def test_an_event_and_its_audit_are_stored_together_or_not_at_all(
    api: Api, api_settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    one = uuid.uuid4()
    with monkeypatch.context() as patched:
        patched.setattr("activityctl.api.auditing.uuid.uuid4", lambda: one)
        assert post(api, event("k-1"), STRUCTURED, **{"X-Request-Id": "k-first"}).is_success
        batch = [event("k-1"), event("k-2")]
        assert post(api, batch, BATCH).status_code == 500  # the id of the entry is taken
        assert post(api, event("k-5"), STRUCTURED).status_code == 500
    assert stored(api_settings, "k-2") is None
    assert stored(api_settings, "k-5") is None
    nothing = {"accepted": 0, "duplicate": 0, "conflict": 0, "invalid": 0}
    assert audited(api, "k-first") == [{**nothing, "accepted": 1}]
    batch = [*batch, event("k-1", data=1), {"id": "k-3"}]
    assert post(api, batch, BATCH, **{"X-Request-Id": "k-batch"}).status_code == 207
    assert audited(api, "k-batch") == [dict.fromkeys(nothing, 1)]
    assert post(api, [{"id": "k-4"}], BATCH, **{"X-Request-Id": "k-bad"}).status_code == 207
    assert audited(api, "k-bad") == [{**nothing, "invalid": 1}]


@pytest.mark.parametrize(
    ("body", "field", "line"),
    [
        (b'{"specversion": "1.0", "id": "x", "source": "/s"}', "type", 1),
        (b'{"specversion": "1.0",\n"id": "x", "id": "y"}', "", 2),
        (b'{"id": NaN}', "", 1),
        (b'{"id": "\\u0000"}', "", 1),
        (b'{"id": "\\ud800"}', "", 1),
        (b"[" * 100, "", 1),
        (b"\xff", "", 1),
        (b"", "", 1),
        (b"[1]", "", 1),
        (b'{"specversion": "1.0", "id": "x", "source": "/s", "type": "t", "Own": 1}', "Own", 1),
    ],
)
def test_an_invalid_event_is_refused_with_its_place(api: Api, body: bytes, field: str, line: int):
    refused = post(api, body, STRUCTURED)
    assert refused.status_code == 400
    problem = refused.json()
    assert problem["code"] == "invalid_event"
    (finding,) = problem["findings"]
    assert (finding["path"], finding["line"], finding["file"]) == (field, line, None)


def test_a_batch_gives_the_outcome_of_each_event(api: Api, api_settings: Settings):
    whole = post(api, [event("b-1"), event("b-2"), event("b-1")], BATCH)
    assert whole.status_code == 200
    assert [item["outcome"] for item in whole.json()["items"]] == [
        "accepted",
        "accepted",
        "duplicate",
    ]
    mixed = post(api, [event("b-3"), {"id": "b-4"}, event("b-2", data=1)], BATCH)
    assert mixed.status_code == 207
    assert mixed.json()["summary"] == {"accepted": 1, "duplicate": 0, "conflict": 1, "invalid": 1}
    assert "specversion" in mixed.json()["items"][1]["reason"]
    assert stored(api_settings, "b-3")
    assert post(api, event("b-5"), BATCH).status_code == 400
    assert post(api, [], BATCH).json()["items"] == []


def test_json_lines_may_be_long(api: Api, api_settings: Settings):
    lines = b"\n".join(
        json.dumps(event(f"l-{number}", data="x" * 1_000)).encode() for number in range(2_500)
    )
    assert len(lines) > 2 * 1024 * 1024
    answer = post(api, lines + b"\nbroken", LINES)
    assert answer.status_code == 207
    assert answer.json()["summary"]["accepted"] == 2_500
    assert answer.json()["items"][-1]["line"] == 2_501
    assert stored(api_settings, "l-2499")["data"] == "x" * 1_000


def test_binary_mode_makes_the_same_event(api: Api, api_settings: Settings):
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "bin-1",
        "ce-source": "/shop",
        "ce-type": "order.paid",
        "ce-subject": "Gr%C3%B6%C3%9Fe%20%22A%22",
        "ce-tenant": "eu",
    }
    assert post(api, {"amount": 12}, "application/json", **headers).status_code == 200
    assert stored(api_settings, "bin-1") == event(
        "bin-1",
        data={"amount": 12},
        datacontenttype="application/json",
        subject='Größe "A"',
        tenant="eu",
    )
    for id_, kind, body, data in (
        ("bin-2", "text/plain", "naïve".encode(), {"data": "naïve"}),
        ("bin-3", "image/png", b"\x89PNG", {"data_base64": "iVBORw=="}),
        ("bin-4", "application/vnd.shop+json", b"[1]", {"data": [1]}),
    ):
        assert post(api, body, kind, **{**headers, "ce-id": id_}).status_code == 200
        document = stored(api_settings, id_)
        assert {name: document[name] for name in document if name.startswith("data_")} | {
            name: document[name] for name in ("data",) if name in document
        } == data
        assert document["datacontenttype"] == kind
    for wrong in (
        {"ce-id": ""},
        {"ce-time": "yesterday"},
        {"ce-subject": "%ff"},
        {"ce-data": "x"},
        {"ce-specversion": "0.3"},
    ):
        refused = post(api, {}, "application/json", **{**headers, **wrong})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_event")
    assert post(api, b"{", "application/json", **headers).status_code == 400


def test_headers_that_repeat_the_attributes_make_a_body_no_data(api: Api, api_settings: Settings):
    repeated = {"ce-specversion": "1.0", "ce-source": "/shop", "ce-type": "order.paid"}
    whole = event("rep-1", data={"amount": 12})
    assert post(api, whole, STRUCTURED, **repeated, **{"ce-id": "rep-1"}).status_code == 200
    assert stored(api_settings, "rep-1") == whole
    several = [event("rep-2"), event("rep-3")]
    answer = post(api, several, BATCH, **repeated, **{"ce-id": "rep-2"})
    assert [item["id"] for item in answer.json()["items"]] == ["rep-2", "rep-3"]
    kind = "application/cloudevents+xml"
    assert post(api, b"<event/>", kind, **repeated, **{"ce-id": "rep-4"}).status_code == 415


def test_attributes_in_double_quotes_lose_them(api: Api, api_settings: Settings):
    headers = {
        "ce-specversion": "1.0",
        "ce-id": '"quoted 1"',
        "ce-source": "/shop",
        "ce-type": '"order.paid"',
        "ce-subject": '"a \\"large\\" %E2%82%AC"',
        "ce-note": '"left open',
    }
    assert post(api, {}, "text/json", **headers).status_code == 200
    assert stored(api_settings, "quoted 1") == event(
        "quoted 1",
        data={},
        datacontenttype="text/json",
        subject='a "large" €',
        note='"left open',
    )


def test_other_bodies_are_no_events(api: Api):
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        refused = post(api, event("o-1"), kind)
        assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
    packed = post(api, event("o-1"), STRUCTURED, **{"Content-Encoding": "gzip"})
    assert packed.status_code == 415
    plain = post(api, event("o-2"), STRUCTURED, **{"Content-Encoding": "Identity"})
    assert plain.status_code == 200
