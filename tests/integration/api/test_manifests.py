"""Manifests by HTTP: validated, planned, applied and deleted as on the command line."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from activityctl import wiring
from activityctl.operations.gitops import plan as planning
from activityctl.settings import Settings
from support.api_server import Api, make_tokens
from support.sent_manifests import DEFINITION, pair, post, problem_of, sent

CALENDAR = """\
apiVersion: activityctl/v1
kind: Calendar
metadata:
  name: {name}
spec:
  ical: {ical}
"""
ICAL = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z"
    "\r\nDTSTART;VALUE=DATE:20270101\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
Tokens = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def tokens(api_settings: Settings) -> Tokens:
    """Return headers with a token, by its name."""

    async def make() -> Tokens:
        async with wiring.open_ports(api_settings) as ports:
            return await make_tokens(
                ports,
                mreader="read",
                mapplier="apply",
                memitter="emit",
                moperator="operate:subscription=mine",
            )

    return asyncio.run(make())


def test_problems_have_the_file_the_line_and_the_column(api: Api, tokens: Tokens):
    good = post(api, "validate", pair("valid"), tokens["mreader"])
    assert good.status_code == 200
    view = good.json()
    assert (view["kind"], view["problems"]) == ("ValidateResult", [])
    assert [(each["name"], each["file"], each["line"]) for each in view["objects"]] == [
        ("valid", "definition.yaml", 4),
        ("valid", "sub/subscription.yaml", 4),
    ]
    faulty = sent(
        ("a/definition.yaml", DEFINITION.format(name="faulty").replace("0 2", "99 2")),
        ("b.json", '{"apiVersion": "activityctl/v1", "kind": "Nothing"}'),
        ("c.yaml", "a: [1"),
    )
    for path in ("validate", "plan", "apply"):
        refused = post(api, path, faulty)
        assert problem_of(refused) == (400, "invalid_manifest")
        findings = refused.json()["findings"]
        assert {(each["file"], each["line"]) for each in findings} >= {
            ("a/definition.yaml", 13),
            ("b.json", 1),
            ("c.yaml", 2),
        }
        assert all(each["column"] and each["message"] for each in findings)
    text = api.client.post(
        "/v1/manifests/validate",
        content=DEFINITION.format(name="Not_A_Name"),
        headers={"Content-Type": "application/yaml"},
    )
    assert problem_of(text) == (400, "invalid_manifest")
    first = text.json()["findings"][0]
    assert (first["file"], first["line"], first["column"]) == ("body", 4, 9)


def test_a_plan_is_applied_and_shown(api: Api, tokens: Tokens):
    body = pair("walks")
    planned = post(api, "plan", body, tokens["mreader"])
    assert planned.status_code == 200
    plan = planned.json()
    assert (plan["kind"], plan["summary"]["created"]) == ("Plan", 2)
    assert plan["schedules"][0]["nextAfter"]
    assert plan["secrets"] == plan["keys"] == []
    assert post(api, "apply", body, dryRun=True).json()["summary"] == plan["summary"]
    assert api.client.get("/v1/definitions/walks").status_code == 404
    applied = post(api, "apply", body, tokens["mapplier"], applyset="walking", sourceCommit="abc")
    assert applied.status_code == 200, applied.text
    assert applied.json() == {
        "apiVersion": "activityctl/v1",
        "kind": "ApplyResult",
        "applyset": "walking",
        "changes": [
            {"kind": "ActivityDefinition", "name": "walks", "action": "created"},
            {"kind": "Subscription", "name": "walks", "action": "created"},
        ],
        "summary": {"created": 2, "configured": 0, "unchanged": 0, "deleted": 0},
        "schedules": {"pending": 1, "refused": 0, "errors": [], "hasWorker": False},
    }
    again = post(api, "apply", body, applyset="walking").json()
    assert again["summary"]["unchanged"] == 2
    entries = api.client.get("/v1/audit?limit=2").json()["items"]
    assert [(entry["actor"], entry["outcome"], entry["details"]) for entry in entries] == [
        ("local", "done", {"applyset": "walking"}),
        (
            "token/mapplier",
            "done",
            {"applyset": "walking", "created": "activitydefinition/walks, subscription/walks"},
        ),
    ]
    assert problem_of(post(api, "apply", pair("walks", "rome"))) == (409, "conflict")
    one = sent(("definition.yaml", DEFINITION.format(name="walks")))
    kept = {**one, "unread": [{"kind": "Subscription", "name": "walks", "file": "sub/x.yaml"}]}
    pruning = {"applyset": "walking", "prune": True}
    assert problem_of(post(api, "apply", kept, **pruning)) == (409, "conflict")
    pruned = post(api, "apply", one, **pruning).json()
    assert pruned["summary"] == {"created": 0, "configured": 0, "unchanged": 1, "deleted": 1}
    none = sent()
    assert problem_of(post(api, "apply", none, **pruning)) == (400, "invalid_manifest")
    emptied = post(api, "apply", none, **pruning, allowEmpty=True)
    assert emptied.json()["summary"]["deleted"] == 1
    for params in ({"prune": True}, {"takeOver": True}, {"applyset": "A b"}):
        assert problem_of(post(api, "apply", body, **params)) == (400, "usage")


def test_a_reviewed_plan_is_applied_only_while_it_fits(api: Api):
    body = pair("reviewed")
    tag = post(api, "plan", body).headers["etag"]
    saved = post(api, "plan", body, save=True, sourceCommit="abc123")
    assert saved.headers["etag"] == tag
    plan = saved.json()
    assert (plan["kind"], plan["plan"]["summary"]["created"]) == ("SavedPlan", 2)
    with_options = post(api, "apply", plan, applyset="other")
    assert problem_of(with_options) == (400, "usage")
    assert post(api, "apply", body, {"If-Match": tag}).json()["summary"]["created"] == 2
    late = post(api, "apply", body, {"If-Match": tag})
    assert problem_of(late) == (412, "precondition_failed")
    assert problem_of(post(api, "apply", plan)) == (409, "conflict")
    now = post(api, "plan", pair("reviewed", "rome"), save=True).json()
    assert post(api, "apply", now).json()["summary"]["configured"] == 1
    now["documents"][1]["spec"]["activity"] = "of-nobody"
    assert problem_of(post(api, "apply", now)) == (400, "invalid_manifest")
    for broken in ({"kind": "SavedPlan"}, {**plan, "documents": {"a": 1}}):
        assert problem_of(post(api, "apply", broken)) == (400, "invalid_input")


def test_no_file_of_the_server_is_read(api: Api, tmp_path: Any):
    secret = tmp_path / "days.ics"
    secret.write_text(ICAL)
    for name, ical in (
        (str(tmp_path / "calendar.yaml"), "days.ics"),
        ("calendar.yaml", str(secret)),
        ("../a/calendar.yaml", "../../etc/passwd"),
        ("/etc/calendar.yaml", "hostname"),
    ):
        refused = post(api, "validate", sent((name, CALENDAR.format(name="days", ical=ical))))
        assert problem_of(refused) == (400, "invalid_manifest")
        (finding,) = refused.json()["findings"]
        assert (finding["file"], finding["path"]) == (name, "spec.ical")
        assert "sent" in finding["message"] or "folder of this manifest" in finding["message"]
    both = sent(
        ("cal/days.yaml", CALENDAR.format(name="days", ical="of/days.ics")),
        icals={"cal/of/days.ics": ICAL},
    )
    assert post(api, "apply", both).json()["summary"]["created"] == 1
    assert api.client.get("/v1/calendars/days").json()["days"] == ["2027-01-01"]


def test_bodies_that_are_none_are_refused(api: Api):
    for body in (
        [],
        {},
        {"files": {}},
        {"files": [{"name": "", "content": ""}]},
        {"files": [{"name": "a\n", "content": "a: 1"}]},
        {"files": [{"name": "a", "content": 1}]},
        {"files": [{"name": "a", "content": ""}] * 2},
        {"files": [], "more": 1},
        {"files": [{"name": "a", "content": "", "more": 1}]},
    ):
        assert problem_of(post(api, "apply", body)) == (400, "invalid_input"), body
    for text in (b"{", b'{"files": "\\ud800"}', b"\xff", b"[" * 100_000, b'{"files": "\\u0000"}'):
        refused = api.client.post("/v1/manifests/plan", content=text)
        assert problem_of(refused) == (400, "invalid_input")
    for headers in ({"Content-Type": "text/csv"}, {"Content-Encoding": "gzip"}):
        refused = api.client.post("/v1/manifests/plan", content=b"x", headers=headers)
        assert problem_of(refused) == (415, "unsupported_media_type")
    yaml = {"Content-Type": "application/yaml"}
    for media_type, size in (("application/yaml", 2**20 + 1), ("application/json", 2**24 + 1)):
        large = api.raw(
            f"POST /v1/manifests/plan HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
            f"Content-Type: {media_type}\r\nAuthorization: Bearer {api.token}\r\n\r\n".encode()
        )
        assert (large.status, large.json["code"]) == (413, "body_too_large")
    bomb = "a: &a [x]\nb: [*a, *a]\n"
    refused = api.client.post("/v1/manifests/plan", content=bomb, headers=yaml)
    assert problem_of(refused) == (400, "invalid_manifest")


def test_only_who_may_do_so_applies(api: Api, tokens: Tokens):
    body = pair("guarded")
    for path in ("validate", "plan", "apply"):
        for name in ("memitter", "moperator"):
            assert problem_of(post(api, path, body, tokens[name])) == (403, "not_allowed")
    assert problem_of(post(api, "apply", body, tokens["mreader"])) == (403, "not_allowed")
    assert api.client.get("/v1/audit?limit=1").json()["items"][0]["outcome"] == "not_allowed"
    dry = post(api, "apply", body, tokens["mreader"], dryRun=True)
    assert problem_of(dry) == (403, "not_allowed")
    assert post(api, "apply", body, tokens["mapplier"]).status_code == 200
    path = "/v1/subscriptions/guarded"
    assert problem_of(api.client.delete(path, headers=tokens["mreader"])) == (403, "not_allowed")
    for name in ("memitter", "moperator"):
        assert problem_of(api.client.delete(path, headers=tokens[name])) == (404, "not_found")
    assert api.client.get(path).status_code == 200


def test_one_object_is_deleted_if_it_is_as_it_was_read(api: Api):
    post(api, "apply", pair("goes"), applyset="going")
    definition, subscription = "/v1/definitions/goes", "/v1/subscriptions/goes"
    assert problem_of(api.client.delete(definition)) == (409, "conflict")
    read = api.client.get(subscription).headers["etag"]
    preview = api.client.delete(subscription, params={"dryRun": True})
    assert preview.json()["changes"] == [
        {"kind": "Subscription", "name": "goes", "action": "deleted"}
    ]
    assert preview.json()["applyset"] == "going"
    assert [each["trigger"] for each in preview.json()["schedules"]["deleted"]] == ["nightly"]
    post(api, "apply", pair("goes", "rome"), applyset="going")
    for tag in (read, preview.headers["etag"], '"other"'):
        refused = api.client.delete(subscription, headers={"If-Match": tag})
        assert problem_of(refused) == (412, "precondition_failed")
    fresh = api.client.get(subscription).headers["etag"]
    done = api.client.delete(subscription, headers={"If-Match": fresh})
    assert done.status_code == 200, done.text
    assert (done.json()["kind"], done.json()["summary"]["deleted"]) == ("DeleteResult", 1)
    assert problem_of(api.client.delete(subscription)) == (404, "not_found")
    reviewed = api.client.delete(definition, params={"dryRun": True}).headers["etag"]
    assert api.client.delete(definition, headers={"If-Match": reviewed}).status_code == 200
    entry = api.client.get("/v1/audit?limit=1").json()["items"][0]
    assert (entry["action"], entry["target"], entry["outcome"]) == (
        "delete",
        "definition/goes",
        "done",
    )
    assert problem_of(api.client.delete("/v1/runs/x")) == (405, "method_not_allowed")
    assert problem_of(api.client.delete("/v1/things/x")) == (404, "not_found")
    paths = json.dumps(api.client.get("/v1/openapi.json").json()["paths"])
    assert "/v1/manifests/apply" in paths
    assert "SavedPlan" in paths


CREDENTIAL = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: signing-in}
spec:
  params: {type: object, properties: {password: {type: string}}}
  tasks: [{name: note, command: {argv: ["true"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: signing-in, annotations: {activityctl/literal-secrets: allow}}
spec: {activity: signing-in, params: {password: PASSWORD}}
"""


