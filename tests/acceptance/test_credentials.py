"""Credentials: refused in manifests, masked in what is stored and shown, removed by `purge`."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

LITERAL = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata:
  name: %(name)s
  annotations: {%(annotations)s}
spec:
  tasks:
    - name: call
      http:
        url: https://a.example/
        headers:
          Accept: text/plain
          Authorization: Bearer canary-of-the-manifest
"""
MANY = """
    - name: more
      http:
        url: https://a.example/
        method: POST
        query: {api_key: canary-of-the-query}
        json: {client_secret: canary-of-the-body}
    - name: query
      http: {url: "https://a.example/?page=1&sig=canary-of-the-query"}
    - name: run
      command: {argv: [echo], env: {DB_PASSWORD: canary-of-the-variable}}
"""


def test_a_literal_credential_is_refused_with_its_position(stranger):
    (stranger.folder / "a.yaml").write_text(LITERAL % {"name": "a", "annotations": ""})
    done = stranger("validate", "-f", "a.yaml", code=3)
    assert "error: a.yaml:14:26: spec.tasks[0].http.headers.Authorization: " in done.stderr
    assert "activityctl secrets set NAME" in done.stderr
    assert "canary" not in done.stdout + done.stderr
    shown = stranger("validate", "-f", "a.yaml", "-o", "json", code=3).stdout
    assert '"valid": false' in shown
    assert "canary" not in shown


def test_an_annotation_allows_what_only_looks_like_a_secret(stranger):
    allowing = "activityctl/literal-secrets: allow"
    (stranger.folder / "a.yaml").write_text(LITERAL % {"name": "a", "annotations": allowing})
    stranger("validate", "-f", "a.yaml")


CALLING = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: %(name)s}
spec:
  params: {type: object, properties: {token: {type: string}}}
  tasks:
    - name: call
      http:
        url: http://127.0.0.1:%(port)d/
        headers: {Authorization: "Bearer ${ params.token }"}
        expect: ["2xx", 403]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: %(name)s}
spec: {activity: %(name)s, params: {token: canary-of-the-header}}
"""


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers of the request as JSON, and sets a cookie."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.headers["Authorization"])
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Set-Cookie", "session=canary-of-the-cookie")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[HTTPServer]:
    Echo.seen = []
    server = HTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_sent_header_is_real_and_the_shown_ones_are_masked(shell, echo):
    text = CALLING % {"name": "calling", "port": echo.server_port}
    (shell.folder / "a.yaml").write_text(text)
    shell("apply", "-f", "a.yaml")
    run_id = shell.json("trigger", "calling", "--wait")["id"]
    assert Echo.seen == ["Bearer canary-of-the-header"]
    (task,) = shell.json("describe", "run", run_id)["tasks"]
    assert task["input"]["headers"] == {"Authorization": "***"}
    assert task["output"]["headers"]["set-cookie"] == "***"
    assert task["output"]["json"]["Authorization"] == "***"
    shown = shell("get", "tasks", "-o", "json").stdout + shell("logs", "calling").stdout
    assert "canary" not in shown


def test_a_literal_that_was_allowed_is_not_shown(shell):
    allowing = "activityctl/literal-secrets: allow"
    text = LITERAL % {"name": "allowed", "annotations": allowing} + MANY[1:]
    (shell.folder / "a.yaml").write_text(text)
    outputs = [shell("plan", "-f", "a.yaml", "-o", "json")]
    shell("apply", "-f", "a.yaml")
    outputs += [
        shell("describe", "def", "allowed"),
        shell("export", "def", "allowed"),
        shell("get", "revisions", "-o", "json"),
        shell("history", "def", "allowed", "-o", "json"),
        shell("describe", "def", "allowed", "-o", "json"),
    ]
    (shell.folder / "a.yaml").write_text(text.replace("canary-of", "new-canary-of"))
    outputs += [
        shell("plan", "-f", "a.yaml", "-o", "json"),
        shell("plan", "-f", "a.yaml", "-o", "markdown"),
    ]
    told = shell("diff", "-f", "a.yaml", code=1).stdout
    assert told == "# activitydefinition/allowed: only credentials differ, which are not shown\n"
    for done in outputs:
        assert "canary" not in done.stdout + done.stderr
        assert "***" in done.stdout
    exported = shell("export", "def", "allowed").stdout
    (shell.folder / "b.yaml").write_text(exported)
    assert "not shown" in shell("apply", "-f", "b.yaml", code=3).stderr


PURGED = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: purged}
spec:
  params: {type: object, properties: {note: {type: string}}}
  triggers: [{name: e, event: {type: canary.sent}}]
  tasks: [{name: say, command: {argv: [echo, "${ params.note }"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: purged}
spec: {activity: purged, params: {note: 'said "canary-of-the-params" aloud'}}
"""


def test_purge_replaces_a_text_in_all_that_is_stored(shell):
    (shell.folder / "a.yaml").write_text(PURGED)
    shell("apply", "-f", "a.yaml")
    data = '{"a": ["canary-of-the-params"]}'
    sent = ("--type", "canary.sent", "--source", "/tests", "--id", "p1", "--data", data)
    shell("emit", *sent, "--wait")
    shell("trigger", "purged", "--key", "key-canary-of-the-params", "--wait")

    before = shell("purge", "--dry-run", stdin="canary-of-the-params\n").stdout
    for table in ("events", "runs", "tasks", "subscriptions", "apply_changes"):
        assert f"{table} " in before, before
    assert "would be replaced" in before
    refused = shell("purge", stdin="canary-of-the-params\n", code=2)
    assert "add --dry-run or --yes" in refused.stderr
    assert "canary-of" in shell("describe", "sub", "purged").stdout

    done = shell("purge", "--yes", stdin="canary-of-the-params\n")
    assert "not reached: backups" in done.stderr
    assert "canary" not in done.stdout + done.stderr
    found = shell("purge", "--dry-run", "-o", "json", stdin="canary-of-the-params").stdout
    left = {(place["table"], place["column"]) for place in json.loads(found)["found"]}
    assert left == {
        ("firings", "firing_key"),
        ("runs", "firing_key"),
        ("runs", "workflow_id"),
    }
    params = shell.json("describe", "sub", "purged")["params"]
    assert params["note"] == 'said "***" aloud'


def test_purge_refuses_a_text_that_is_found_by_chance(shell):
    done = shell("purge", "--dry-run", stdin="abc\n", code=3)
    assert "3 characters" in done.stderr
