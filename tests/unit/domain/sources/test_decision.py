"""What becomes of a request: challenges, mapping, ids, refusals, answers; saved requests."""

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl import wiring
from activityctl.domain.cel.evaluator import EvaluatesElsewhere, InPlaceOnly, evaluating_with
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.sources.answer import Answer, answer_of
from activityctl.domain.sources.checks import check_source
from activityctl.domain.sources.decision import Challenged, Decision, Ignored, decide
from activityctl.domain.sources.http_text import read_http_text
from activityctl.domain.sources.mapping import Mapped
from activityctl.domain.sources.refusal import Refusal
from activityctl.domain.sources.request import WebRequest
from activityctl.domain.sources.spec import EventSourceSpec
from activityctl.domain.sources.traffic import refused_request
from activityctl.errors import InvalidInputError

NOW = datetime(2026, 11, 28, 20, tzinfo=UTC)
JSON = (("Content-Type", "application/json; charset=utf-8"),)
FORM = (("content-type", "application/x-www-form-urlencoded"),)
OPEN: Any = {"verify": {"none": {}}}
BEARER: Any = {"verify": {"bearer": {"secret": {"secretRef": "key"}}}}


def spec_of(spec: Any) -> EventSourceSpec:
    return EventSourceSpec.model_validate_json(json.dumps(spec))


def request(
    body: Any = None, headers: Any = JSON, method: str = "POST", **parts: Any
) -> WebRequest:
    content = (
        body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    )
    return WebRequest(method, "/v1/sources/shop", tuple(headers), body=content, **parts)


def decided(spec: Any, asked: WebRequest, **secrets: str) -> Decision:
    return decide("shop", spec_of(spec), asked, secrets, NOW, wiring.parse_hook_body)


def events(spec: Any, asked: WebRequest) -> list[dict[str, Any]]:
    outcome = decided(spec, asked).outcome
    assert isinstance(outcome, Mapped), outcome
    return [dict(event.document) for event in outcome.events]


def refusal(spec: Any, asked: WebRequest, **secrets: str) -> Refusal:
    outcome = decided(spec, asked, **secrets).outcome
    assert isinstance(outcome, Refusal), outcome
    return outcome


def test_defaults_make_one_event_whose_id_a_redelivery_has_too():
    asked = request({"b": 1, "a": 2})
    (event,) = events(OPEN, asked)
    assert event["id"].startswith("sha256:")
    assert (event["source"], event["type"]) == ("/v1/sources/shop", "shop.received")
    assert event["data"] == {"b": 1, "a": 2}
    assert event["time"] == "2026-11-28T20:00:00Z"
    again = WebRequest("POST", "/x", (*JSON, ("x-delivery", "2")), "", asked.body)
    later = decide("shop", spec_of(OPEN), again, {}, NOW.replace(hour=21), wiring.parse_hook_body)
    first = decided(OPEN, asked).outcome
    assert isinstance(later.outcome, Mapped)
    assert isinstance(first, Mapped)
    assert later.outcome.events[0].key == first.events[0].key
    assert later.outcome.events[0].digest == first.events[0].digest
    assert first.has_hashed_ids
    for other in (request({"b": 1, "a": 3}), request({"b": 1, "a": 2}, query="x=1")):
        assert events(OPEN, other)[0]["id"] != event["id"]


def test_each_attribute_is_mapped_and_bodies_are_read_as_they_are_sent():
    spec = {
        **OPEN,
        "event": {
            "id": "${ request.body.id }",
            "source": 'https://x/${ request.query["shop"] }',
            "type": 'a.${ request.headers["x-kind"] }',
            "subject": "${ request.body.none }",
            "time": "${ request.body.created }",
            "data": {"n": "${ request.body.n }", "m": "${ request.method } ${ request.path }"},
        },
    }
    body = {"id": 17, "none": None, "created": 1492774577, "n": 2**64}
    (event,) = events(spec, request(body, (*JSON, ("X-Kind", "paid")), query="shop=eu"))
    assert event == {
        "id": "17",
        "source": "https://x/eu",
        "type": "a.paid",
        "time": "2017-04-21T11:36:17Z",
        "data": {"n": str(2**64), "m": "POST /v1/sources/shop"},
        "specversion": "1.0",
    }
    (form,) = events(OPEN, request(b"a=1&b=x+y&b=%C3%A9&c=", FORM))
    assert form["data"] == {"a": "1", "b": ["x y", "é"], "c": ""}
    (text,) = events(OPEN, request("é".encode(), ()))
    assert text["data"] == "é"
    (empty,) = events(OPEN, request(None))
    assert empty["data"] is None
    (forced,) = events({**OPEN, "body": "json"}, request(b"[1]", ()))
    assert forced["data"] == [1]