def test_a_changed_credential_that_is_not_shown_changes_the_tag(api: Api):
    path, read = "/v1/subscriptions/signing-in", []
    for password in ("one-1", "two-2", "two-2"):
        yaml = {"Content-Type": "application/yaml"}
        content = CREDENTIAL.replace("PASSWORD", password)
        made = api.client.post("/v1/manifests/apply?wait=0", content=content, headers=yaml)
        assert made.status_code == 200, made.text
        read.append(api.client.get(path))
    assert [answer.json()["params"] for answer in read] == [{"password": "***"}] * 3
    assert len({answer.headers["etag"] for answer in read}) == 2
    refused = api.client.delete(path, headers={"If-Match": read[0].headers["etag"]})
    assert problem_of(refused) == (412, "precondition_failed")


def test_the_fingerprint_of_a_saved_plan_is_computed_once_and_keeps_no_request_waiting(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    real, places = planning.fingerprint, []

    def noted(*given: Any) -> str:
        places.append("beside the loop")
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            places[-1] = "on the loop"
        return real(*given)

    monkeypatch.setattr(planning, "fingerprint", noted)
    saved = post(api, "plan", pair("marked"), save=True)
    assert saved.headers["etag"] == f'"{saved.json()["fingerprint"]}"'
    assert places == ["beside the loop"]