def test_a_compressed_body_is_told_as_one():
    twice = (*JSON, ("Content-Encoding", "gzip, identity"))
    assert refusal(OPEN, request(gzip.compress(b"{}"), twice)).reason.startswith("the body is comp")
    packed = refusal(OPEN, request(gzip.compress(b"{}"), (*JSON, ("Content-Encoding", "GZIP"))))
    assert packed.code == "body_unreadable"
    assert packed.reason == "the body is compressed; let the sender send it as it is"
    (charset,) = events(OPEN, request({"a": 1}, (*JSON, ("Content-Encoding", "utf-8"))))
    assert charset["data"] == {"a": 1}


def test_every_type_of_json_is_read_as_json():
    for kind in ("application/json", "text/json", "application/vnd.shop+json; charset=utf-8"):
        (event,) = events(OPEN, request({"a": 1}, (("Content-Type", kind),)))
        assert event["data"] == {"a": 1}, kind


def test_a_list_becomes_several_events_or_none():
    spec = {**OPEN, "event": {"forEach": "${ request.body }", "subject": "${ item.s }"}}
    many = events(spec, request([{"s": "a"}, {"s": "b"}]))
    assert [event["subject"] for event in many] == ["a", "b"]
    assert [event["id"][-2:] for event in many] == ["/0", "/1"]
    assert [event["data"] for event in many] == [{"s": "a"}, {"s": "b"}]
    assert events(spec, request([])) == []
    assert refusal(spec, request([{"s": "a"}, {}])).code == "mapping_failed"
    assert refusal(spec, request({})).reason == "event.forEach is not a list"
    assert "1,000" in refusal(spec, request([{"s": "a"}] * 1001)).reason


@pytest.mark.parametrize(
    ("event", "asked", "code", "reason"),
    [
        ({"id": "${ request.body.id }"}, request({}), "mapping_failed", "no such key: 'id'"),
        ({"id": "${ request.body.id }"}, request({"id": None}), "mapping_failed", "is null"),
        ({"type": "${ request.body.id }"}, request({"id": [1]}), "mapping_failed", "is a list"),
        ({"time": "${ request.body.t }"}, request({"t": "now"}), "event_invalid", "RFC 3339"),
        ({"time": "${ request.body.t }"}, request({"t": -1}), "mapping_failed", "not of seconds"),
        ({"id": "${ request.body.i }"}, request({"i": "x" * 1025}), "event_invalid", "longer"),
        ({"type": "${ request.body.i }"}, request({"i": "\n"}), "event_invalid", "U+000A"),
        ({}, request(b"{"), "body_unreadable", "not valid JSON"),
        ({}, request(b'{"a": 1, "a": 2}'), "body_unreadable", "JSON"),
        ({}, request(b'{"a": NaN}'), "body_unreadable", "JSON"),
        ({}, request(b"[" * 80 + b"]" * 80), "body_unreadable", "JSON"),
        ({}, request(b'["\\u0000"]'), "body_unreadable", "JSON"),
        ({}, request(b"a=%00", FORM), "body_unreadable", "NUL"),
        ({}, request(b"a=%ff", FORM), "body_unreadable", "UTF-8"),
        ({}, request(b"&".join([b"a=1"] * 1001), FORM), "body_unreadable", "fields"),
        ({}, request(b"\xff", ()), "body_unreadable", "UTF-8"),
        ({}, request(b"\0", ()), "body_unreadable", "NUL"),
        ({}, request(b"1", query="a=%00"), "body_unreadable", "query"),
        ({}, request(method="PUT"), "method_not_allowed", "POST"),
    ],
)
def test_what_cannot_be_mapped_is_refused(event: Any, asked: WebRequest, code: str, reason: str):
    found = refusal({**OPEN, "event": event}, asked)
    assert (found.code.value, reason in found.reason) == (code, True), found


def test_events_that_repeat_a_large_body_are_refused_before_they_fill_the_memory():
    spec = {**OPEN, "event": {"forEach": "${ request.body.a }", "data": "${ request.body }"}}
    found = refusal(spec, request({"a": list(range(1_000)), "b": "x" * 900_000}))
    assert (found.code.value, "together" in found.reason) == ("event_invalid", True)


def test_a_large_body_is_not_read_where_it_would_block_others():
    with evaluating_with(InPlaceOnly()), pytest.raises(EvaluatesElsewhere):
        decided(OPEN, request(["x" * 60_000]))
    with evaluating_with(InPlaceOnly()):
        assert isinstance(decided(OPEN, request(["x" * 10_000])).outcome, Mapped)


def test_too_much_work_is_refused_as_such():
    spec = {**OPEN, "event": {"type": "${ request.body.map(a, request.body.map(b, '%s')).size() }"}}
    spec["event"]["type"] = "${ string(size(request.body.map(a, request.body.filter(b, a == b)))) }"
    found = refusal(spec, request(list(range(3_000))))
    assert found.code == "expression_budget"


def test_challenges_are_answered_as_each_sender_wants():
    slack = {
        **BEARER,
        "challenges": [
            {
                "when": 'request.body.type == "url_verification"',
                "answer": "${ request.body.challenge }",
            }
        ],
    }
    token = ("Authorization", "Bearer t")
    asked = request({"type": "url_verification", "challenge": "abc"}, (*JSON, token))
    assert decided(slack, asked, key="t").outcome == Challenged("abc")
    answer = answer_of(spec_of(slack), decided(slack, asked, key="t"))
    assert answer == Answer(200, "abc", "text/plain; charset=utf-8")
    assert refusal(slack, request({"type": "url_verification"}), key="t").code == "token_missing"
    assert isinstance(decided(slack, request({"type": 1}, (*JSON, token)), key="t").outcome, Mapped)
    unsigned = {
        **BEARER,
        "challenges": [
            {
                "when": 'request.method == "GET" && request.query["hub.mode"] == "subscribe"',
                "answer": '${ request.query["hub.challenge"] }',
                "verified": False,
            },
            {"when": '"c" in request.query', "answer": {"c": "${ request.query.c }"}},
        ],
    }
    query = "hub.mode=subscribe&hub.challenge=%3Cb%3E1"
    asked = request(None, (), "GET", query=query)
    assert decided(unsigned, asked).outcome == Challenged("<b>1")
    asked = request(None, (token,), "GET", query="c=2")
    assert answer_of(spec_of(unsigned), decided(unsigned, asked, key="t")).body == {"c": "2"}
    assert refusal(unsigned, request(None, (token,), "GET"), key="t").code == "method_not_allowed"
    assert refusal(unsigned, request(b"{"), key="t").code == "token_missing"
    long = request(None, (), "GET", query=f"hub.mode=subscribe&hub.challenge={'x' * 5000}")
    assert "4,096" in refusal(unsigned, long).reason


def test_a_request_that_is_no_event_is_ignored():
    spec = {**OPEN, "when": 'request.headers["x-event"] != "ping"'}
    assert decided(spec, request({}, (*JSON, ("x-event", "ping")))).outcome == Ignored()
    assert events(spec, request({}, (*JSON, ("x-event", "push"))))
    assert refusal(spec, request({})).code == "mapping_failed"


def test_no_event_and_no_refusal_contains_a_secret():
    headers = (*JSON, ("Authorization", "Bearer geheim-17"), ("Cookie", "c"), ("X-Api-Key", "k"))
    spec = {**BEARER, "event": {"data": "${ request.headers }"}}
    outcome = decided(spec, request({}, headers), key="geheim-17").outcome
    assert isinstance(outcome, Mapped)
    assert outcome.events[0].data == {"content-type": JSON[0][1]}
    asked = request({"x": "geheim-17"}, (("authorization", "Bearer falsch-99"),))
    refused = refused_request(asked, refusal(spec, asked, key="geheim-17"), NOW, ("geheim-17",))
    assert "geheim" not in repr(refused)
    assert "falsch" not in repr(refused)
    told = Refusal(refusal(spec, asked, key="geheim-17").code, "no geheim-17\n" + "x" * 900)
    kept = refused_request(asked, told, NOW, ("geheim-17",))
    assert kept.reason.startswith("no *** x")
    assert len(kept.reason) == 500


def test_a_sender_does_not_learn_why_it_is_not_verified():
    spec = spec_of(BEARER)
    answers = [
        answer_of(spec, decide("shop", spec, request({}, each), {"key": "t"}, NOW, json.loads))
        for each in ((), (("authorization", "Bearer no"),), (("authorization", "no"),))
    ]
    assert answers[0] == answers[1] == answers[2]
    assert (answers[0].status, answers[0].media_type) == (401, "application/problem+json")
    assert answers[0].headers == {"WWW-Authenticate": "Bearer"}
    missing = answer_of(spec, decide("shop", spec, request({}), {}, NOW, json.loads))
    assert (missing.status, missing.headers) == (503, {"Retry-After": "30"})
    assert "key" not in str(missing.body["detail"])
    opened = answer_of(spec_of(OPEN), decided(OPEN, request(b"{")))
    assert "JSON" not in opened.body["detail"]
    token = (*JSON, ("authorization", "Bearer t"))
    known = answer_of(spec, decided(BEARER, request(b"{", token), key="t"))
    assert "not valid JSON" in known.body["detail"]
    method = answer_of(spec_of(OPEN), decided(OPEN, request(method="GET")))
    assert (method.status, method.headers) == (405, {"Allow": "POST"})


def test_the_answer_has_the_outcome_of_each_event():
    spec = {**OPEN, "event": {"forEach": "${ request.body }", "id": "${ item }"}}
    made = decided(spec, request(["a", "b"]))
    accepted, duplicate, conflict = (
        EmitOutcome.ACCEPTED,
        EmitOutcome.DUPLICATE,
        EmitOutcome.CONFLICT,
    )
    stored = answer_of(spec_of(spec), made, (accepted, duplicate))
    assert stored.status == 200
    assert [(each["id"], each["outcome"]) for each in stored.body["items"]] == [
        ("a", "accepted"),
        ("b", "duplicate"),
    ]
    other = answer_of(spec_of(spec), made, (accepted, conflict))
    assert (other.status, other.body["code"]) == (409, "conflict")
    assert [each["outcome"] for each in other.body["items"]] == ["accepted", "conflict"]


def test_expressions_are_checked_without_a_request():
    spec = {
        **OPEN,
        "when": "request.body",
        "challenges": [{"when": "request.method", "answer": "${ params.x }"}],
        "event": {
            "id": "fixed",
            "type": "",
            "source": "x${ request.hedaers }",
            "subject": "${ item }",
            "data": {"a": {"secretRef": "b"}, "b": "${ event.data }"},
        },
    }
    found = {".".join(map(str, each.path)): each.reason for each in check_source(spec_of(spec))}
    assert set(found) == {
        "challenges.0.when",
        "challenges.0.answer",
        "event.id",
        "event.type",
        "event.source",
        "event.subject",
        "event.data.a",
        "event.data.b",
    }
    assert "did you mean `headers`" in found["event.source"]
    each = {**OPEN, "event": {"forEach": '${ "a" }', "subject": "${ item.x }"}}
    assert [".".join(finding.path) for finding in check_source(spec_of(each))] == ["event.forEach"]  # type: ignore[arg-type]


@given(st.binary(max_size=60), st.sampled_from(["json", "form", "text"]), st.text(max_size=10))
def test_no_request_of_a_stranger_is_more_than_refused(body: bytes, form: str, query: str):
    spec = {**OPEN, "body": form, "event": {"id": "${ request.body }"}}
    asked = WebRequest("POST", "/", (("x", query),), query, body)
    with evaluating_with(InPlaceOnly()):
        outcome = decided(spec, asked).outcome
    assert isinstance(outcome, Mapped | Refusal)


def test_a_saved_request_is_read_with_either_line_end():
    for end in ("\r\n", "\n"):
        head = end.join(["POST /v1/sources/a%20b?x=1 HTTP/1.1", "Host: h", "X-A:  b c ", "", ""])
        found = read_http_text(head.encode() + b'{"a":1}\r\n\r\n', "r.http")
        assert (found.method, found.path, found.query) == ("POST", "/v1/sources/a b", "x=1")
        assert found.headers == (("Host", "h"), ("X-A", "b c"))
        assert found.body == b'{"a":1}\r\n\r\n'
    sized = read_http_text(b"PUT https://h/p\ncontent-length: 2\n\nab\n", "r.http")
    assert (sized.path, sized.body) == ("/p", b"ab")
    assert read_http_text(b"GET /", "r.http").body == b""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "r.http:1: is no HTTP request line"),
        (b'{"id": 1}', "r.http:1: is no HTTP request line"),
        (b"POST /\nbad header\n\n", "r.http:2: is no header"),
        (b"POST /\nContent-Length: 5\n\nab", "Content-Length is 5, but the body has 2 bytes"),
        (b"POST /\nContent-Length: -5\n\nab", "no number"),
        (b"POST /\nTransfer-Encoding: chunked\n\n0", "Transfer-Encoding"),
        (b"POST /\n\n" + b"a" * 1_048_577, "more than 1,048,576 bytes"),
    ],
)
def test_what_is_no_saved_request_is_told_with_its_line(content: bytes, reason: str):
    with pytest.raises(InvalidInputError, match=r"r\.http") as caught:
        read_http_text(content, "r.http")
    assert reason in caught.value.message
